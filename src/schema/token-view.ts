// API tokens as API and dashboard show them.
import Type, { type Static } from 'typebox';

export const Scope = Type.Union([Type.Literal('read'), Type.Literal('write')], {
  description: 'What it may do: read, or read and write',
});
export type Scope = Static<typeof Scope>;

export const TokenView = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    scope: Scope,
    created_at: Type.String({ description: 'ISO 8601, UTC' }),
    created_by: Type.String({ description: 'Who made it' }),
    used_at: Type.Union([Type.String(), Type.Null()], { description: 'Its last use, within a minute; null when it was never used' }),
  },
  { description: 'A token of the REST API; its secret text is shown once, when it is made' },
);
export type TokenView = Static<typeof TokenView>;

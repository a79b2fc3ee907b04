import Type, { type Static } from 'typebox';

/** One entry of a resource's audit log. */
export const AuditEntry = Type.Object({
  /** Grows with time; continues a list. */
  id: Type.String(),
  at: Type.String({ description: 'ISO 8601, UTC' }),
  actor: Type.String({ description: 'Who did it: heroku, engine, operator, a token or a person' }),
  action: Type.String({ description: 'What: noun and verb, as in credentials.rotate' }),
  detail: Type.String(),
  address: Type.Union([Type.String(), Type.Null()], { description: 'Where the request came from; null for what the engine did' }),
});
export type AuditEntry = Static<typeof AuditEntry>;

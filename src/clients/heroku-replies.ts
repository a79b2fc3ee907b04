// What the Platform API answers, as far as the engine reads it (heroku.md §2). Further members are let through.
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Dyno } from './ports.ts';

const DynoReply = Type.Object({
  id: Type.String({ minLength: 1 }),
  name: Type.String({ minLength: 1 }),
  command: Type.String(),
  state: Type.String(),
  size: Type.String(),
  type: Type.String(),
  created_at: Type.String(),
});
const RefusalReply = Type.Object({ id: Type.String({ minLength: 1 }), message: Type.Optional(Type.String()) });

const dynoReply = Compile(DynoReply);
const refusalReply = Compile(RefusalReply);

export const dynosReply = Compile(Type.Array(DynoReply));
export const formationReply = Compile(Type.Array(Type.Object({ type: Type.String() })));
export const configVarsReply = Compile(Type.Record(Type.String(), Type.String()));
export const logSessionReply = Compile(Type.Object({ logplex_url: Type.String({ pattern: '^https?://' }) }));
export const anyReply = Compile(Type.Unknown());

/** The dyno of a parsed reply; a creation time that is no date becomes NaN and fails in readDyno. */
export function toDyno(reply: Static<typeof DynoReply>): Dyno {
  const { id, name, command, state, size, type } = reply;
  return { id, name, command, state, size, type, createdAt: Date.parse(reply.created_at) };
}

/** A dyno out of any JSON value, or undefined when it is none. */
export function readDyno(value: unknown): Dyno | undefined {
  if (!dynoReply.Check(value)) return undefined;
  const dyno = toDyno(value);
  return Number.isNaN(dyno.createdAt) ? undefined : dyno;
}

/** Heroku's error body `{id, message}` out of any JSON value, or undefined when it is none. */
export function readRefusal(value: unknown): { id: string; message: string } | undefined {
  return refusalReply.Check(value) ? { id: value.id, message: value.message ?? '' } : undefined;
}

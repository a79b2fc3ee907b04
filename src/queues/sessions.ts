// Sessions of people in browsers, and the things that begin one and work once. Redis keeps hashes alone.
import { createHash, randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { throwFirst } from './connection.ts';
import { onceKey, sessionKey, sessionsKey } from './keys.ts';

/** Seconds, 8 hours: a working day. A session is not prolonged by use. */
export const SESSION_S = 28_800;
/** Seconds for which a one-time link works. */
const LINK_S = 60;
/** Seconds that an owner may take at Heroku to consent. */
const CONSENT_S = 600;
/** 256 bits: nobody guesses one. */
const SECRET_BYTES = 32;

const Session = Type.Object({
  resource: Type.String(),
  /** `sso`: signed on by Heroku; `local`: by a link of `autofiles open`. */
  by: Type.Union([Type.Literal('sso'), Type.Literal('local')]),
  /** Who it is, for histories and the audit log. */
  name: Type.String(),
});
export type Session = Static<typeof Session>;
const session = Compile(Session);

const Asking = Type.Object({
  resource: Type.String(),
  /** What the session that asked can prove itself by. */
  proof: Type.String(),
});
type Asking = Static<typeof Asking>;
const asking = Compile(Asking);

export type Sessions = ReturnType<typeof createSessions>;

export function createSessions(deps: { redis: Redis }) {
  const { redis } = deps;
  const read = (text: string | null): Session | undefined => {
    if (text === null) return undefined;
    const parsed: unknown = JSON.parse(text);
    return session.Check(parsed) ? parsed : undefined;
  };

  return {
    /** Begins a session; answers with the secret text for its cookie, kept nowhere. */
    begin: async (who: Session): Promise<string> => {
      const secret = randomBytes(SECRET_BYTES).toString('base64url');
      const hash = hashOf(secret);
      const key = sessionsKey(who.resource);
      throwFirst(redis, (await redis.multi().sadd(key, hash).expire(key, SESSION_S).exec()) ?? []);
      await redis.set(sessionKey(hash), JSON.stringify(who), 'EX', SESSION_S);
      return secret;
    },

    find: async (secret: string): Promise<Session | undefined> => read(await redis.get(sessionKey(hashOf(secret)))),

    end: async (secret: string): Promise<void> => {
      await redis.del(sessionKey(hashOf(secret)));
    },

    /** Ends every session of a resource, as when it is removed. */
    endAll: async (resource: string): Promise<void> => {
      for (const hash of await redis.smembers(sessionsKey(resource))) await redis.del(sessionKey(hash));
      await redis.del(sessionsKey(resource));
    },

    /** Whether this is the first use of something that may be used once within `seconds`. Atomic: of two at once one is first. */
    first: async (kind: 'sso' | 'hook', text: string, seconds: number): Promise<boolean> =>
      (await redis.set(onceKey(kind, hashOf(text)), '1', 'EX', seconds, 'NX')) === 'OK',

    /** Whether there was a first use. */
    used: async (kind: 'sso' | 'hook', text: string): Promise<boolean> => (await redis.exists(onceKey(kind, hashOf(text)))) === 1,

    /** Remembers that a session asked Heroku for its owner's consent; answers with the state that Heroku gives back. */
    ask: async (who: Asking): Promise<string> => {
      const state = randomBytes(SECRET_BYTES).toString('base64url');
      await redis.set(onceKey('consent', hashOf(state)), JSON.stringify(who), 'EX', CONSENT_S);
      return state;
    },

    /** Who asked with this state; uses it up. Undefined for one that was used, is too old or never was. */
    answer: async (state: string): Promise<Asking | undefined> => {
      const text = await redis.getdel(onceKey('consent', hashOf(state)));
      const parsed: unknown = text === null ? undefined : JSON.parse(text);
      return asking.Check(parsed) ? parsed : undefined;
    },

    /** Makes the secret of a link that begins a session once, within a minute. */
    link: async (who: Session): Promise<string> => {
      const secret = randomBytes(SECRET_BYTES).toString('base64url');
      await redis.set(onceKey('link', hashOf(secret)), JSON.stringify(who), 'EX', LINK_S);
      return secret;
    },

    /** Uses a link up; undefined for one that was used, is too old or never was. */
    follow: async (secret: string): Promise<Session | undefined> => read(await redis.getdel(onceKey('link', hashOf(secret)))),
  };
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

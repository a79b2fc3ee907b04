// API tokens: each belongs to one resource and may read, or read and write. Redis keeps the hash of a token alone, so
// whoever reads Redis can use none of them.
import { createHash, randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import { type Scope, TokenView } from '../schema/token-view.ts';
import { tokenKey, tokensKey, tokenUseKey } from './keys.ts';
import { revise } from './resource-revision.ts';

/** 256 bits: nobody guesses one, so a plain hash is as good as a slow one. */
const SECRET_BYTES = 32;
/** Tokens that one resource may have. */
const MAX_TOKENS = 100;
/** Milliseconds between two notes of a token's use: a busy client must not write to Redis with every call. */
const USED_EVERY_MS = 60_000;
/** `af_` tells scanners of leaked secrets whose it is. */
const PREFIX = 'af_';

const tokenView = Compile(TokenView);

export type Tokens = ReturnType<typeof createTokens>;

/** `now`: milliseconds since 1970. */
export function createTokens(deps: { redis: Redis; now: () => number }) {
  const { redis, now } = deps;
  const iso = () => new Date(now()).toISOString();
  /** When this process last noted a token's use. */
  const lastNoted = new Map<string, number>();

  return {
    /** Makes a token; its secret text is answered this once and kept nowhere. Throws Failure conflict when there are too many. */
    make: async (order: { resource: string; scope: Scope; name: string; by: string }): Promise<TokenView & { token: string }> => {
      const { resource, scope, name, by } = order;
      if ((await redis.hlen(tokensKey(resource))) >= MAX_TOKENS)
        throw new Failure('conflict', `Found ${MAX_TOKENS} tokens, which is the most. Revoke one that is not used any more.`);
      const token = `${PREFIX}${randomBytes(SECRET_BYTES).toString('base64url')}`;
      const hash = hashOf(token);
      const record = { id: hash.slice(0, 12), name, scope, created_at: iso(), created_by: by };
      await revise(redis, resource);
      // listed first: a token that works is always one that its owner sees
      await redis.hset(tokensKey(resource), record.id, hash);
      await redis.hset(tokenKey(hash), { ...record, resource });
      return { ...record, used_at: null, token };
    },

    /** All tokens of a resource, oldest first. */
    list: async (resource: string): Promise<readonly TokenView[]> => {
      const [hashes, used] = await Promise.all([redis.hgetall(tokensKey(resource)), redis.hgetall(tokenUseKey(resource))]);
      const read = async ([id, hash]: [string, string]) => viewOf(await redis.hgetall(tokenKey(hash)), used[id]);
      const views = await Promise.all(Object.entries(hashes).map(read));
      return views.filter((view) => view !== undefined).sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
    },

    /** Ends a token at once. Throws Failure not_found. */
    revoke: async (resource: string, id: string): Promise<void> => {
      const hash = await redis.hget(tokensKey(resource), id);
      if (hash === null) throw new Failure('not_found', `Found no token ${id}.`);
      await revise(redis, resource);
      await redis.del(tokenKey(hash));
      await redis.hdel(tokensKey(resource), id);
      await redis.hdel(tokenUseKey(resource), id);
    },

    /** Ends every token of a resource, as when it is removed. */
    revokeAll: async (resource: string): Promise<void> => {
      const hashes = Object.values(await redis.hgetall(tokensKey(resource)));
      for (const hash of hashes) await redis.del(tokenKey(hash));
      await redis.del(tokensKey(resource));
      await redis.del(tokenUseKey(resource));
    },

    /** Whose token this is; undefined for one that never was or was revoked. */
    find: async (token: string): Promise<{ id: string; name: string; resource: string; scope: Scope } | undefined> => {
      if (!token.startsWith(PREFIX)) return undefined;
      const hash = hashOf(token);
      const record = await redis.hgetall(tokenKey(hash));
      const view = viewOf(record, undefined);
      const resource = record['resource'];
      if (view === undefined || resource === undefined) return undefined;
      if (now() - (lastNoted.get(view.id) ?? 0) > USED_EVERY_MS) {
        lastNoted.set(view.id, now());
        await redis.hset(tokenUseKey(resource), view.id, now());
      }
      return { id: view.id, name: view.name, resource, scope: view.scope };
    },
  };
}

/** `used`: milliseconds since 1970. */
function viewOf(record: Readonly<Record<string, string>>, used: string | undefined): TokenView | undefined {
  const { resource: _resource, ...plain } = record;
  const view = { ...plain, used_at: used === undefined ? null : new Date(Number(used)).toISOString() };
  return tokenView.Check(view) ? view : undefined;
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

import { timingSafeEqual } from 'node:crypto';
import type { Database } from './database.ts';
import { type Policy, parsePolicy } from './policy.ts';
import { S3Error } from './s3-error.ts';

/** The one account of a local store, in the twelve digits that ARNs and queue addresses carry. */
export const ACCOUNT_ID = '000000000000';

/** Who signed a request, and what it may do. */
export type Credential = {
  accessKeyId: string;
  secretAccessKey: string;
  /** The engine's own credential: everything is allowed, queues and STS included. */
  root: boolean;
  arn: string;
  /** As in events' `principalId` and GetCallerIdentity's `UserId`. */
  userId: string;
  policy: Policy;
};

/** A session to be made. */
type NewSession = {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  policyText: string;
  arn: string;
  userId: string;
  /** Milliseconds since 1970. */
  expires: number;
};

/** The store's credentials: the root one from the environment, the sessions in the store's file. */
export type Credentials = {
  /**
   * The credential of an access key and the token sent along. Throws S3Error InvalidAccessKeyId (unknown, or a session's key
   * without its token), InvalidToken (wrong or needless token), ExpiredToken.
   */
  find(accessKeyId: string, sessionToken: string | undefined): Credential;
  /** Keeps a session; durable when it returns. */
  add(session: NewSession): void;
};

type SessionRow = { access_key: string; secret: string; token: string; policy: string; arn: string; user_id: string; expires: number };
type CachedSession = { credential: Credential; token: string; expires: number };

// An expired session answers ExpiredToken this long, then it is forgotten and answers InvalidAccessKeyId.
const REMEMBER_EXPIRED_MS = 30 * 24 * 3600 * 1000;
const CACHED_SESSIONS = 1000;

/** Opens the credentials kept in the store's file; `root` is the credential that may do everything. */
export function openCredentials(deps: {
  db: Database;
  now: () => number;
  root: { accessKeyId: string; secretAccessKey: string };
}): Credentials {
  const { db, now } = deps;
  const load = db.query<SessionRow>('SELECT * FROM sessions WHERE access_key = ?');
  const insert = db.command('INSERT INTO sessions (access_key, secret, token, policy, arn, user_id, expires) VALUES (?, ?, ?, ?, ?, ?, ?)');
  db.command('DELETE FROM sessions WHERE expires < ?')(now() - REMEMBER_EXPIRED_MS);
  const cache = new Map<string, CachedSession>();
  const root: Credential = {
    ...deps.root,
    root: true,
    arn: `arn:aws:iam::${ACCOUNT_ID}:root`,
    userId: ACCOUNT_ID,
    policy: { allows: () => true },
  };

  function session(accessKeyId: string): CachedSession | undefined {
    const held = cache.get(accessKeyId);
    if (held) return held;
    const row = load.get(accessKeyId);
    if (!row) return undefined;
    const fresh = {
      credential: {
        accessKeyId,
        secretAccessKey: row.secret,
        root: false,
        arn: row.arn,
        userId: row.user_id,
        policy: parsePolicy(row.policy),
      },
      token: row.token,
      expires: row.expires,
    };
    if (cache.size >= CACHED_SESSIONS) cache.clear();
    cache.set(accessKeyId, fresh);
    return fresh;
  }

  return {
    find(accessKeyId, sessionToken) {
      if (accessKeyId === root.accessKeyId) {
        if (sessionToken !== undefined) {
          throw new S3Error('InvalidToken', `A session token was sent with the key ${accessKeyId}, which has none: leave it out.`);
        }
        return root;
      }
      const found = session(accessKeyId);
      if (!found || sessionToken === undefined) {
        throw new S3Error('InvalidAccessKeyId', undefined, { details: { AWSAccessKeyId: accessKeyId } });
      }
      if (!sameText(found.token, sessionToken)) throw new S3Error('InvalidToken');
      if (now() >= found.expires) throw new S3Error('ExpiredToken');
      return found.credential;
    },
    add(made) {
      insert(made.accessKeyId, made.secretAccessKey, made.sessionToken, made.policyText, made.arn, made.userId, made.expires);
    },
  };
}

/** Compares two secrets in a time that tells nothing about where they differ. */
export function sameText(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

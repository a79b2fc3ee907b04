// The outside services as the engine sees them: small interfaces that the SDK-backed clients beside this file
// implement and that tests may stand in for. Every call takes an AbortSignal or has a deadline of its own.

/** An object version as HEAD or GET tells it. Metadata names are lower-case and without `x-amz-meta-`. */
export interface ObjectHead {
  readonly versionId: string;
  /** Without the quotes of the header. */
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** When the version was saved, in milliseconds since 1970 and whole seconds; undefined when the answer does not tell. */
  readonly modifiedAt?: number | undefined;
}

export interface ObjectVersion {
  readonly key: string;
  readonly versionId: string;
  readonly etag: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
  readonly latest: boolean;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds after which the call is given up, retries included. */
  readonly deadline?: number;
}

export interface ObjectStore {
  /** The version asked for (the newest without one); undefined when it was deleted or never was. Throws Failure s3_unavailable. */
  head(bucket: string, key: string, versionId?: string, options?: CallOptions): Promise<ObjectHead | undefined>;
  /** Its text (UTF-8, refused above maxBytes with Failure workflow_too_large); undefined when it is gone. */
  text(bucket: string, key: string, versionId: string | undefined, maxBytes: number, options?: CallOptions): Promise<string | undefined>;
  /** `onlyNew`: throws Failure conflict when the key has an object already. */
  put(
    bucket: string,
    key: string,
    body: string | Uint8Array,
    details?: { contentType?: string; metadata?: Readonly<Record<string, string>>; onlyNew?: boolean } & CallOptions,
  ): Promise<{ versionId: string; etag: string }>;
  /**
   * One page of all versions (delete markers left out) in key order, those of a key newest first; `next` continues it. `upTo`: the key of the page's
   * last entry, be it a delete marker, where another page follows.
   */
  versions(
    bucket: string,
    page?: { prefix?: string; next?: string; limit?: number } & CallOptions,
  ): Promise<{ versions: readonly ObjectVersion[]; next?: string; upTo?: string }>;
  /** One page of the keys that have an object now, in key order; `next` continues it. */
  keys(
    bucket: string,
    page: { prefix: string; next?: string; limit?: number } & CallOptions,
  ): Promise<{ keys: readonly string[]; next?: string }>;
  /** Idempotent. */
  createBucket(bucket: string, options?: CallOptions): Promise<void>;
  setVersioned(bucket: string, options?: CallOptions): Promise<void>;
  versioned(bucket: string, options?: CallOptions): Promise<boolean>;
  /** Sends every ObjectCreated event of the bucket to the queue; replaces the bucket's notification configuration. */
  notify(bucket: string, queueArn: string, options?: CallOptions): Promise<void>;
}

/** What people do with the files of a bucket: browse, download and upload, by links that work for a while. */
export interface FileAccess {
  /** One page of keys below the prefix, `/` being the border of folders; `next` continues it. */
  list(
    bucket: string,
    page: { prefix: string; next?: string; limit: number } & CallOptions,
  ): Promise<{
    files: readonly { key: string; size: number; etag: string; modifiedAt: number }[];
    folders: readonly string[];
    next?: string;
  }>;
  /** Where links and forms of the bucket lead: scheme, host, port. */
  origin(bucket: string): string;
  /** A link that downloads the object, for `seconds`. */
  link(bucket: string, key: string, versionId: string | undefined, seconds: number): Promise<string>;
  /**
   * An upload form (POST policy) for exactly this key, for `seconds`: the metadata named is pinned to its value, all other
   * metadata is refused, the body has at most `maxBytes`.
   */
  form(
    bucket: string,
    key: string,
    options: { metadata: Readonly<Record<string, string>>; maxBytes: number; seconds: number; contentType?: string },
  ): Promise<{ url: string; fields: Readonly<Record<string, string>> }>;
}

export interface QueueMessage {
  readonly id: string;
  readonly body: string;
  readonly receiptHandle: string;
  /** How often the queue handed it out, this time included. */
  readonly receiveCount: number;
}

/** What the handler decided of one message: done (deleted), or to be seen again after so many seconds. */
export type MessageVerdict = { readonly done: true } | { readonly done: false; readonly againIn: number };

export interface EventQueue {
  /** Idempotent; the queue's URL and ARN. */
  create(name: string, options?: CallOptions): Promise<{ url: string; arn: string }>;
  /** Whether nothing is waiting, delayed or in flight. Approximate on AWS. */
  drained(url: string, options?: CallOptions): Promise<boolean>;
  /** How many messages could be received now. Approximate on AWS. */
  waiting(url: string, options?: CallOptions): Promise<number>;
  /**
   * Starts `consumers` pollers that hand batches to `onBatch` and delete exactly the messages it calls done.
   * `stop` ends the polling, waits for the batches in flight and resolves when all is settled or `deadline` ms passed.
   */
  consume(
    url: string,
    options: {
      consumers: number;
      onBatch: (messages: readonly QueueMessage[]) => Promise<readonly MessageVerdict[]>;
      /** Told when a batch's deletes and new visibilities were sent, whatever came of them. */
      onSettled?: () => void;
      onError: (error: unknown) => void;
    },
  ): { stop(deadline: number): Promise<void>; lastPollAt(): number };
}

export interface SessionCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface CredentialIssuer {
  /** Credentials for one bucket only, `seconds` long. */
  forBucket(bucket: string, name: string, seconds: number, options?: CallOptions): Promise<SessionCredentials>;
}

/** A dyno as the Platform API lists it. */
export interface Dyno {
  readonly id: string;
  readonly name: string;
  readonly command: string;
  readonly state: string;
  readonly size: string;
  readonly type: string;
  readonly createdAt: number;
}

export interface LaunchOrder {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly size: string;
  readonly timeToLive: number;
}

/**
 * The three fates of `POST /apps/:app/dynos`. Only `refused` frees the attempt. `heal`: time heals it (429, capacity).
 */
export type LaunchOutcome =
  | { readonly outcome: 'accepted'; readonly dyno: Dyno }
  | {
      readonly outcome: 'refused';
      readonly heal: boolean;
      readonly status: number;
      readonly id: string;
      readonly message: string;
      /** Seconds. */
      readonly retryAfter?: number;
    }
  | {
      readonly outcome: 'unknown';
      readonly cause: string;
      /** Set when it is certain that no byte of the request left (no connection, no token): nothing can have been started. */
      readonly unsent?: true;
    };

/** How a dyno that left the list ended, as far as the log tells. */
export interface DynoEnd {
  /** Exit status; undefined when the log does not tell. */
  readonly status: number | undefined;
  /** Whether the log shows that it was up. */
  readonly up: boolean;
}

export interface DynoPlatform {
  /** Sent once, never retried. Never throws: what is not accepted or refused is unknown. `mayStill` is asked last before it is sent. */
  launch(
    app: string,
    order: LaunchOrder,
    options: { signal?: AbortSignal; deadline: number; mayStill?: () => boolean },
  ): Promise<LaunchOutcome>;
  list(app: string, options?: CallOptions): Promise<readonly Dyno[]>;
  /** Idempotent: a dyno that is gone is stopped. */
  stop(app: string, dyno: string, options?: CallOptions): Promise<void>;
  /**
   * Reads the dyno's own lines of the app's log. Dyno names come round again (`run.` and four digits): with `after`, the dyno's
   * creation in ms since 1970, older lines under its name do not count. Throws Failure heroku_refused only where the log may not be read, which no
   * waiting heals: a token that is not taken is an outage here (heroku_unavailable).
   */
  endOf(app: string, dynoName: string, options?: CallOptions & { readonly after?: number }): Promise<DynoEnd>;
  /** The last lines of a dyno's log as text, oldest first. */
  log(app: string, dynoName: string, lines: number, options?: CallOptions): Promise<readonly string[]>;
  /** The process types of the app's Procfile. */
  processTypes(app: string, options?: CallOptions): Promise<readonly string[]>;
  /**
   * The newest lines of a dyno's log, oldest first, and then every further one until the signal ends it or the platform ends
   * the session. Lines before `after` (ms since 1970) are left out: names of dynos come round again. Throws Failure not_found,
   * heroku_refused or heroku_unavailable.
   */
  follow(app: string, dynoName: string, options: { readonly after: number; readonly signal: AbortSignal }): AsyncIterable<string>;
  /** Asks for signed events of the app's dynos. Repeatable. */
  subscribe(app: string, hook: { readonly url: string; readonly secret: string }, options?: CallOptions): Promise<void>;
  configVars(app: string, options?: CallOptions): Promise<Readonly<Record<string, string>>>;
  /** Sets (or with null removes) config vars. */
  setConfigVars(app: string, vars: Readonly<Record<string, string | null>>, options?: CallOptions): Promise<void>;
}

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';

/** A prepared statement whose rows have the shape R, as the statement's own column list says. */
type Query<R> = {
  /** The first row, or undefined. */
  get(...values: SQLInputValue[]): R | undefined;
  /** All rows. */
  all(...values: SQLInputValue[]): R[];
};

/** The one SQLite file of a store. */
export type Database = {
  /** Prepares a statement that returns rows of shape R. */
  query<R>(sql: string): Query<R>;
  /** Prepares a statement that changes rows; the result is the count of changed rows and the last row id. */
  command(sql: string): (...values: SQLInputValue[]) => { changes: number; rowid: number };
  /** Runs `work` in one transaction: all of its writes are kept, or none when it throws. Inside a transaction it joins that one. */
  transaction<T>(work: () => T): T;
  /** Runs `effect` once the running transaction is committed (at once when none runs); never after a roll-back. */
  afterCommit(effect: () => void): void;
  /** True while a transaction runs. */
  inTransaction(): boolean;
  close(): void;
};

// Version 1 of the layout. A later layout raises user_version and migrates from here.
const schema = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, versioning TEXT);
CREATE TABLE IF NOT EXISTS bucket_settings (
  bucket INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (bucket, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, size INTEGER NOT NULL, file TEXT, data BLOB);
CREATE TABLE IF NOT EXISTS versions (
  id INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, key BLOB NOT NULL, version TEXT NOT NULL,
  current INTEGER NOT NULL, marker INTEGER NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
  attributes TEXT NOT NULL, segments TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS versions_order ON versions (bucket, key, id DESC);
CREATE UNIQUE INDEX IF NOT EXISTS versions_current ON versions (bucket, key) WHERE current = 1;
CREATE UNIQUE INDEX IF NOT EXISTS versions_null ON versions (bucket, key) WHERE version = 'null';
CREATE TABLE IF NOT EXISTS uploads (
  id TEXT PRIMARY KEY, bucket INTEGER NOT NULL, key BLOB NOT NULL, created INTEGER NOT NULL, attributes TEXT NOT NULL,
  algorithm TEXT, checksum_type TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_order ON uploads (bucket, key, id);
CREATE TABLE IF NOT EXISTS parts (
  upload TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified INTEGER NOT NULL,
  checksums TEXT NOT NULL, segments TEXT NOT NULL, PRIMARY KEY (upload, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS completed_uploads (
  id TEXT PRIMARY KEY, bucket INTEGER NOT NULL, key BLOB NOT NULL, answer TEXT NOT NULL, completed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
  access_key TEXT PRIMARY KEY, secret TEXT NOT NULL, token TEXT NOT NULL, policy TEXT NOT NULL, arn TEXT NOT NULL,
  user_id TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires);
CREATE TABLE IF NOT EXISTS queues (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, modified INTEGER NOT NULL, attributes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, message_id TEXT NOT NULL, body TEXT NOT NULL, attributes TEXT,
  sender TEXT NOT NULL, sent INTEGER NOT NULL, visible INTEGER NOT NULL, received INTEGER NOT NULL, receives INTEGER NOT NULL,
  first_received INTEGER, receipt TEXT);
CREATE INDEX IF NOT EXISTS messages_visible ON messages (queue, visible, received);
CREATE INDEX IF NOT EXISTS messages_sent ON messages (queue, sent);
`;

/**
 * Ids for new rows of a table, none of them twice while this process lives: who still holds the id of a row that is gone
 * must not meet another one under it.
 */
export function idsOf(db: Database, table: 'blobs' | 'buckets' | 'queues'): () => number {
  let last = db.query<{ id: number | null }>(`SELECT max(id) AS id FROM ${table}`).get()?.id ?? 0;
  return () => {
    last += 1;
    return last;
  };
}

/**
 * Opens (or makes) `store.sqlite` in `dir` for this process alone.
 * `onError` hears of what went wrong after a commit (a file that could not be removed). Throws when another process holds the file, or the file was written by a newer version.
 */
export function openDatabase(dir: string, onError: (error: unknown) => void): Database {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, 'store.sqlite');
  const raw = new DatabaseSync(path, { timeout: 5_000 });
  try {
    prepareFile(raw, path);
  } catch (cause) {
    raw.close();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `The store's file ${path} cannot be opened: ${reason}. If another store runs on this folder, stop it first or name another folder.`,
      { cause },
    );
  }
  return wrap(raw, onError);
}

function prepareFile(raw: DatabaseSync, path: string): void {
  // Exclusive: one process owns the file, so caches in memory are always right, and the lock dies with the process.
  raw.exec('PRAGMA locking_mode = EXCLUSIVE');
  raw.exec('PRAGMA journal_mode = WAL');
  // NORMAL survives kill -9 (the page cache is the kernel's); only a power cut can lose the last commits.
  raw.exec('PRAGMA synchronous = NORMAL');
  raw.exec('PRAGMA cache_size = -32768');
  raw.exec('PRAGMA temp_store = MEMORY');
  const version = raw.prepare('PRAGMA user_version').get()?.['user_version'];
  if (typeof version !== 'number' || version > 1) {
    throw new Error(`found layout version ${String(version)} in ${path}, expected at most 1; it was written by a newer Autofiles`);
  }
  raw.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA user_version = 1; COMMIT`);
}

function wrap(raw: DatabaseSync, onError: (error: unknown) => void): Database {
  const begin = raw.prepare('BEGIN IMMEDIATE');
  const commit = raw.prepare('COMMIT');
  const rollback = raw.prepare('ROLLBACK');
  let effects: (() => void)[] = [];

  function transaction<T>(work: () => T): T {
    if (raw.isTransaction) return work();
    effects = [];
    begin.run();
    let result: T;
    try {
      result = work();
      commit.run();
    } catch (error) {
      effects = [];
      if (raw.isTransaction) rollback.run();
      throw error;
    }
    const done = effects;
    effects = [];
    for (const effect of done) {
      try {
        effect();
      } catch (error) {
        // what was committed stands: its caller must not take it for failed and throw its file away
        onError(error);
      }
    }
    return result;
  }

  return {
    query: <R>(sql: string) => typedQuery<R>(raw.prepare(sql)),
    command(sql) {
      const statement = raw.prepare(sql);
      return (...values) => {
        const { changes, lastInsertRowid } = statement.run(...values);
        return { changes: Number(changes), rowid: Number(lastInsertRowid) };
      };
    },
    transaction,
    afterCommit(effect) {
      if (raw.isTransaction) effects.push(effect);
      else effect();
    },
    inTransaction: () => raw.isTransaction,
    close: () => raw.close(),
  };
}

function typedQuery<R>(statement: StatementSync): Query<R> {
  // Rows come out of tables that only this folder writes, so their shape is the statement's column list: cast, not parsed.
  return {
    get: (...values) => statement.get(...values) as R | undefined,
    all: (...values) => statement.all(...values) as R[],
  };
}

import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';

/** A subscription: `notify` is told once, `sync` in order and until it answers 2xx. `addonId` null: the app's own. Times are epoch milliseconds. */
export interface Webhook {
  id: string;
  addonId: string | null;
  include: string[];
  level: 'notify' | 'sync';
  url: string;
  secret: string;
  authorization: string | null;
  createdAt: number;
  updatedAt: number;
}

/** One event on its way to one webhook. `body` is the event without what belongs to an attempt. */
export interface Delivery {
  id: string;
  webhookId: string;
  eventId: string;
  include: string;
  body: Record<string, unknown>;
  status: 'pending' | 'retrying' | 'succeeded' | 'failed';
  attempts: number;
  lastCode: number | null;
  lastError: string | null;
  nextAttemptAt: number | null;
  createdAt: number;
  updatedAt: number;
}

/** The durable side of webhooks. All calls are synchronous and durable against kill -9 on return. */
export interface WebhookStore {
  webhooks(): Webhook[];
  save(webhook: Webhook): void;
  forget(id: string): void;
  /** Newest last; at most 200 ended ones of a webhook are kept. */
  deliveries(webhookId?: string): Delivery[];
  keep(delivery: Delivery): void;
  /** Counts up for ever. */
  nextSequence(): number;
}

const endedKept = 200;

const schema = `
  CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, addon_id TEXT, include TEXT NOT NULL, level TEXT NOT NULL, url TEXT NOT NULL, secret TEXT NOT NULL, authorization TEXT,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS webhook_deliveries (id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE, event_id TEXT NOT NULL, include TEXT NOT NULL,
    body TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL, last_code INTEGER, last_error TEXT, next_attempt_at INTEGER, created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS webhook_sequence (last INTEGER NOT NULL) STRICT;
  INSERT INTO webhook_sequence (last) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM webhook_sequence);
`;

/** The tables of webhooks in the platform's database, made when missing. */
export function createWebhookStore(db: DatabaseSync): WebhookStore {
  db.exec(`PRAGMA foreign_keys = ON; ${schema}`);
  const sql = {
    webhooks: db.prepare('SELECT * FROM webhooks ORDER BY rowid'),
    save: db.prepare(
      `INSERT INTO webhooks (id, addon_id, include, level, url, secret, authorization, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
       include = excluded.include, level = excluded.level, url = excluded.url, secret = excluded.secret, authorization = excluded.authorization, updated_at = excluded.updated_at`,
    ),
    forget: db.prepare('DELETE FROM webhooks WHERE id = ?'),
    all: db.prepare('SELECT * FROM webhook_deliveries ORDER BY rowid'),
    of: db.prepare('SELECT * FROM webhook_deliveries WHERE webhook_id = ? ORDER BY rowid'),
    keep: db.prepare(
      `INSERT INTO webhook_deliveries (id, webhook_id, event_id, include, body, status, attempts, last_code, last_error, next_attempt_at, created_at, updated_at)
       SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM webhooks WHERE id = ?2) ON CONFLICT (id) DO UPDATE SET
       status = excluded.status, attempts = excluded.attempts, last_code = excluded.last_code, last_error = excluded.last_error, next_attempt_at = excluded.next_attempt_at,
       updated_at = excluded.updated_at`,
    ),
    trim: db.prepare(
      `DELETE FROM webhook_deliveries WHERE webhook_id = ?1 AND status IN ('succeeded', 'failed') AND rowid NOT IN
       (SELECT rowid FROM webhook_deliveries WHERE webhook_id = ?1 AND status IN ('succeeded', 'failed') ORDER BY rowid DESC LIMIT ?2)`,
    ),
    sequence: db.prepare('UPDATE webhook_sequence SET last = last + 1 RETURNING last'),
  };
  return {
    webhooks: () => sql.webhooks.all().map(toWebhook),
    save(webhook) {
      const { id, addonId, include, level, url, secret, authorization, createdAt, updatedAt } = webhook;
      sql.save.run(id, addonId, include.join(','), level, url, secret, authorization, createdAt, updatedAt);
    },
    forget: (id) => void sql.forget.run(id),
    deliveries: (webhookId) => (webhookId === undefined ? sql.all.all() : sql.of.all(webhookId)).map(toDelivery),
    keep(one) {
      const { id, webhookId, eventId, include, status, attempts, lastCode, lastError, nextAttemptAt, createdAt, updatedAt } = one;
      const body = JSON.stringify(one.body);
      sql.keep.run(id, webhookId, eventId, include, body, status, attempts, lastCode, lastError, nextAttemptAt, createdAt, updatedAt);
      if (status === 'succeeded' || status === 'failed') sql.trim.run(webhookId, endedKept);
    },
    nextSequence: () => Number(sql.sequence.get()?.['last']),
  };
}

type Row = Record<string, SQLOutputValue>;

function toWebhook(row: Row): Webhook {
  return {
    id: text(row, 'id'),
    addonId: textOrNull(row, 'addon_id'),
    include: text(row, 'include').split(','),
    level: text(row, 'level') === 'sync' ? 'sync' : 'notify',
    url: text(row, 'url'),
    secret: text(row, 'secret'),
    authorization: textOrNull(row, 'authorization'),
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
  };
}

function toDelivery(row: Row): Delivery {
  const status = text(row, 'status');
  const body: unknown = JSON.parse(text(row, 'body'));
  return {
    id: text(row, 'id'),
    webhookId: text(row, 'webhook_id'),
    eventId: text(row, 'event_id'),
    include: text(row, 'include'),
    body: typeof body === 'object' && body !== null ? { ...body } : {},
    status: status === 'succeeded' || status === 'failed' || status === 'retrying' ? status : 'pending',
    attempts: Number(row['attempts']),
    lastCode: row['last_code'] === null ? null : Number(row['last_code']),
    lastError: textOrNull(row, 'last_error'),
    nextAttemptAt: row['next_attempt_at'] === null ? null : Number(row['next_attempt_at']),
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
  };
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string')
    throw new Error(`platform.db: column ${column} holds ${typeof value}, expected text; the file was changed`);
  return value;
}

function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

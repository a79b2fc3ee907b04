import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';

/**
 * Where an add-on is in its life. `requested`: its provider has not answered yet, nobody sees it. `removing`: gone for its app, its provider still has to be told.
 * The others are those that the API shows; `deprovisioned` is one whose provisioning failed.
 */
export type AddonState = 'requested' | 'provisioning' | 'provisioned' | 'deprovisioning' | 'deprovisioned' | 'removing';

/** An installed add-on. `config` holds its variables under the service's own prefix. Times are epoch milliseconds. */
export interface Addon {
  id: string;
  name: string;
  service: string;
  plan: string;
  state: AddonState;
  config: Record<string, string>;
  message: string;
  createdAt: number;
  updatedAt: number;
}

/** The name under which an app sees an add-on: the prefix of its config vars. */
export interface Attachment {
  id: string;
  addonId: string;
  name: string;
  createdAt: number;
}

/** What an OAuth code or token stands for; only a digest of the secret itself is kept. Times are epoch milliseconds; `expiresAt` null: as long as the add-on. */
export interface OauthSecret {
  digest: string;
  kind: 'grant' | 'access' | 'refresh';
  addonId: string;
  expiresAt: number | null;
}

/** The durable side of add-ons. All calls are synchronous and durable against kill -9 on return. */
export interface AddonStore {
  /** All add-ons, those that nobody sees too, oldest first. */
  addons(): Addon[];
  save(addon: Addon): void;
  /** Forgets the add-on with its attachments and tokens. */
  forget(id: string): void;
  attachments(): Attachment[];
  attach(attachment: Attachment): void;
  detach(id: string): void;
  keepSecret(secret: OauthSecret): void;
  /** Finds by digest; `take` also forgets it, in the same step. */
  findSecret(digest: string, kind: OauthSecret['kind']): OauthSecret | undefined;
  takeSecret(digest: string, kind: OauthSecret['kind']): OauthSecret | undefined;
  dropExpired(now: number): void;
  dropSecretsOf(addonId: string): void;
}

const schema = `
  CREATE TABLE IF NOT EXISTS addons (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, service TEXT NOT NULL, plan TEXT NOT NULL, state TEXT NOT NULL, config TEXT NOT NULL,
    message TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS addon_attachments (id TEXT PRIMARY KEY, addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE, name TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS oauth_secrets (digest TEXT PRIMARY KEY, kind TEXT NOT NULL, addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE, expires_at INTEGER) STRICT;
`;

/** The tables of add-ons in the platform's database, made when missing. */
export function createAddonStore(db: DatabaseSync): AddonStore {
  db.exec(`PRAGMA foreign_keys = ON; ${schema}`);
  const sql = {
    addons: db.prepare('SELECT * FROM addons ORDER BY created_at, rowid'),
    save: db.prepare(
      `INSERT INTO addons (id, name, service, plan, state, config, message, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
       name = excluded.name, plan = excluded.plan, state = excluded.state, config = excluded.config, message = excluded.message, updated_at = excluded.updated_at`,
    ),
    forget: db.prepare('DELETE FROM addons WHERE id = ?'),
    attachments: db.prepare('SELECT * FROM addon_attachments ORDER BY created_at, rowid'),
    attach: db.prepare('INSERT INTO addon_attachments (id, addon_id, name, created_at) VALUES (?, ?, ?, ?)'),
    detach: db.prepare('DELETE FROM addon_attachments WHERE id = ?'),
    keep: db.prepare('INSERT INTO oauth_secrets (digest, kind, addon_id, expires_at) VALUES (?, ?, ?, ?)'),
    find: db.prepare('SELECT * FROM oauth_secrets WHERE digest = ? AND kind = ?'),
    take: db.prepare('DELETE FROM oauth_secrets WHERE digest = ? AND kind = ? RETURNING *'),
    expired: db.prepare('DELETE FROM oauth_secrets WHERE expires_at <= ?'),
    dropOf: db.prepare('DELETE FROM oauth_secrets WHERE addon_id = ?'),
  };
  return {
    addons: () => sql.addons.all().map(toAddon),
    save(addon) {
      const { id, name, service, plan, state, config, message, createdAt, updatedAt } = addon;
      sql.save.run(id, name, service, plan, state, JSON.stringify(config), message, createdAt, updatedAt);
    },
    forget: (id) => void sql.forget.run(id),
    attachments: () =>
      sql.attachments.all().map((row) => ({
        id: text(row, 'id'),
        addonId: text(row, 'addon_id'),
        name: text(row, 'name'),
        createdAt: Number(row['created_at']),
      })),
    attach: ({ id, addonId, name, createdAt }) => void sql.attach.run(id, addonId, name, createdAt),
    detach: (id) => void sql.detach.run(id),
    keepSecret: ({ digest, kind, addonId, expiresAt }) => void sql.keep.run(digest, kind, addonId, expiresAt),
    findSecret: (digest, kind) => toSecret(sql.find.get(digest, kind)),
    takeSecret: (digest, kind) => toSecret(sql.take.get(digest, kind)),
    dropExpired: (now) => void sql.expired.run(now),
    dropSecretsOf: (addonId) => void sql.dropOf.run(addonId),
  };
}

type Row = Record<string, SQLOutputValue>;

const states = new Set<string>(['requested', 'provisioning', 'provisioned', 'deprovisioning', 'deprovisioned', 'removing']);

function toAddon(row: Row): Addon {
  const state = text(row, 'state');
  if (!isState(state))
    throw new Error(`platform.db: an add-on's state is ${JSON.stringify(state)}; the file was changed by another program`);
  const config: unknown = JSON.parse(text(row, 'config'));
  if (typeof config !== 'object' || config === null)
    throw new Error('platform.db: the config of an add-on is no object; the file was changed');
  return {
    id: text(row, 'id'),
    name: text(row, 'name'),
    service: text(row, 'service'),
    plan: text(row, 'plan'),
    state,
    config: Object.fromEntries(Object.entries(config).map(([name, value]) => [name, String(value)])),
    message: text(row, 'message'),
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
  };
}

function isState(state: string): state is AddonState {
  return states.has(state);
}

function toSecret(row: Row | undefined): OauthSecret | undefined {
  if (row === undefined) return undefined;
  const kind = text(row, 'kind');
  return {
    digest: text(row, 'digest'),
    kind: kind === 'grant' || kind === 'access' ? kind : 'refresh',
    addonId: text(row, 'addon_id'),
    expiresAt: row['expires_at'] === null ? null : Number(row['expires_at']),
  };
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string')
    throw new Error(`platform.db: column ${column} holds ${typeof value}, expected text; the file was changed`);
  return value;
}

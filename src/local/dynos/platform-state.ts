import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { holdDatabase } from './hold-database.ts';

/** Who the local app and account are; made once and kept for the life of the state folder. */
export interface Identity {
  appId: string;
  accountId: string;
  createdAt: number;
}

/** One release: every change of config vars cuts one. Times are epoch milliseconds. */
export interface Release {
  id: string;
  version: number;
  description: string;
  /** Email of who made it. */
  actor: string;
  createdAt: number;
}

/** A release that is to be cut. */
export interface NewRelease {
  id: string;
  description: string;
  actor: string;
  at: number;
}

/** How many dynos of a process type shall run, and on which size. */
export interface FormationRow {
  type: string;
  id: string;
  quantity: number;
  size: string;
  updatedAt: number;
}

/** What is kept of a dyno that has not ended, so that a restarted platform can end what a killed one left behind. */
export interface DynoRecord {
  id: string;
  name: string;
  /** Process id, which is also the group's id (the process is started as the leader of its own session), or null while it is not started yet. */
  pid: number | null;
  /** What tells this process from a later one with the same pid (see process-identity.ts), or null when it could not be read. */
  identity: string | null;
}

/** A log line as it is kept. `at` is epoch milliseconds, `seq` counts up for ever. */
export interface LogLine {
  seq: number;
  at: number;
  source: 'app' | 'heroku';
  dyno: string;
  text: string;
}

/** The durable side of the platform: config vars, releases, dyno names, running dynos, log history. All calls are synchronous and durable against kill -9 on return. */
export interface PlatformState {
  identity: Identity;
  /** A port that was used before, to be used again; 0 when there is none. */
  port(name: string): number;
  keepPort(name: string, port: number): void;
  /** The open database, for the tables of other parts of the platform. */
  database: DatabaseSync;
  configVars(): Record<string, string>;
  /** Sets (string) and removes (null) config vars and cuts a release when something changed; says whether. */
  changeConfigVars(changes: Record<string, string | null>, release: NewRelease): boolean;
  /** Cuts a release, whether or not one of these changes changes anything. */
  cutRelease(release: NewRelease, changes?: Record<string, string | null>): void;
  currentRelease(): Release;
  releases(): Release[];
  /** Takes the next number of that process type (never given twice in the life of the state folder) and records the dyno as not ended. */
  addDyno(id: string, type: string): string;
  /** Records a dyno of the formation, whose name is not counted, as not ended. */
  addNamedDyno(id: string, name: string): void;
  /** The wished number and size of dynos by process type. */
  formation(): FormationRow[];
  setFormation(row: FormationRow): void;
  recordProcess(id: string, pid: number, identity: string | null): void;
  removeDyno(id: string): void;
  /** The dynos that were never removed: what a killed platform left behind. */
  leftDynos(): DynoRecord[];
  /** Adds lines and forgets all but the newest `keep`. */
  saveLogs(lines: readonly LogLine[], keep: number): void;
  loadLogs(): LogLine[];
  close(): void;
}

const schema = `
  CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS config_vars (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS releases (version INTEGER PRIMARY KEY, id TEXT NOT NULL, description TEXT NOT NULL, actor TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS counters (type TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS dynos (id TEXT PRIMARY KEY, name TEXT NOT NULL, pid INTEGER, identity TEXT) STRICT;
  CREATE TABLE IF NOT EXISTS formation (type TEXT PRIMARY KEY, id TEXT NOT NULL, quantity INTEGER NOT NULL, size TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS logs (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, source TEXT NOT NULL, dyno TEXT NOT NULL, text TEXT NOT NULL) STRICT;
`;

/**
 * Opens (or makes) the state in `dir`/platform.db and holds it: a second platform on the same folder would end the first one's dynos as orphans, so it waits for the first to end,
 * saying so once by `onWait`. `userEmail`: who makes the first release.
 * @throws Error when another process goes on holding the state or the file is not ours.
 */
export async function openPlatformState(
  dir: string,
  deps: { id: () => string; now: () => number; userEmail: string; onWait: () => void },
): Promise<PlatformState> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const db = await holdDatabase(join(dir, 'platform.db'), schema, deps.onWait);
  const sql = (text: string): StatementSync => db.prepare(text);
  const statements = {
    configVars: sql('SELECT name, value FROM config_vars ORDER BY name'),
    setVar: sql(
      'INSERT INTO config_vars (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value',
    ),
    dropVar: sql('DELETE FROM config_vars WHERE name = ?'),
    releases: sql('SELECT version, id, description, actor, created_at FROM releases ORDER BY version'),
    lastRelease: sql('SELECT version, id, description, actor, created_at FROM releases ORDER BY version DESC LIMIT 1'),
    addRelease: sql(
      'INSERT INTO releases (version, id, description, actor, created_at) SELECT coalesce(max(version), 0) + 1, ?, ?, ?, ? FROM releases',
    ),
    count: sql('INSERT INTO counters (type, last) VALUES (?, 1) ON CONFLICT (type) DO UPDATE SET last = last + 1 RETURNING last'),
    addDyno: sql('INSERT INTO dynos (id, name) VALUES (?, ?)'),
    formation: sql('SELECT type, id, quantity, size, updated_at FROM formation ORDER BY type'),
    setFormation: sql(
      'INSERT INTO formation (type, id, quantity, size, updated_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (type) DO UPDATE SET quantity = excluded.quantity, size = excluded.size, updated_at = excluded.updated_at',
    ),
    setProcess: sql('UPDATE dynos SET pid = ?, identity = ? WHERE id = ?'),
    removeDyno: sql('DELETE FROM dynos WHERE id = ?'),
    dynos: sql('SELECT id, name, pid, identity FROM dynos ORDER BY rowid'),
    addLog: sql('INSERT INTO logs (seq, at, source, dyno, text) VALUES (?, ?, ?, ?, ?)'),
    trimLogs: sql('DELETE FROM logs WHERE seq <= ?'),
    logs: sql('SELECT seq, at, source, dyno, text FROM logs ORDER BY seq'),
    meta: sql('SELECT value FROM meta WHERE key = ?'),
    keepMeta: sql('INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value'),
    setMeta: sql('INSERT INTO meta (key, value) VALUES (?, ?)'),
  };
  const atomically = <T>(work: () => T): T => {
    db.exec('BEGIN');
    try {
      const result = work();
      db.exec('COMMIT');
      return result;
    } catch (error) {
      db.exec('ROLLBACK');
      throw error;
    }
  };
  const remembered = (key: string, make: () => string): string => {
    const row = statements.meta.get(key);
    if (row !== undefined) return text(row, 'value');
    const value = make();
    statements.setMeta.run(key, value);
    return value;
  };
  const identity = atomically(() => ({
    appId: remembered('app_id', deps.id),
    accountId: remembered('account_id', deps.id),
    createdAt: Number(remembered('created_at', () => String(deps.now()))),
  }));
  if (statements.lastRelease.get() === undefined) statements.addRelease.run(deps.id(), 'Initial release', deps.userEmail, deps.now());

  const applyChanges = (changes: Readonly<Record<string, string | null>>): number => {
    let changed = 0;
    for (const [name, value] of Object.entries(changes)) {
      const result = value === null ? statements.dropVar.run(name) : statements.setVar.run(name, value);
      changed += Number(result.changes);
    }
    return changed;
  };

  return {
    identity,
    port: (name) => Number(statements.meta.get(`port_${name}`)?.['value'] ?? 0),
    keepPort(name, port) {
      statements.keepMeta.run(`port_${name}`, String(port));
    },
    database: db,
    configVars: () => Object.fromEntries(statements.configVars.all().map((row) => [text(row, 'name'), text(row, 'value')])),
    changeConfigVars(changes, release) {
      return atomically(() => {
        const changed = applyChanges(changes);
        if (changed > 0) statements.addRelease.run(release.id, release.description, release.actor, release.at);
        return changed > 0;
      });
    },
    cutRelease(release, changes = {}) {
      atomically(() => {
        applyChanges(changes);
        statements.addRelease.run(release.id, release.description, release.actor, release.at);
      });
    },
    currentRelease: () => toRelease(statements.lastRelease.get() ?? {}),
    releases: () => statements.releases.all().map(toRelease),
    addDyno: (id, type) =>
      atomically(() => {
        const name = `${type}.${number(statements.count.get(type) ?? {}, 'last')}`;
        statements.addDyno.run(id, name);
        return name;
      }),
    addNamedDyno(id, name) {
      statements.addDyno.run(id, name);
    },
    formation: () =>
      statements.formation.all().map((row) => ({
        type: text(row, 'type'),
        id: text(row, 'id'),
        quantity: number(row, 'quantity'),
        size: text(row, 'size'),
        updatedAt: number(row, 'updated_at'),
      })),
    setFormation(row) {
      statements.setFormation.run(row.type, row.id, row.quantity, row.size, row.updatedAt);
    },
    recordProcess(id, pid, processIdentity) {
      statements.setProcess.run(pid, processIdentity, id);
    },
    removeDyno(id) {
      statements.removeDyno.run(id);
    },
    leftDynos: () =>
      statements.dynos.all().map((row) => ({
        id: text(row, 'id'),
        name: text(row, 'name'),
        pid: row['pid'] === null ? null : number(row, 'pid'),
        identity: row['identity'] === null ? null : text(row, 'identity'),
      })),
    saveLogs(lines, keep) {
      const last = lines.at(-1);
      if (last === undefined) return;
      atomically(() => {
        for (const line of lines) statements.addLog.run(line.seq, line.at, line.source, line.dyno, line.text);
        statements.trimLogs.run(last.seq - keep);
      });
    },
    loadLogs: () =>
      statements.logs.all().map((row) => ({
        seq: number(row, 'seq'),
        at: number(row, 'at'),
        source: text(row, 'source') === 'app' ? 'app' : 'heroku',
        dyno: text(row, 'dyno'),
        text: text(row, 'text'),
      })),
    close: () => db.close(),
  };
}

type Row = Record<string, SQLOutputValue>;

function toRelease(row: Row): Release {
  return {
    version: number(row, 'version'),
    id: text(row, 'id'),
    description: text(row, 'description'),
    actor: text(row, 'actor'),
    createdAt: number(row, 'created_at'),
  };
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string')
    throw new Error(`platform.db: column ${column} holds ${typeof value}, expected text; the file was changed by another program`);
  return value;
}

function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number')
    throw new Error(`platform.db: column ${column} holds ${typeof value}, expected a number; the file was changed by another program`);
  return value;
}

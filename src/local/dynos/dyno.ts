/** The states that the API shows (heroku.md 2.2); a one-off that has ended is `crashed` or `complete` in the log only. */
export type DynoState = 'starting' | 'up' | 'crashed' | 'down' | 'complete';

/** A dyno. Times are epoch milliseconds. */
export interface Dyno {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly command: string;
  readonly size: string;
  /** Where a client attaches, for a dyno that waits for one. */
  readonly attachUrl: string | null;
  readonly release: { id: string; version: number };
  readonly createdAt: number;
  state: DynoState;
  updatedAt: number;
}

/** The one-off that a caller asks for; already checked. `timeToLive` is in seconds. */
export interface DynoRequest {
  command: string;
  env: Readonly<Record<string, string>>;
  size: string;
  type: string;
  timeToLive: number | undefined;
  /** `terminal` and `pipes` wait for a client (CLI: `run`, `run --no-tty`). */
  attach: 'no' | 'terminal' | 'pipes';
}

/** The dyno as the Platform API shows it. */
export function dynoJson(dyno: Dyno, app: { id: string; name: string }): Record<string, unknown> {
  return {
    id: dyno.id,
    name: dyno.name,
    type: dyno.type,
    command: dyno.command,
    size: dyno.size,
    state: dyno.state,
    attach_url: dyno.attachUrl,
    app: { id: app.id, name: app.name },
    release: dyno.release,
    created_at: herokuTime(dyno.createdAt),
    updated_at: herokuTime(dyno.updatedAt),
  };
}

/** Epoch milliseconds as Heroku writes times: `2026-11-22T01:27:50Z`. */
export function herokuTime(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

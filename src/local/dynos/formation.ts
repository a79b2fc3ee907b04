import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-error.ts';
import type { Dyno } from './dyno.ts';
import { freePort, listens } from './free-port.ts';
import type { Launcher } from './launch-dyno.ts';
import type { LogStore } from './log-store.ts';
import type { FormationRow, PlatformState } from './platform-state.ts';
import { readProcfile } from './procfile.ts';
import type { RunningDyno } from './run-dyno.ts';

/** A process type with its wished number of dynos. */
export interface FormationEntry extends FormationRow {
  command: string;
}

/** Where a web dyno takes requests. */
export interface WebDyno {
  name: string;
  port: number;
}

/** The formation: keeps the wished number of dynos of each process type running, whatever ends them. */
export interface Formation {
  /** Every process type of the Procfile, those with no dyno too. */
  entries(): Promise<FormationEntry[]>;
  /**
   * Sets numbers and sizes, and starts and stops dynos to match.
   * @throws {ApiError} 404 for a type that the Procfile does not have.
   */
  scale(updates: readonly { type: string; quantity?: number; size?: string }[]): Promise<FormationEntry[]>;
  list(): Dyno[];
  find(nameOrId: string): Dyno | undefined;
  /** Restarts one dyno (by name or id), those of a type, or all. False when nothing fits. */
  restart(which: { dyno?: string; type?: string }): boolean;
  /** The web dynos that are up. */
  web(): WebDyno[];
  /** Starts what the durable formation says. */
  resume(): Promise<void>;
  stopAll(graceMs: number): void;
}

export interface FormationDeps {
  launcher: Launcher;
  state: PlatformState;
  log: LogStore;
  appDir: string;
  id: () => string;
  now: () => number;
  stopGraceMs: number;
  /** How long a web dyno has to listen on its PORT; 60 s on Heroku. */
  bootMs: number;
  report: (message: string) => void;
}

// Heroku restarts a crashed dyno at once, then waits longer and longer. Locally minutes would only hide that a fix was made.
const firstRestartMs = 500;
const longestRestartMs = 30_000;
// A dyno that lived this long was not crashing: its next restart comes at once again.
const soundLifeMs = 60_000;

// One place in the formation (`web.2`); its dyno comes and goes.
interface Slot {
  name: string;
  type: string;
  run: RunningDyno | undefined;
  port: number;
  leaving: AbortController;
}

/** Makes the formation of an app; nothing runs until `resume` or `scale`. */
export function createFormation(deps: FormationDeps): Formation {
  const slots = new Map<string, Slot>();
  let closing = false;

  const entries = async (): Promise<FormationEntry[]> => {
    const rows = new Map(deps.state.formation().map((row) => [row.type, row]));
    return [...(await readProcfile(deps.appDir))].map(([type, command]) => {
      const row = rows.get(type) ?? { type, id: deps.id(), quantity: 0, size: 'Basic', updatedAt: deps.now() };
      if (!rows.has(type)) deps.state.setFormation(row);
      return { ...row, command };
    });
  };
  const size = (type: string): string => deps.state.formation().find((row) => row.type === type)?.size ?? 'Basic';

  const startIn = async (slot: Slot): Promise<void> => {
    slot.port = await freePort();
    const command = (await readProcfile(deps.appDir)).get(slot.type);
    if (slot.leaving.signal.aborted) return;
    const id = deps.id();
    deps.state.addNamedDyno(id, slot.name);
    const web = slot.type === 'web';
    slot.run = deps.launcher.launch(
      { id, name: slot.name, type: slot.type, command: command ?? '', size: size(slot.type), attachUrl: null },
      {
        command: (procfile) => procfile.get(slot.type) ?? `echo 'the Procfile has no process type ${slot.type} any more'; exit 127`,
        env: {},
        port: slot.port,
        // Heroku cycles formation dynos daily to move them between machines; here is only one.
        lifeSeconds: undefined,
        ...(web ? { ready: (signal: AbortSignal) => bound(slot, signal) } : {}),
        endState: (stopped) => (stopped ? 'down' : 'crashed'),
      },
    );
  };
  const bound = async (slot: Slot, signal: AbortSignal): Promise<boolean> => {
    const ready = await listens(slot.port, deps.bootMs, signal);
    if (!ready && !signal.aborted) {
      const text = `Error R10 (Boot timeout) -> Web process failed to bind to $PORT within ${deps.bootMs / 1000} seconds of launch`;
      deps.log.append('heroku', slot.name, text);
    }
    return ready;
  };
  // Keeps one place filled until it is given up.
  const keep = async (slot: Slot): Promise<void> => {
    let waitMs = 0;
    while (!slot.leaving.signal.aborted) {
      await startIn(slot);
      const { run } = slot;
      if (run === undefined) break;
      await run.ended;
      // An end that was asked for (restart, scale) is no crash.
      if (run.dyno.state !== 'crashed' || deps.now() - run.dyno.createdAt > soundLifeMs) waitMs = 0;
      if (waitMs > 0) await delay(waitMs, undefined, { signal: slot.leaving.signal }).catch(() => undefined);
      waitMs = Math.min(longestRestartMs, waitMs === 0 ? firstRestartMs : waitMs * 2);
      if (!slot.leaving.signal.aborted) deps.log.append('heroku', slot.name, `State changed from ${run.dyno.state} to starting`);
    }
    if (slots.get(slot.name) === slot) slots.delete(slot.name);
  };
  const give = (name: string, type: string): void => {
    const slot: Slot = { name, type, run: undefined, port: 0, leaving: new AbortController() };
    slots.set(name, slot);
    keep(slot).catch((error: unknown) =>
      deps.report(`${name} is no longer kept running: ${error instanceof Error ? error.message : String(error)}`),
    );
  };
  const giveUp = (slot: Slot, graceMs: number): void => {
    slot.leaving.abort();
    slot.run?.stop(graceMs);
  };
  const match = (known: readonly FormationEntry[]): void => {
    const wished = new Map(known.map((row) => [row.type, row.quantity]));
    for (const slot of slots.values()) {
      if (numberOf(slot.name) > (wished.get(slot.type) ?? 0)) giveUp(slot, deps.stopGraceMs);
    }
    for (const [type, quantity] of wished) {
      for (let number = 1; number <= quantity; number += 1) {
        const name = `${type}.${number}`;
        const slot = slots.get(name);
        if (slot === undefined || slot.leaving.signal.aborted) give(name, type);
      }
    }
  };

  return {
    entries,
    async scale(updates) {
      if (closing) throw new ApiError(503, 'service_unavailable', 'The local dynos platform is stopping.');
      const known = new Map((await entries()).map((entry) => [entry.type, entry]));
      for (const { type } of updates) {
        if (!known.has(type)) throw new ApiError(404, 'not_found', `Couldn't find that process type (${type}).`, { resource: 'formation' });
      }
      const resized = new Set<string>();
      for (const { type, quantity, size: wanted } of updates) {
        const entry = known.get(type);
        if (entry === undefined) continue;
        if (wanted !== undefined && wanted !== entry.size) resized.add(type);
        const { command: _, ...row } = entry;
        deps.state.setFormation({ ...row, quantity: quantity ?? row.quantity, size: wanted ?? row.size, updatedAt: deps.now() });
      }
      match(await entries());
      for (const slot of slots.values()) if (resized.has(slot.type)) slot.run?.stop(deps.stopGraceMs);
      return (await entries()).filter(({ type }) => updates.some((update) => update.type === type));
    },
    list: () => [...slots.values()].flatMap(({ run }) => (run === undefined ? [] : [run.dyno])),
    find: (nameOrId) => [...slots.values()].find(({ name, run }) => name === nameOrId || run?.dyno.id === nameOrId)?.run?.dyno,
    restart({ dyno, type }) {
      const chosen = [...slots.values()].filter(
        (slot) => (dyno === undefined || slot.name === dyno || slot.run?.dyno.id === dyno) && (type === undefined || slot.type === type),
      );
      for (const slot of chosen) slot.run?.stop(deps.stopGraceMs);
      return chosen.length > 0;
    },
    web: () =>
      [...slots.values()].flatMap(({ name, type, port, run }) => (type === 'web' && run?.dyno.state === 'up' ? [{ name, port }] : [])),
    async resume() {
      match(await entries());
    },
    stopAll(graceMs) {
      closing = true;
      for (const slot of slots.values()) giveUp(slot, graceMs);
    },
  };
}

function numberOf(name: string): number {
  return Number(name.slice(name.lastIndexOf('.') + 1));
}

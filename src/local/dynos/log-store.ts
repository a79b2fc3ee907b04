import type { LogLine, PlatformState } from './platform-state.ts';

// Heroku keeps 1,500 lines per app (heroku.md 2.5). A workflow's group can write more than that at once, so ten thousand are kept here, within 16 MiB.
const keptLines = 10_000;
const keptBytes = 16 * 1024 * 1024;
// Lines reach the disk in batches: a burst costs one transaction, and a killed platform loses at most this much history.
const saveAfterMs = 100;

/** Which lines a reader wants: a full dyno name (`run.7`) or a bare process type (`run`), and the side that wrote them. */
export interface LogFilter {
  dyno?: string;
  source?: string;
}

/** The app's log: the newest lines in memory, the same on disk, and readers that follow. */
export interface LogStore {
  append(source: LogLine['source'], dyno: string, text: string): void;
  /** The newest `count` lines that pass the filter, oldest first. */
  newest(count: number, filter: LogFilter): LogLine[];
  /** Up to `count` lines after `seq` that pass the filter; `missed` is how many lines were dropped before they could be read, `next` where to go on. */
  after(seq: number, count: number, filter: LogFilter): { lines: LogLine[]; missed: number; next: number };
  lastSeq(): number;
  /** Resolves when a line after `seq` exists, or when the signal ends the wait. */
  changed(seq: number, signal: AbortSignal): Promise<void>;
  /** Writes what is not on disk yet. */
  save(): void;
}

/** Makes the log on top of the durable state, with the history that it holds. */
export function createLogStore(deps: { state: PlatformState; now: () => number; report: (message: string) => void }): LogStore {
  const kept: LogLine[] = deps.state.loadLogs();
  let first = 0;
  let bytes = kept.reduce((sum, line) => sum + cost(line), 0);
  let seq = kept.at(-1)?.seq ?? 0;
  let unsaved = 0;
  let timer: NodeJS.Timeout | undefined;
  const waiting = new Set<() => void>();

  const save = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const lines = kept.slice(Math.max(first, kept.length - unsaved));
    try {
      deps.state.saveLogs(lines, kept.length - first);
      unsaved = 0;
    } catch (error) {
      // A full disk must not end the platform and its dynos: the lines stay in memory and go with the next batch.
      deps.report(`log lines could not be written to disk: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const trim = (): void => {
    while (kept.length - first > keptLines || bytes > keptBytes) {
      const oldest = kept[first];
      if (oldest === undefined) break;
      bytes -= cost(oldest);
      first += 1;
    }
    // Shifting one by one would move the whole array for every line: drop the dead head once it is as long as the living part.
    if (first > keptLines) {
      kept.splice(0, first);
      first = 0;
    }
  };
  const position = (after: number): number => {
    const oldest = kept[first];
    return oldest === undefined ? kept.length : first + Math.max(0, after + 1 - oldest.seq);
  };

  return {
    append(source, dyno, text) {
      seq += 1;
      const line = { seq, at: deps.now(), source, dyno, text };
      kept.push(line);
      bytes += cost(line);
      unsaved += 1;
      trim();
      timer ??= setTimeout(save, saveAfterMs);
      for (const wake of waiting) wake();
    },
    newest(count, filter) {
      const found: LogLine[] = [];
      for (let index = kept.length - 1; index >= first && found.length < count; index -= 1) {
        const line = kept[index];
        if (line !== undefined && passes(line, filter)) found.push(line);
      }
      return found.reverse();
    },
    after(from, count, filter) {
      const oldest = kept[first];
      const missed = oldest === undefined ? 0 : Math.max(0, oldest.seq - from - 1);
      const lines: LogLine[] = [];
      let next = Math.max(from, (oldest?.seq ?? seq + 1) - 1);
      for (let index = position(from); index < kept.length && lines.length < count; index += 1) {
        const line = kept[index];
        if (line === undefined) break;
        next = line.seq;
        if (passes(line, filter)) lines.push(line);
      }
      return { lines, missed, next };
    },
    lastSeq: () => seq,
    changed(from, signal) {
      if (seq > from || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const wake = (): void => {
          waiting.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        waiting.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    },
    save,
  };
}

/** One line as Heroku prints it: `2026-11-22T01:27:50.332000+00:00 app[run.1234]: text`. */
export function formatLogLine(line: LogLine): string {
  const at = new Date(line.at).toISOString();
  return `${at.slice(0, -1)}000+00:00 ${line.source}[${line.dyno}]: ${line.text}`;
}

function passes(line: LogLine, { dyno, source }: LogFilter): boolean {
  if (source !== undefined && line.source !== source) return false;
  return dyno === undefined || line.dyno === dyno || line.dyno.startsWith(`${dyno}.`);
}

// A rough size in memory: two bytes a character and the object itself.
function cost(line: LogLine): number {
  return line.text.length * 2 + 100;
}

import type { Context } from 'hono';
import type { Transition } from '../queues/channel.ts';
import { type HistoryEntry, isFinal, type Problem, type RunState } from '../schema/run-view.ts';
import type { Caller, Streams } from './streams.ts';

/** Entries that are read at a time. */
const PAGE = 500;

export interface StreamDeps {
  readonly streams: Streams;
  readonly head: (runId: string) => Promise<{ resource: string; state: RunState; error: Problem | null } | undefined>;
  /** Entries of the history after the `after`th. */
  readonly history: (runId: string, after: number, limit: number) => Promise<readonly HistoryEntry[]>;
  readonly listen: (onTransition: (transition: Transition) => void) => () => void;
}

/** Every entry of the run's history as an event with its number as id, from the one after Last-Event-ID on; ends with the run. */
export function streamRun(c: Context, caller: Caller, deps: StreamDeps, runId: string, after: number): Response {
  let sent = lastId(c) ?? after;
  return deps.streams.turns(c, caller, {
    listen: (ring) =>
      deps.listen((transition) => {
        if (transition.runId === runId) ring();
      }),
    turn: async (stream) => {
      // the state first: entries that come after it are read next time, and `end` is always the last
      const run = await deps.head(runId);
      if (run === undefined) return 'end';
      for (;;) {
        const entries = await deps.history(runId, sent, PAGE);
        for (const entry of entries) {
          await stream.write({ id: String(entry.n), event: entry.what, data: JSON.stringify(entry) });
          sent = entry.n;
        }
        if (entries.length < PAGE || stream.ending.aborted) break;
      }
      if (!isFinal(run.state)) return 'go on';
      await stream.write({ event: 'end', data: JSON.stringify({ state: run.state, error: run.error }) });
      return 'end';
    },
  });
}

/** The number that a client which was cut off had last. */
function lastId(c: Context): number | undefined {
  const text = c.req.header('last-event-id');
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

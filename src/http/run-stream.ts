import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { Transition } from '../queues/channel.ts';
import { type HistoryEntry, isFinal, type Problem, type RunState } from '../schema/run-view.ts';

/** Milliseconds between two comments that keep a stream's connection open. */
const HEARTBEAT_MS = 15_000;
/** Entries that are read at a time. */
const PAGE = 500;

export interface StreamDeps {
  readonly head: (runId: string) => Promise<{ resource: string; state: RunState; error: Problem | null } | undefined>;
  /** Entries of the history after the `after`th. */
  readonly history: (runId: string, after: number, limit: number) => Promise<readonly HistoryEntry[]>;
  readonly listen: (onTransition: (transition: Transition) => void) => () => void;
}

/** Every entry of the run's history as an event with its number as id, from the one after Last-Event-ID on; ends with the run. */
export function streamRun(c: Context, deps: StreamDeps, runId: string, after: number): Response {
  let sent = lastId(c) ?? after;
  return stream(c, {
    listen: (ring) =>
      deps.listen((transition) => {
        if (transition.runId === runId) ring();
      }),
    turn: async (write) => {
      // the state first: entries that come after it are read next time, and `end` is always the last
      const run = await deps.head(runId);
      if (run === undefined) return 'end';
      for (;;) {
        const entries = await deps.history(runId, sent, PAGE);
        for (const entry of entries) {
          await write({ id: String(entry.n), event: entry.what, data: JSON.stringify(entry) });
          sent = entry.n;
        }
        if (entries.length < PAGE) break;
      }
      if (!isFinal(run.state)) return 'go on';
      await write({ event: 'end', data: JSON.stringify({ state: run.state, error: run.error }) });
      return 'end';
    },
  });
}

interface Turns {
  /** Calls back when there may be something new; answers with the way to stop that. */
  listen(ring: () => void): () => void;
  /** Writes what is new. */
  turn(write: (event: { id?: string; event?: string; data: string }) => Promise<void>): Promise<'go on' | 'end'>;
}

/** Takes turns until one ends the stream or the client is gone: at once, on every ring, and now and then in any case, since rings may get lost. */
export function stream(c: Context, { listen, turn }: Turns): Response {
  return streamSSE(c, async (sse) => {
    let wake = () => {};
    const stop = listen(() => wake());
    sse.onAbort(() => {
      stop();
      wake();
    });
    try {
      while (!sse.aborted) {
        // armed before the read: what is written after it rings
        const rung = new Promise<void>((resolve) => {
          wake = resolve;
        });
        if ((await turn((event) => sse.writeSSE(event))) === 'end') return;
        let late = false;
        const timer = setTimeout(() => {
          late = true;
          wake();
        }, HEARTBEAT_MS);
        await rung;
        clearTimeout(timer);
        if (late) await sse.write(': still here\n\n');
      }
    } finally {
      stop();
    }
  });
}

/** The number that a client which was cut off had last. */
function lastId(c: Context): number | undefined {
  const text = c.req.header('last-event-id');
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

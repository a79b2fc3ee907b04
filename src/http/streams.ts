// Event streams of API and pages: one place opens them all, asks at every heartbeat whether who opened them is still let in, and bounds their number.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import { within } from '../clients/deadline.ts';
import { isRedisOutage } from '../queues/redis-outage.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';

/** Milliseconds between two comments that keep a stream's connection open (Heroku's router ends one that is silent for 55 s). */
const HEARTBEAT_MS = 15_000;
/** Milliseconds that a heartbeat waits to hear whether the caller is still let in. */
const ASK_MS = 2_000;
/** Milliseconds until a stream that could not read reads again. */
const AGAIN_MS = 1_000;
/** Streams that one resource may have open in a process: a team's pages, and far fewer than would hold up others. */
const MOST_STREAMS = 50;

/** Who opened a stream. */
export interface Caller {
  readonly resource: string;
  /** Whether the same request would be let in now, as the same; rejects when nobody knows. */
  readonly stands: () => Promise<boolean>;
}

export interface EventStream {
  /** Aborted when the client is gone, is let in no more, or this process stops; what is written then goes nowhere. */
  readonly ending: AbortSignal;
  write(event: { readonly id?: string; readonly event?: string; readonly data: string }): Promise<void>;
  /** Writes a line that clients skip. */
  comment(text: string): Promise<void>;
  /** `wake` is called at every heartbeat and when the stream ends. */
  onBeat(wake: () => void): void;
}

interface Turns {
  /** Calls back when there may be something new; answers with the way to stop that. */
  listen(ring: () => void): () => void;
  /** Writes what is new. */
  turn(stream: EventStream): Promise<'go on' | 'end'>;
}

export type Streams = ReturnType<typeof createStreams>;

/** One for a process: it counts the streams that are open. */
export function createStreams({ log }: { log: Log }) {
  const counts = new Map<string, number>();
  const endings = new Set<() => void>();
  let ended = false;

  const enter = (resource: string): (() => void) => {
    counts.set(resource, (counts.get(resource) ?? 0) + 1);
    return () => {
      const left = (counts.get(resource) ?? 0) - 1;
      if (left > 0) counts.set(resource, left);
      else counts.delete(resource);
    };
  };

  /** A stream that lasts as long as `run` takes, which ends with `ending`. Throws Failure rate_limited. */
  const open = (c: Context, { resource, stands }: Caller, run: (stream: EventStream) => Promise<void>): Response => {
    if ((counts.get(resource) ?? 0) >= MOST_STREAMS)
      throw new Failure('rate_limited', `Found ${MOST_STREAMS} open event streams of ${resource}, which is the most; close one.`, {
        // one that was left is noticed at its next heartbeat, if not before
        retryAfter: HEARTBEAT_MS / 1000,
      });
    // nobody reads the body of such an answer, and nobody leaves it: it would be open for ever
    if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': 'text/event-stream' });
    return streamSSE(c, async (sse) => {
      const leave = enter(resource);
      const ending = new AbortController();
      sse.onAbort(() => ending.abort());
      const end = () => sse.abort();
      endings.add(end);
      if (ended) end();
      let wake = () => {};
      ending.signal.addEventListener('abort', () => wake());
      let saying = false;
      const say = async () => {
        // a client that does not read gets one comment, not all that it missed
        if (saying) return;
        saying = true;
        await sse.write(': still here\n\n');
        saying = false;
      };
      const beat = async () => {
        // not only this side: a write that waits for a client that does not read ends, too
        if (!(await isLetIn(stands, log))) return sse.abort();
        void say();
        wake();
      };
      const timer = setInterval(() => void beat(), HEARTBEAT_MS);
      try {
        await run({
          ending: ending.signal,
          write: (event) => sse.writeSSE(event),
          comment: async (text) => {
            await sse.write(`: ${text}\n\n`);
          },
          onBeat: (call) => {
            wake = call;
          },
        });
      } catch (error) {
        log.warn({ path: c.req.path, error: messageOf(error) }, 'a stream broke off');
      } finally {
        clearInterval(timer);
        endings.delete(end);
        leave();
      }
    });
  };

  return {
    open,

    /** Ends all streams, and from now on each as soon as it is opened: the process stops. Who listens finds a whole answer, and asks another process. */
    end: (): void => {
      ended = true;
      for (const end of endings) end();
    },

    /** Takes turns until one ends the stream: at once, on every ring, and at every heartbeat, since rings may get lost. Throws Failure rate_limited. */
    turns: (c: Context, caller: Caller, { listen, turn }: Turns): Response =>
      open(c, caller, async (stream) => {
        let wake = () => {};
        const stop = listen(() => wake());
        stream.onBeat(() => wake());
        try {
          while (!stream.ending.aborted) {
            // armed before the read: what is written after it rings
            const rung = new Promise<void>((resolve) => {
              wake = resolve;
            });
            try {
              if ((await turn(stream)) === 'end') return;
            } catch (error) {
              // a client that was cut off would come again at once, and all the others with it; it goes on where it was when Redis is back
              if (!isRedisOutage(error)) throw error;
              log.debug({ path: c.req.path, error: messageOf(error) }, 'a stream waits for Redis');
              await sleep(AGAIN_MS, undefined, { signal: stream.ending }).catch(() => {});
              continue;
            }
            if (!stream.ending.aborted) await rung;
          }
        } finally {
          stop();
        }
      }),
  };
}

/** Where nobody knows, because Redis is away, the stream goes on and the next heartbeat asks again: it would be opened anew at once, by everybody. */
async function isLetIn(stands: () => Promise<boolean>, log: Log): Promise<boolean> {
  try {
    return await within({}, ASK_MS, stands);
  } catch (error) {
    log.debug({ error: messageOf(error) }, 'it is not known whether who opened a stream is still let in');
    return true;
  }
}

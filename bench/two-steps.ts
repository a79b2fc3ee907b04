// What every peer has to do, in a process of its own as our worker has one: two steps, each a POST of Heroku's client to the stub and the wait
// for an event that comes from outside 25 ms later, then the run's end. A peer says how it accepts runs and events; this drives it.
import { setTimeout as after } from 'node:timers/promises';
import { createDynoPlatform } from '../src/clients/heroku.ts';
import { createObjectStore } from '../src/clients/s3.ts';

/** Milliseconds from a launch to its event: what engine-bench.ts takes for outputs. */
const EVENT_AFTER_MS = 25;
/** Runs of one batch, as SQS gives them, and batches at a time: as engine-bench.ts feeds the engine. */
const BATCH = 10;
const CONSUMERS = 4;
/** Milliseconds for a round of `n` runs: what takes longer is stuck. */
const DEADLINE_MS = 120_000;
/** Jobs at a time, as our worker takes them. */
export const CONCURRENCY = 100;

export interface Peer {
  /** Records the runs of one batch; resolves when they are recorded. */
  readonly start: (ids: readonly string[]) => Promise<void>;
  /** Takes the event that the launch with this token waits for; resolves when it is recorded. */
  readonly event: (token: string) => Promise<void>;
  readonly stop: () => Promise<void>;
}

export interface Ground {
  /** Launches something, once: the POST. Its event comes by the token, 25 ms after the call. */
  readonly launch: (token: string) => Promise<void>;
  /** A run's end was recorded. */
  readonly ended: () => void;
}

/**
 * What the bench asks of a peer's process, and what it answers. `looks`: each run's file and each event's object is looked at first, with our S3
 * client, as whoever gives a peer S3's events has to.
 */
export type Asked = { readonly runs: number; readonly looks: boolean };
export type Answered = { readonly ready: true } | { readonly perSecond: number } | { readonly error: string };

/** Serves the bench until it disconnects. `make` gets the stub's address and the store's: `argv` of the process. */
export async function servePeer(make: (ground: Ground, where: { readonly store: string }) => Promise<Peer>): Promise<void> {
  const [endpoint = '', store = ''] = process.argv.slice(2);
  const tell = (what: Answered) => {
    if (process.connected) process.send?.(what);
  };
  const heroku = createDynoPlatform({ baseUrl: endpoint, token: 't', userAgent: 'bench', now: Date.now });
  const objects = createObjectStore({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIABENCH', secretAccessKey: 'secret' },
  });
  let looks = false;
  const look = async (key: string) => {
    if (looks && (await objects.head('bench', key, 'v')) === undefined) throw new Error(`no object ${key}`);
  };
  const order = { env: {}, size: 'Basic', timeToLive: 14_400 };
  let fail: (error: unknown) => void = () => {};
  let onEnd = () => {};
  const happen = async (token: string) => {
    await after(EVENT_AFTER_MS);
    await look(`out/${token}`);
    await peer.event(token);
  };
  const ground: Ground = {
    launch: async (token) => {
      happen(token).catch((error: unknown) => fail(error));
      const answer = await heroku.launch('bench', { ...order, command: `work # ${token}` }, { deadline: 10_000 });
      if (answer.outcome !== 'accepted') fail(new Error(`a launch was ${answer.outcome}`));
    },
    ended: () => onEnd(),
  };
  const peer = await make(ground, { store });
  let rounds = 0;
  const round = async (runs: number): Promise<number> => {
    rounds += 1;
    const ids = Array.from({ length: runs }, (_, n) => `run-${rounds}-${n}`);
    let ended = 0;
    const all = new Promise<void>((resolve, reject) => {
      fail = reject;
      onEnd = () => {
        ended += 1;
        if (ended === runs) resolve();
      };
    });
    const late = after(DEADLINE_MS, undefined, { ref: false }).then(() => {
      throw new Error(`${ended} of ${runs} runs ended in ${DEADLINE_MS} ms`);
    });
    const began = performance.now();
    let next = 0;
    const consumer = async () => {
      while (next < runs) {
        const batch = ids.slice(next, next + BATCH);
        next += BATCH;
        await Promise.all(batch.map((id) => look(`in/${id}`)));
        await peer.start(batch);
      }
    };
    await Promise.race([late, Promise.all([all, ...Array.from({ length: CONSUMERS }, consumer)])]);
    return runs / ((performance.now() - began) / 1000);
  };
  process.on('message', (asked: Asked) => {
    looks = asked.looks;
    round(asked.runs).then(
      (perSecond) => tell({ perSecond }),
      (error: unknown) => tell({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.on('disconnect', () => {
    // what a peer still has in hand is of no interest any more
    peer.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  });
  tell({ ready: true });
}

/** The token of a run's step, where the peer has none of its own, and back. */
export const tokenOf = (run: string, step: number): string => `${run}/${step}`;
export function readToken(token: string): { run: string; step: number } {
  const [run = '', step] = token.split('/');
  return { run, step: Number(step) };
}

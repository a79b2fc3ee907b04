// Signs of life: what each worker process says of itself every few seconds, for the web process to judge the whole by.
import type { Redis } from 'ioredis';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { WORKERS_KEY } from './keys.ts';

/** Milliseconds after which a silent worker is forgotten. */
const FORGET_MS = 600_000;

const WorkerSign = Type.Object({
  /** Redis' time in milliseconds when it was given. */
  at: Type.Number(),
  /** Activations and messages that the process has served since its start. */
  served: Type.Number(),
  /** Messages that could be received from the event queue, when it last told. */
  messages: Type.Number(),
  /** What has stalled in that process. */
  stalled: Type.Array(Type.String()),
});
export type WorkerSign = Static<typeof WorkerSign>;

const sign = Compile(WorkerSign);

export type WorkerSigns = ReturnType<typeof createWorkerSigns>;

export function createWorkerSigns(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    give: async (worker: string, next: WorkerSign): Promise<void> => {
      await redis.hset(WORKERS_KEY, worker, JSON.stringify(next));
    },

    /** A worker that stops in order says so: it is not missed. */
    withdraw: async (worker: string): Promise<void> => {
      await redis.hdel(WORKERS_KEY, worker);
    },

    /** All workers of the last ten minutes. `now`: Redis' time. Those that were killed long ago are forgotten. */
    all: async (now: number): Promise<ReadonlyMap<string, WorkerSign>> => {
      const found = new Map<string, WorkerSign>();
      const gone: string[] = [];
      for (const [worker, text] of Object.entries(await redis.hgetall(WORKERS_KEY))) {
        const parsed = parse(text);
        if (parsed === undefined || now - parsed.at > FORGET_MS) gone.push(worker);
        else found.set(worker, parsed);
      }
      if (gone.length > 0) await redis.hdel(WORKERS_KEY, ...gone);
      return found;
    },
  };
}

/** undefined for what another version wrote. */
function parse(text: string): WorkerSign | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return sign.Check(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

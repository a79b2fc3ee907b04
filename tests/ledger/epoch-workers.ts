// Workers that watch over one Redis, each behind a way of its own. Whoever imports this has them ended after each test.
import { afterEach } from 'vitest';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { startEpoch } from '../../src/processors/epoch.ts';
import { connect } from '../../src/queues/connection.ts';
import { STORE_KEY } from '../../src/queues/keys.ts';
import { type Layout, unchanged } from '../../src/queues/layout.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createStoreEpoch } from '../../src/queues/store-epoch.ts';
import { createSweeping } from '../../src/queues/sweeping.ts';
import { createWatch, type Watch } from '../../src/queues/watch.ts';
import type { Failpoint } from '../../src/schema/failpoint.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, ScriptedCloud } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';

/** What is to be ended after the test, last first. */
export const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A Redis, an archive, and as many workers as are asked for. */
export async function start(options: Parameters<typeof startRedis>[0] = {}) {
  const redis = await startRedis(options);
  const cloud = new ScriptedCloud('bucket', {});
  ends.push(redis.stop, () => cloud.close());
  const raised: string[] = [];
  const said: string[] = [];

  const worker = (
    name: string,
    change: {
      hold?: Watch['hold'];
      store?: Partial<ObjectStore>;
      socket?: string;
      recovered?: (resource: string) => Promise<number>;
      now?: () => number;
      monotonic?: () => number;
      onRecovered?: () => Promise<void>;
      layout?: Layout;
      failpoint?: Failpoint;
    } = {},
  ) => {
    const connection = connect({ socket: change.socket ?? redis.socket }, () => {});
    ends.push(() => connection.disconnect());
    const store = { ...cloud.store, ...change.store };
    const watch = createWatch({ redis: connection, shard: 0 });
    const say = (_: unknown, text: string) => said.push(`${name}: ${text}`);
    const epochs = createStoreEpoch({ redis: connection, shards: () => 1 });
    const epoch = startEpoch({
      epochs,
      backup: createResourceBackup({ redis: connection }),
      marks: createArchiveMarks({ store, bucket: ARCHIVE_BUCKET }),
      store,
      archiveBucket: ARCHIVE_BUCKET,
      shards: 1,
      layout: change.layout ?? unchanged(1),
      watch: change.hold === undefined ? watch : { ...watch, hold: change.hold },
      clock: createSweeping({ redis: connection, shard: 0 }).clock,
      recovered: change.recovered ?? (() => Promise.resolve(0)),
      now: change.now ?? Date.now,
      monotonic: change.monotonic ?? (() => performance.now()),
      onRecovered: async () => {
        await change.onRecovered?.();
        raised.push(name);
      },
      failpoint: change.failpoint,
      log: { debug: say, info: say, warn: say, error: say },
    });
    ends.push(epoch.stop);
    return { ...epoch.recall, connection, watch, stop: epoch.stop };
  };
  const witness = () => JSON.parse(cloud.objects.get(`${ARCHIVE_BUCKET}/store.json`)?.body ?? 'null');
  return { redis, cloud, worker, raised, said, witness };
}

/** A gate before a worker is alone; `waiting` once it stands there. */
export function gateBefore(hold: () => Watch['hold']) {
  const open = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  return {
    open: open.resolve,
    waiting: waiting.promise,
    hold: async (what: string, ms: number) => {
      waiting.resolve();
      await open.promise;
      return await hold()(what, ms);
    },
  };
}

type Started = Awaited<ReturnType<typeof start>>;

/**
 * Two workers behind proxies that are held up: of what Redis has beyond the copy to which it is rolled back, `seer` saw a part and `blind`, whose count
 * is on its way, nothing.
 */
export async function seenByOneAlone(redis: Started['redis'], worker: Started['worker']) {
  const [away, blinded] = await Promise.all([startRedisProxy(redis.socket), startRedisProxy(redis.socket)]);
  ends.push(away.close, blinded.close);
  const seer = worker('seer', { socket: away.socket });
  const blind = worker('blind', { socket: blinded.socket });
  await until('both are sure', () => seer.whole() !== undefined && blind.whole() !== undefined);
  blinded.hold();
  await until('a count of the blind one to be on its way', () => blinded.held() > 0);
  const rollBack = await redis.remember();
  const eye = connect({ socket: redis.socket }, () => {});
  ends.push(() => eye.disconnect());
  const beat = async () => Number(await eye.hget(STORE_KEY, 'beat'));
  const before = await beat();
  await until('beats that only one sees', async () => (await beat()) >= before + 2);
  away.hold();
  await until('the seer to be held up', () => away.held() > 0);
  return { away, blinded, seer, blind, eye, beat, rollBack };
}

/** A worker's clock for what lasts, which a test sets ahead; a minute later the next witness is due. */
export function aheadBy() {
  const clock = { ahead: 0 };
  return { clock, monotonic: () => performance.now() + clock.ahead };
}
/** After that long the next witness is due. */
export const MINUTE_MS = 60_000;

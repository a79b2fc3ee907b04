// Redis is emptied or rolled back under load.
import { expect, it } from 'vitest';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { nodesOf } from '../../src/queues/connection.ts';
import { STORE_KEY, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { ends, start, task } from './losing-engine.ts';

it('emptied, with a watermark: every version is accounted for, what had ended stays ended, and the rest is done', async () => {
  const { redis, engine, ledger, archived, allAccounted, release } = await start();
  const over = [engine.upload([task('ok')]), engine.upload([task('ok'), task('ok')])];
  const before = await Promise.all(over.map((runId) => engine.ended(runId)));
  for (const runId of over) await archived(runId);
  const open = Array.from({ length: 10 }, () => engine.upload([task('held'), task('ok')]));
  await until('ten launches', () => open.every((runId) => engine.cloud.postsOf(runId).length === 1));
  engine.cloud.putSilently('in/lost', JSON.stringify({ run: [task('ok')] }), { ld_run: 'true' });
  const postsBefore = over.map((runId) => engine.cloud.postsOf(runId).length);

  await redis.wipe();
  const late = Array.from({ length: 5 }, () => engine.upload([task('ok')]));
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);
  release();

  for (const runId of [...open, ...late]) {
    const run = await engine.ended(runId, 60_000);
    expect(run.state, JSON.stringify(run.history)).toBe('succeeded');
  }
  await allAccounted();
  // ended runs are back as they were, history and all
  for (const [i, runId] of over.entries()) {
    expect(await until(`run ${runId} back`, () => engine.show(runId))).toEqual(before[i]);
    expect(engine.cloud.postsOf(runId)).toHaveLength(postsBefore[i] ?? -1);
  }
  // no attempt was launched twice: those after the loss have numbers of their own
  const attempts = engine.cloud.posts.map(({ taskId, attempt }) => `${taskId}/${attempt}`);
  expect(new Set(attempts).size).toBe(attempts.length);
  const view = await until('the figures', async () => {
    const found = await ledger();
    return found.accounted_for === found.in_scope && found.in_scope > 0 && found;
  });
  // what was open, and the file that no event had told of, may have been executed before
  expect(view.reexecuted).toBeGreaterThanOrEqual(open.length);
  expect(view.reexecuted).toBeLessThanOrEqual(open.length + late.length + 1);
}, 120_000);

it('emptied, while a bucket refuses its exports: it has those of the runs that come back when it takes them', async () => {
  const { redis, engine, ledger, archived } = await start();
  const { put } = engine.cloud.store;
  let refuses = true;
  engine.cloud.store.put = async (bucket, ...rest) => {
    if (refuses && bucket === engine.bucket) throw new Failure('s3_refused', 'PUT: HTTP 403 AccessDenied.');
    return await put(bucket, ...rest);
  };
  const { unexported, unexportedOf, run } = shardKeys(0);
  const waits = async (runId: string) => (await engine.redis.zscore(unexportedOf(engine.resource), runId)) !== null;
  const runId = engine.upload([task('ok')]);
  await engine.ended(runId);
  await archived(runId);
  await until('it to wait', () => waits(runId));

  await redis.wipe();
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);
  await until('the run back', () => engine.show(runId));
  // retention must not take what its tenant has not got
  expect(await engine.redis.hexists(run(runId), 'arch')).toBe(0);
  refuses = false;
  await until('it to wait again', () => waits(runId));
  await engine.redis.zadd(unexported, 'XX', 0, engine.resource);
  await until('its export', () => engine.cloud.saved.some(({ bucket, key }) => bucket === engine.bucket && key.endsWith(`/${runId}.json`)));
  await until('it to be noted', async () => (await engine.redis.hexists(run(runId), 'arch')) === 1);
}, 120_000);

it('emptied: a resource that was paused is paused, and its webhooks are there', async () => {
  const { redis, engine, ledger } = await start();
  const budget = createBudget({ redis: engine.redis, perHour: 1_000, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const webhooks = createWebhooks({
    redis: engine.redis,
    sealer: createSealer(Buffer.alloc(32, 1)),
    shards: () => 1,
    now: Date.now,
    onError: () => {},
  });
  ends.push(webhooks.close);
  await budget.pause(ADDON_ACCOUNT, engine.resource);
  const { secret: _secret, ...webhook } = await webhooks.add(engine.resource, 'https://customer.example/hook');
  const held = engine.upload([task('ok')]);
  await until('a backup with both', () => {
    const text = engine.cloud.objects.get(`${ARCHIVE_BUCKET}/resources/${engine.resource}.json`)?.body ?? '';
    return text.includes(webhook.id) && text.includes('paused');
  });

  await redis.wipe();
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);

  expect(await webhooks.list(engine.resource)).toEqual([webhook]);
  await until('the run, held back', async () => (await engine.show(held))?.steps[0]?.tasks[0]?.state === 'waiting');
  expect(engine.cloud.postsOf(held)).toHaveLength(0);
  await budget.resume(ADDON_ACCOUNT, engine.resource);
  expect((await engine.ended(held, 30_000)).state).toBe('succeeded');
}, 60_000);

it('emptied, without a watermark: nothing runs again by itself', async () => {
  const { redis, engine, ledger, archived, release } = await start();
  const over = engine.upload([task('ok')]);
  await engine.ended(over);
  await archived(over);
  const open = engine.upload([task('held')]);
  await until('the launch', () => engine.cloud.postsOf(open).length === 1);
  const posts = engine.cloud.posts.length;

  await redis.wipe(() => engine.cloud.objects.delete(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`));
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);
  const view = await until('a few sweeps', async () => {
    const found = await ledger();
    return found.watermark !== null && Date.parse(found.swept_at ?? '') > Date.parse(found.watermark.since) + 1_000 && found;
  });
  expect(view.before_account).toBe(3);
  expect(view.in_scope).toBe(0);
  expect(engine.cloud.posts.length).toBe(posts);
  expect(await engine.redis.exists(shardKeys(0).run(open), shardKeys(0).run(over))).toBe(0);
  // and what is saved from now on runs as ever
  release();
  expect((await engine.ended(engine.upload([task('ok')]))).state).toBe('succeeded');
}, 120_000);

it('rolled back under tasks that are due: none is launched until Redis is known to be whole, and no number is used twice', async () => {
  const redis = await startRedis();
  ends.push(redis.stop);
  const engine = await startTestEngine(
    redis,
    {
      flaky: async (dyno) => {
        if (dyno.post.attempt % 100 > 1) await dyno.output(200);
        else dyno.exit(5, 1);
        return dyno.accept();
      },
    },
    { ledgerMs: 100, lateMs: 300 },
  );
  ends.push(engine.stop);
  let gate = Promise.resolve();
  const { store } = engine.cloud;
  await engine.replaceEngine({
    store: {
      ...store,
      text: async (bucket, key, ...more) => {
        if (key === 'store.json') await gate;
        return await store.text(bucket, key, ...more);
      },
    },
  });
  const runId = engine.upload([{ cmd: 'flaky', timeout: 60, retries: 2, backoff: { type: 'fixed', delay: 4 } }]);
  await until('the backoff', async () => (await engine.redis.hget(shardKeys(0).run(runId), 'p:0.0')) === 'backoff');
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const rollBack = await redis.remember();
  // what was counted while it was copied may be in the copy
  const remembered = await beats();
  const second = () => engine.cloud.postsOf(runId).filter(({ attempt }) => attempt === 2).length;
  // a copy that has the second attempt loses nothing
  expect(second()).toBe(0);
  await until('the second attempt', () => second() === 1);
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);

  const open = Promise.withResolvers<void>();
  gate = open.promise;
  await rollBack();
  const started = async () => Number(await engine.redis.hget(`${shardPrefix(0)}:task:${runId}.0.0`, 'ats'));
  const before = await started();
  await until('its task to be handed out again', async () => (await started()) > before + 1);
  expect(second()).toBe(1);
  open.resolve();
  expect((await engine.ended(runId, 60_000)).state).toBe('succeeded');
  expect(second()).toBe(1);
}, 60_000);

it('rolled back between the intent and its launch: that launch is not sent', async () => {
  const { redis, engine } = await start();
  const backup = () => engine.cloud.objects.get(`${ARCHIVE_BUCKET}/resources/${engine.resource}.json`)?.body ?? '';
  // the app's process types are asked for between the two
  await engine.resources.change(engine.resource, { set: { commands: 'procfile' } });
  await until('a backup of it', () => backup().includes('procfile'));
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const rollBack = await redis.remember();
  // what was counted while it was copied may be in the copy
  const remembered = await beats();
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);
  let rolledBack = false;
  engine.cloud.platform.processTypes = async () => {
    if (!rolledBack) {
      rolledBack = true;
      await rollBack();
    }
    return ['ok'];
  };
  const runId = engine.upload([task('ok')]);
  expect((await engine.ended(runId, 60_000)).state).toBe('succeeded');
  expect(engine.cloud.postsOf(runId).map(({ attempt }) => attempt)).toEqual([101]);
}, 90_000);

it('emptied on an unbroken connection while an output is looked at: it is not set aside as one of no run', async () => {
  let armed = false;
  const { engine, allAccounted, release } = await start();
  const { store } = engine.cloud;
  await engine.replaceEngine({
    store: {
      ...store,
      head: async (...args) => {
        const found = await store.head(...args);
        if (armed) {
          armed = false;
          await Promise.all(nodesOf(engine.redis).map((node) => node.flushall()));
        }
        return found;
      },
    },
  });
  const runId = engine.upload([task('held')]);
  await until('the launch', async () => (await engine.show(runId))?.history.some(({ what }) => what === 'launched'));
  armed = true;
  release();
  expect((await engine.ended(runId, 45_000)).state).toBe('succeeded');
  await allAccounted();
  expect(await engine.quarantine()).toEqual([]);
}, 90_000);

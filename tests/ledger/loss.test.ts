// Redis is emptied or rolled back under load.
import { afterEach, expect, it } from 'vitest';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { nodesOf } from '../../src/queues/connection.ts';
import { STORE_KEY, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { openAccount, readLedger } from '../../src/queues/ledger.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import { Failure } from '../../src/schema/failures.ts';
import { isFinal } from '../../src/schema/run-view.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, eventOf } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(overrides: Partial<EngineOptions> = {}) {
  const redis = await startRedis();
  ends.push(redis.stop);
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
      held: async (dyno) => {
        void gate.then(async () => await dyno.output(1));
        return await Promise.resolve(dyno.accept());
      },
      // its output has something else that is to be decided, so its delivery alone does not account for it; no message brings it again
      odd: async (dyno) => {
        void gate.then(async () => await dyno.output(1, { ld_run: 'perhaps' }, { eventLost: true }));
        return await Promise.resolve(dyno.accept());
      },
    },
    { ledgerMs: 100, lateMs: 300, ...overrides },
  );
  ends.push(engine.stop);
  const ledger = () => readLedger(engine.redis, { id: engine.resource, bucket: engine.bucket }, 1);
  const archived = (runId: string) =>
    until(`run ${runId} archived`, () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/runs/${runId}.json`), 30_000);
  await until('a witness, a watermark and a backup', () =>
    ['store.json', `watermarks/${engine.resource}.json`, `resources/${engine.resource}.json`].every((key) =>
      engine.cloud.objects.has(`${ARCHIVE_BUCKET}/${key}`),
    ),
  );
  const mine = () => engine.cloud.saved.filter(({ bucket, key }) => bucket === engine.bucket && !key.startsWith('.autofiles/'));
  const allAccounted = () =>
    until(
      'every version accounted for',
      async () =>
        (await (await openAccount(engine.redis, engine.resource, unchanged(1), Date.now() - 7_200_000)).missing(mine())).length === 0,
      60_000,
    );
  return { redis, engine, ledger, archived, allAccounted, release };
}
const task = (cmd: string) => ({ cmd, timeout: 60 });

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

it('rolled back: what is backed up is the later of two records, and none of a Redis that may have lost data', async () => {
  const { redis, engine, ledger } = await start();
  const backup = () => engine.cloud.objects.get(`${ARCHIVE_BUCKET}/resources/${engine.resource}.json`)?.body ?? '';
  const put: string[] = [];
  const said: string[] = [];
  let noWitness = false;
  const say = (_: unknown, text: string) => said.push(text);
  await engine.replaceEngine({
    store: {
      ...engine.cloud.store,
      put: async (bucket, key, ...rest) => {
        if (noWitness && key === 'store.json') throw new Failure('s3_unavailable', 'PUT: HTTP 503 SlowDown.');
        put.push(key);
        return await engine.cloud.store.put(bucket, key, ...rest);
      },
    },
    log: { debug: () => {}, info: () => {}, warn: say, error: say },
  });
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const rollBack = await redis.remember();
  // what was counted while it was copied may be in the copy
  const remembered = await beats();
  await engine.resources.change(engine.resource, { set: { plan: 'premium' } });
  await until('a backup of the change', () => backup().includes('premium'));
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);

  // the loss is noticed, and cannot be put right yet
  noWitness = true;
  await rollBack();
  said.length = 0;
  put.length = 0;
  // every quarter of a second, in which a sweep is due twice
  await until('looks at it', () => said.filter((text) => text === 'turn failed').length >= 8, 40_000);
  expect(put.filter((key) => key.startsWith('resources/'))).toEqual([]);
  noWitness = false;
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);
  expect((await engine.resources.get(engine.resource))?.plan).toBe('premium');
}, 90_000);

it('rolled back while a backup is compared with the archive: what Redis said before is not written', async () => {
  const { redis, engine, ledger } = await start();
  const key = `resources/${engine.resource}.json`;
  const put: string[] = [];
  const said: string[] = [];
  const gate = Promise.withResolvers<void>();
  let [armed, looking, noWitness] = [false, false, false];
  const say = (_: unknown, text: string) => said.push(text);
  const { store } = engine.cloud;
  await engine.replaceEngine({
    store: {
      ...store,
      text: async (bucket, of, ...rest) => {
        if (armed && of === key) {
          looking = true;
          await gate.promise;
        }
        return await store.text(bucket, of, ...rest);
      },
      put: async (bucket, of, ...rest) => {
        if (noWitness && of === 'store.json') throw new Failure('s3_unavailable', 'PUT: HTTP 503 SlowDown.');
        put.push(of);
        return await store.put(bucket, of, ...rest);
      },
    },
    log: { debug: () => {}, info: () => {}, warn: say, error: say },
  });
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const rollBack = await redis.remember();
  const remembered = await beats();
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);
  armed = true;
  await engine.resources.change(engine.resource, { set: { plan: 'premium' } });
  await until('a look at what the archive has', () => looking);
  noWitness = true;
  put.length = 0;
  await rollBack();
  await until('the loss to be noticed', () => said.includes('Redis has lost data'), 30_000);
  gate.resolve();
  await until('the end of that sweep', () => said.includes('bucket not swept') || put.includes(key));
  expect(put).not.toContain(key);
  [armed, noWitness] = [false, false];
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);
}, 90_000);

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

it('rolled back: what was accepted, launched, answered and ended meanwhile is neither lost nor done twice in silence', async () => {
  const { redis, engine, ledger, archived, allAccounted, release } = await start();
  const open = engine.upload([task('held')]);
  await until('the launch', async () => (await engine.show(open))?.history.some(({ what }) => what === 'launched'));
  const young = engine.upload([task('ok'), task('held')]);
  await until('its record', async () => (await engine.redis.exists(shardKeys(0).run(young))) === 1);
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const rollBack = await redis.remember();
  // what was counted while it was copied may be in the copy
  const remembered = await beats();
  // lost: the second step of this one …
  await until('its second launch', () => engine.cloud.postsOf(young).length === 2);
  // … all of these …
  const accepted = Array.from({ length: 5 }, () => engine.upload([task('held')]));
  await until('five launches', () => accepted.every((runId) => engine.cloud.postsOf(runId).length === 1));
  // … and this one from its beginning to its end, which the archive has
  const over = engine.upload([task('ok')]);
  const ended = await engine.ended(over);
  await archived(over);
  const posts = engine.cloud.postsOf(over).length;
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);

  await rollBack();
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);
  release();
  for (const runId of [open, young, ...accepted]) expect((await engine.ended(runId, 60_000)).state).toBe('succeeded');
  await allAccounted();
  expect(await until(`run ${over} back`, () => engine.show(over))).toMatchObject({ state: ended.state, history: ended.history });
  expect(engine.cloud.postsOf(over)).toHaveLength(posts);
  const attempts = engine.cloud.posts.map(({ taskId, attempt }) => `${taskId}/${attempt}`);
  expect(new Set(attempts).size).toBe(attempts.length);
  expect((await ledger()).reexecuted).toBeGreaterThanOrEqual(accepted.length);
  for (const runId of accepted) {
    const run = await engine.show(runId);
    expect(run !== undefined && isFinal(run.state)).toBe(true);
    expect(run?.history.filter(({ what }) => what === 'accepted')).toHaveLength(1);
  }
}, 120_000);

it('rolled back under a store whose clock is ahead: what was saved, and had ended, just before is not run again', async () => {
  const { redis, engine, ledger, archived, allAccounted } = await start();
  // as far as `autofiles doctor` lets clocks be apart
  engine.cloud.ahead = 4_900;
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const rollBack = await redis.remember();
  const remembered = await beats();
  const over = engine.upload([task('ok')], 'in/over');
  await engine.ended(over);
  await archived(over);
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);

  await rollBack();
  await until('another epoch', async () => (await ledger()).epoch === 2, 30_000);
  const { versionId, modifiedAt = 0 } = engine.cloud.saved.find(({ key }) => key === 'in/over') ?? {};
  engine.cloud.sendEvents([eventOf(engine.bucket, 'in/over', versionId, { eventTime: new Date(modifiedAt).toISOString() })]);
  await until('its event to be decided', () => engine.cloud.undeleted === 0);
  await allAccounted();
  await until('its end', async () => (await engine.show(over))?.ended_at);
  expect(engine.cloud.postsOf(over)).toHaveLength(1);
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

it('rolled back: a run that was started by an output, and lost, is made again', async () => {
  const { redis, engine, release, allAccounted } = await start();
  const next = JSON.stringify({ run: [task('held')] });
  engine.cloud.scripts['leads'] = async (dyno) => {
    await dyno.output(5, { ld_code: next });
    return dyno.accept();
  };
  const parent = engine.upload([task('leads')]);
  const rollBack = await redis.remember();
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const remembered = await beats();
  await engine.ended(parent);
  const trigger = engine.cloud.saved.find(({ key }) => key === `out/${parent}.0.0`);
  if (trigger === undefined) throw new Error('no output');
  const child = engine.runIdOf(trigger.key, trigger.versionId);
  await until('its launch', () => engine.cloud.postsOf(child).length === 1);
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);

  await rollBack();
  release();
  expect((await engine.ended(child, 60_000)).state).toBe('succeeded');
  expect((await engine.ended(parent, 60_000)).state).toBe('succeeded');
  await allAccounted();
  const attempts = engine.cloud.posts.map(({ taskId, attempt }) => `${taskId}/${attempt}`);
  expect(new Set(attempts).size).toBe(attempts.length);
}, 120_000);

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

it('rolled back between the two halves of a decision: an output that the Redis of before was told of is delivered again', async () => {
  let armed = false;
  const delivered = Promise.withResolvers<void>();
  const { redis, engine, release, allAccounted } = await start({
    failpoint: (name) => {
      if (name !== 'events.delivered' || !armed) return;
      armed = false;
      // what follows is sent to the next Redis
      process.kill(redis.pid, 'SIGKILL');
      delivered.resolve();
    },
  });
  const runId = engine.upload([{ cmd: 'odd', timeout: 600 }]);
  await until('the launch', async () => (await engine.show(runId))?.history.some(({ what }) => what === 'launched'));
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  const rollBack = await redis.remember();
  // what was counted while it was copied may be in the copy
  const remembered = await beats();
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);
  armed = true;
  release();
  await delivered.promise;
  await rollBack();
  const run = await engine.ended(runId, 45_000);
  expect(run.state).toBe('succeeded');
  await allAccounted();
}, 90_000);

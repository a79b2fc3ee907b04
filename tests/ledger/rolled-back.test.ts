// What Redis forgot when it is rolled back is neither lost nor done twice in silence.
import { expect, it } from 'vitest';
import { STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { Failure } from '../../src/schema/failures.ts';
import { isFinal } from '../../src/schema/run-view.ts';
import { ARCHIVE_BUCKET, eventOf } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';
import { start, task } from './losing-engine.ts';

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

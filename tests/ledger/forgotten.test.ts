// Redis is rolled back, and forgets runs and launches whose outputs and dynos are there.
import { afterEach, expect, it } from 'vitest';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, eventOf } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const NEXT = JSON.stringify({ run: [{ cmd: 'held', timeout: 600 }] });
const task = (cmd: string) => ({ cmd, timeout: 600 });

/** An engine whose dynos write their output when they are let; the first one's starts the next run when its script is `leads`. */
async function start(overrides: Partial<EngineOptions> = {}) {
  // what is remembered is a copy of the file, and what was answered must be in it
  const redis = await startRedis({ fsync: 'always' });
  ends.push(redis.stop);
  const gate = Promise.withResolvers<void>();
  const engine = await startTestEngine(
    redis,
    {
      held: async (dyno) => {
        void gate.promise.then(async () => await dyno.output(1));
        return await Promise.resolve(dyno.accept());
      },
      leads: async (dyno) => {
        void gate.promise.then(async () => await dyno.output(1, { ld_code: NEXT }));
        return await Promise.resolve(dyno.accept());
      },
      stays: (dyno) => dyno.accept(),
    },
    { ledgerMs: 100, lateMs: 300, ...overrides },
  );
  ends.push(engine.stop);
  await until('a witness, a watermark and a backup', () =>
    ['store.json', `watermarks/${engine.resource}.json`, `resources/${engine.resource}.json`].every((key) =>
      engine.cloud.objects.has(`${ARCHIVE_BUCKET}/${key}`),
    ),
  );
  const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
  /** Keeps what Redis has now; answers with the way back to it. `enough`: so much has happened since that the loss of it is noticed. */
  const remember = async () => {
    const rollBack = await redis.remember();
    // asked afterwards: it beats while the file is copied, too
    const remembered = await beats();
    const enough = () => until('beats that are lost', async () => (await beats()) >= remembered + 2);
    return { enough, rollBack };
  };
  const posts = (runId: string) => engine.cloud.postsOf(runId).length;
  const anotherEpoch = () => until('another epoch', async () => (await engine.redis.hget(STORE_KEY, 'epoch')) === '2', 30_000);
  return { redis, engine, remember, posts, anotherEpoch, release: () => gate.resolve() };
}

it('an output whose run was lost is not set aside while what started that run is looked for', async () => {
  const { engine, remember, posts, release } = await start();
  const { enough, rollBack } = await remember();
  const parent = engine.upload([task('leads')]);
  await until('the launch', () => posts(parent) === 1);
  await enough();
  await rollBack();
  // its message comes again and again before the sweep has been there: the queue is never empty
  release();
  expect((await engine.ended(parent, 60_000)).state).toBe('succeeded');
  const output = engine.cloud.saved.find(({ key }) => key === `out/${parent}.0.0`);
  const child = engine.runIdOf(`out/${parent}.0.0`, output?.versionId ?? '');
  expect((await engine.ended(child, 60_000)).state).toBe('succeeded');
  expect(await engine.quarantine()).toEqual([]);
  expect(await engine.redis.hget(shardKeys(0).run(child), 'depth')).toBe('1');
}, 120_000);

it('an output that names a run which never was is set aside as soon as all that was lost has come back', async () => {
  const { engine, remember, anotherEpoch, release } = await start();
  const { enough, rollBack } = await remember();
  const lost = engine.upload([task('held')]);
  engine.cloud.putSilently('out/never', '', { ld_task_id: 'r0-aaaaaaaaaaaaaaaaaaaa.0.0' });
  await enough();
  await rollBack();
  await anotherEpoch();
  engine.cloud.put('out/never-too', '', { ld_task_id: 'r0-bbbbbbbbbbbbbbbbbbbb.0.0' });
  await until('both set aside', async () => {
    const keys = (await engine.quarantine()).map(({ key }) => key);
    return keys.includes('out/never') && keys.includes('out/never-too');
  });
  await until('its message to be deleted', () => engine.cloud.undeleted === 0);
  release();
  expect((await engine.ended(lost, 60_000)).state).toBe('succeeded');
}, 120_000);

it('a run that an output starts counts on in its chain, also when Redis forgot the run before it in the middle of the decision', async () => {
  let armed = false;
  const delivered = Promise.withResolvers<void>();
  const { engine, redis, remember, release } = await start({
    failpoint: (name) => {
      if (name !== 'events.delivered' || !armed) return;
      armed = false;
      // what follows is sent to the next Redis
      process.kill(redis.pid, 'SIGKILL');
      delivered.resolve();
    },
  });
  const { enough, rollBack } = await remember();
  const parent = engine.upload([task('leads')]);
  await until('the launch', async () => (await engine.show(parent))?.history.some(({ what }) => what === 'launched'));
  await enough();
  armed = true;
  release();
  await delivered.promise;
  await rollBack();
  const output = await until('its output', () => engine.cloud.saved.find(({ key }) => key === `out/${parent}.0.0`));
  const child = engine.runIdOf(output.key, output.versionId);
  expect((await engine.ended(child, 60_000)).state).toBe('succeeded');
  expect(await engine.redis.hget(shardKeys(0).run(child), 'depth')).toBe('1');
}, 120_000);

it('an output that starts a run is delivered again, also when the archive has brought that run back before', async () => {
  const { engine, remember, anotherEpoch, release } = await start();
  const { store } = engine.cloud;
  const back = Promise.withResolvers<void>();
  let holding = false;
  const listed = store.versions;
  store.versions = async (...args) => {
    if (holding) await back.promise;
    return await listed(...args);
  };
  const parent = engine.upload([task('leads'), task('stays')]);
  await until('the launch', async () => (await engine.show(parent))?.history.some(({ what }) => what === 'launched'));
  const { enough, rollBack } = await remember();
  release();
  const output = await until('its output', () => engine.cloud.saved.find(({ key }) => key === `out/${parent}.0.0`));
  const child = engine.runIdOf(output.key, output.versionId);
  await engine.ended(child, 60_000);
  await until('it in the archive', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/runs/${child}.json`));
  await enough();
  holding = true;
  await rollBack();
  await anotherEpoch();
  // the event of what the second run made comes once more, before any sweep
  const made = engine.cloud.saved.find(({ key }) => key === `out/${child}.0.0`);
  engine.cloud.sendEvents([eventOf(engine.bucket, made?.key ?? '', made?.versionId)]);
  await until('the second run back', async () => (await engine.show(child))?.state === 'succeeded');
  back.resolve();
  const told = await until('the output', async () => (await engine.show(parent))?.steps[0]?.tasks[0]?.output ?? undefined);
  expect(told.version_id).toBe(output.versionId);
  await engine.runs.cancel(parent, 'test');
  expect((await engine.ended(parent)).state).toBe('cancelled');
  // ended once, and not run again
  expect(engine.cloud.postsOf(child)).toHaveLength(1);
}, 120_000);

it('a dyno of a launch that Redis forgot is stopped when its task is over, and when it is launched again', async () => {
  const { engine, remember, posts, anotherEpoch } = await start();
  const budget = createBudget({ redis: engine.redis, perHour: 1_000_000_000, log: { debug() {}, info() {}, warn() {}, error() {} } });
  await budget.pause(ADDON_ACCOUNT, engine.resource);
  const runs = [engine.upload([task('stays')]), engine.upload([task('stays')])] as const;
  const [cancelled, again] = runs;
  for (const runId of runs) await until('it waits', async () => (await engine.redis.hget(shardKeys(0).run(runId), 'p:0.0')) === 'throttle');
  const { enough, rollBack } = await remember();
  await budget.resume(ADDON_ACCOUNT, engine.resource);
  // recorded, too: a launch whose answer comes to a Redis that forgot it is stopped at once
  for (const runId of runs) await until('its launch', async () => (await engine.redis.hexists(shardKeys(0).run(runId), 'dy:0.0')) === 1);
  const dynoOf = (runId: string) => [...engine.cloud.dynos.values()].find(({ command }) => command.includes(`# ${runId}`))?.id ?? 'none';
  const [ofCancelled, ofAgain] = [dynoOf(cancelled), dynoOf(again)];
  await enough();
  await rollBack();
  await anotherEpoch();
  expect(engine.cloud.stopped).toEqual([]);
  await engine.runs.cancel(cancelled, 'test');
  await until('the dyno of the cancelled run stopped', () => engine.cloud.stopped.includes(ofCancelled));
  await budget.resume(ADDON_ACCOUNT, engine.resource);
  await until('the other one launched again', () => posts(again) === 2);
  await until('its first dyno stopped', () => engine.cloud.stopped.includes(ofAgain));
  expect(engine.cloud.stopped).toHaveLength(2);
  await engine.runs.cancel(again, 'test');
  await engine.ended(again);
}, 120_000);

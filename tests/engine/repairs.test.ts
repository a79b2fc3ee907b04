// What the sweep puts right: whoever cleans, promotes or empties BullMQ's queues by hand, as an operator's dashboard lets
// one do, delays a run and never ends or doubles it.
import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import { describe, expect, it } from 'vitest';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { QUEUES, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { createStoreEpoch } from '../../src/queues/store-epoch.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, type Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
  unknown: () => ({ outcome: 'unknown', cause: 'reset' }),
  /** Runs until it is told to end, and then without output. */
  dies: (dyno) => {
    ending.set(dyno.post.taskId, () => dyno.exit(0, 1));
    return dyno.accept();
  },
};
const ending = new Map<string, () => void>();

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 3600, retries: 0, ...more });
const group = (...tasks: unknown[]) => ({ parallel: tasks });

async function setup(test: (world: { engine: TestEngine; tasks: Queue; finish: Queue }) => Promise<void>): Promise<void> {
  const server = await startRedis();
  const engine = await startTestEngine(server, scripts, { sweepMs: 200 });
  const prefix = shardPrefix(0);
  const tasks = new Queue(QUEUES.task, { connection: engine.redis, prefix });
  const finish = new Queue(QUEUES.finish, { connection: engine.redis, prefix });
  try {
    await test({ engine, tasks, finish });
  } finally {
    await tasks.close();
    await finish.close();
    await engine.stop();
    await server.stop();
  }
}

const parked = (engine: TestEngine, taskId: string) =>
  until(`${taskId} to be parked`, async () => (await engine.redis.zscore(shardKeys(0).delayed, taskId)) !== null);

const launched = (engine: TestEngine, taskId: string) =>
  until(`${taskId} to be launched`, async () => {
    const run = await engine.show(taskId.split('.')[0] ?? '');
    return run?.history.some((entry) => entry.task === taskId && entry.what === 'launched');
  });

/** Ended right, each task launched once, and nothing left. */
async function expectWhole(engine: TestEngine, runId: string, posts: number): Promise<RunView> {
  const run = await engine.ended(runId, 40_000);
  expect(run.state, JSON.stringify(run.history)).toBe('succeeded');
  const launched = engine.cloud.postsOf(runId).map((post) => `${post.taskId}/${post.attempt}`);
  expect(launched).toHaveLength(posts);
  expect(new Set(launched).size).toBe(posts);
  await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
  expect(await engine.redis.zscore(shardKeys(0).live, runId)).toBeNull();
  return run;
}

const output = (engine: TestEngine, runId: string, task: string) =>
  engine.cloud.put(`out/${task}`, 'x', { ld_task_id: `${runId}.${task}` });

/** A run that is accepted, and of which no event tells. */
async function acceptedRun(engine: TestEngine, run: unknown[], redo?: number): Promise<string> {
  const trigger = { bucket: engine.bucket, key: `in/${randomUUID()}`, versionId: 'v', etag: 'e', size: 1 };
  const parsed = parseWorkflow(JSON.stringify({ run }));
  if (!parsed.ok) throw new Error('not valid');
  const runId = engine.runIdOf(trigger.key, trigger.versionId);
  const { workflow, plan } = parsed;
  await engine.runs.accept({ runId, resource: engine.resource, trigger, workflow, plan, cap: 1e9, depth: 0, redo });
  return runId;
}

describe.concurrent('a run goes on', () => {
  it('when the waiting jobs of its tasks were cleaned away', async () => {
    await setup(async ({ engine, tasks }) => {
      const runId = engine.upload([group(t('silent'), t('silent')), group(t('ok'), t('ok'), t('ok')), t('ok')]);
      for (const task of ['0.0', '0.1']) await parked(engine, `${runId}.${task}`);
      expect(await tasks.clean(0, 1000, 'delayed')).toHaveLength(4);
      for (const task of ['0.0', '0.1']) output(engine, runId, task);
      await expectWhole(engine, runId, 6);
    });
  });

  it('when all of its jobs were removed at once', async () => {
    await setup(async ({ engine, tasks, finish }) => {
      const runId = engine.upload([t('silent'), group(t('ok'), t('ok')), t('ok')]);
      await parked(engine, `${runId}.0.0`);
      await tasks.obliterate({ force: true });
      await finish.obliterate({ force: true });
      output(engine, runId, '0.0');
      await expectWhole(engine, runId, 4);
    });
  });

  it('when its tasks were removed and its root stands and waits for them', async () => {
    await setup(async ({ engine, tasks }) => {
      const runId = engine.upload([t('silent'), t('ok')]);
      await parked(engine, `${runId}.0.0`);
      await tasks.obliterate({ force: true });
      output(engine, runId, '0.0');
      await expectWhole(engine, runId, 2);
    });
  });

  it('when its root was removed with all that hangs on it', async () => {
    await setup(async ({ engine, finish }) => {
      const runId = engine.upload([t('silent'), t('ok')]);
      await parked(engine, `${runId}.0.0`);
      await finish.remove(runId);
      output(engine, runId, '0.0');
      await expectWhole(engine, runId, 2);
    });
  });

  it('to its end when the dyno of a task ends whose job was removed, long before its deadline', async () => {
    await setup(async ({ engine, tasks }) => {
      const runId = engine.upload([t('dies'), t('ok')]);
      await parked(engine, `${runId}.0.0`);
      await tasks.obliterate({ force: true });
      ending.get(`${runId}.0.0`)?.();
      const run = await engine.ended(runId, 40_000);
      expect(run.state).toBe('failed');
      expect(run.error?.code).toBe('exited_without_output');
      expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    });
  });

  it('to its end as cancelled when somebody emptied the queues first', async () => {
    await setup(async ({ engine, tasks, finish }) => {
      const runId = engine.upload([t('silent'), group(t('ok'), t('ok')), t('ok')]);
      await parked(engine, `${runId}.0.0`);
      await tasks.obliterate({ force: true });
      await finish.obliterate({ force: true });
      await engine.runs.cancel(runId, 'test');
      const run = await engine.ended(runId, 40_000);
      expect(run.state).toBe('cancelled');
      expect(engine.cloud.postsOf(runId)).toHaveLength(1);
      await until('the stop', () => engine.cloud.stopped.length === 1);
    });
  });

  it('and starts nothing early or twice when its waiting jobs are promoted by hand', async () => {
    await setup(async ({ engine, tasks }) => {
      const runId = engine.upload([t('silent'), group(t('ok'), t('silent'), t('ok')), t('ok')]);
      await parked(engine, `${runId}.0.0`);
      for (let n = 0; n < 5; n += 1) {
        for (const job of await tasks.getDelayed()) await job.promote().catch(() => {});
      }
      await parked(engine, `${runId}.0.0`);
      expect(engine.cloud.postsOf(runId)).toHaveLength(1);
      output(engine, runId, '0.0');
      // a held sibling stands among the delayed ones too: it is to be launched first
      await launched(engine, `${runId}.1.1`);
      for (const job of await tasks.getDelayed()) await job.promote().catch(() => {});
      await parked(engine, `${runId}.1.1`);
      output(engine, runId, '1.1');
      await expectWhole(engine, runId, 5);
    });
  });
});

describe.concurrent('the sweep', () => {
  it('makes the tree of a run that was accepted and then forgotten', async () => {
    await setup(async ({ engine }) => {
      await expectWhole(engine, await acceptedRun(engine, [t('ok')]), 1);
    });
  });

  it('rings what the record says should move', async () => {
    await setup(async ({ engine }) => {
      const runId = engine.upload([t('silent'), group(t('silent'), t('silent')), t('ok')]);
      await parked(engine, `${runId}.0.0`);
      output(engine, runId, '0.0');
      for (const task of ['1.0', '1.1']) {
        await launched(engine, `${runId}.${task}`);
        await parked(engine, `${runId}.${task}`);
      }
      // as if the bell of an output had been lost: the truth stands in the record, the job sleeps
      const field = `${Date.now()}|${JSON.stringify({ key: 'k', version_id: 'v', etag: 'e', size: 1 })}`;
      await engine.redis.hset(shardKeys(0).run(runId), { 'o:1.0': field, 'o:1.1': field });
      await expectWhole(engine, runId, 4);
    });
  });
});

describe('a clock that was ahead, of a worker that is gone', () => {
  const HOUR_MS = 3_600_000;
  /** As if the job had been parked by it: BullMQ's scores are milliseconds times 4,096. */
  const farAhead = (engine: TestEngine, key: string, id: string) => engine.redis.zadd(key, 'XX', (Date.now() + HOUR_MS) * 4_096, id);

  it('leaves no launch of unknown fate unlooked for', async () => {
    await setup(async ({ engine }) => {
      const runId = engine.upload([t('unknown')]);
      await parked(engine, `${runId}.0.0`);
      await until('its place far ahead', async () => {
        await farAhead(engine, shardKeys(0).delayed, `${runId}.0.0`);
        // as if it had been launched two minutes ago
        const since = (await engine.redis.hget(shardKeys(0).run(runId), 'i:0.0')) ?? '';
        await engine.redis.hset(shardKeys(0).run(runId), 'i:0.0', since.replace(/\|\d+/, `|${Date.now() - 120_000}`));
        return true;
      });
      const run = await engine.ended(runId);
      expect([run.state, run.error?.code]).toEqual(['failed', 'launch_unknown']);
    });
  });

  it('keeps no dyno that has ended from being judged', async () => {
    await setup(async ({ engine }) => {
      const runId = engine.upload([t('silent')]);
      await launched(engine, `${runId}.0.0`);
      await parked(engine, `${runId}.0.0`);
      // as if its dyno had been seen to end two minutes ago, and the grace had been waited for by that clock
      const died = Date.now() - 120_000;
      await engine.redis.hset(shardKeys(0).run(runId), 'x:0.0', `${died}|crashed`);
      await farAhead(engine, shardKeys(0).delayed, `${runId}.0.0`);
      const run = await engine.ended(runId);
      expect([run.state, run.error?.code]).toEqual(['failed', 'exited_without_output']);
    });
  });

  it('keeps no run from ending whose tasks have settled', async () => {
    await setup(async ({ engine, finish }) => {
      const runId = engine.upload([t('silent')]);
      await launched(engine, `${runId}.0.0`);
      await finish.pause();
      engine.cloud.put('out', 'x', { ld_task_id: `${runId}.0.0` });
      const job = await until('the root job', async () => (await finish.getJob(runId)) ?? undefined);
      await until('its turn', async () => (await job.getState()) === 'waiting');
      const place = shardKeys(0).live.replace(/:live$/, ':finish');
      const moved = await engine.redis
        .multi()
        .lrem(`${place}:paused`, 0, runId)
        .lrem(`${place}:wait`, 0, runId)
        .zadd(`${place}:delayed`, (Date.now() + HOUR_MS) * 4_096, runId)
        .exec();
      expect(moved?.slice(0, 2).map(([, count]) => count)).toContain(1);
      expect(await job.getState()).toBe('delayed');
      await finish.resume();
      expect((await engine.ended(runId)).state).toBe('succeeded');
    });
  });
});

/** Numbers of the attempts of its first task that are looked for although the record has forgotten them. */
async function forgotten(engine: TestEngine, runId: string): Promise<readonly number[]> {
  return (await engine.redis.hkeys(shardKeys(0).watch(engine.resource)))
    .flatMap((field) => (field.startsWith(`?${runId}.0.0/`) ? [Number(field.split('/')[1])] : []))
    .sort((a, b) => a - b);
}

it('the dynos that were forgotten of a run that is cancelled before its tree is made are looked for, and stopped', async () => {
  await setup(async ({ engine }) => {
    const runId = await acceptedRun(engine, [t('silent')], 4);
    expect(await engine.runs.cancel(runId, 'test')).toBe('cancelling');
    const run = await engine.ended(runId);
    expect([run.state, run.steps[0]?.tasks[0]?.state]).toEqual(['cancelled', 'skipped']);
    expect(await forgotten(engine, runId)).toEqual([1, 2, 101, 102, 201, 202, 301, 302]);
    expect(engine.cloud.postsOf(runId)).toHaveLength(0);
  });
});

it('an output of a run that ended before its tree was made is late, and in the archive', async () => {
  await setup(async ({ engine }) => {
    const runId = await acceptedRun(engine, [t('silent')]);
    expect(await engine.runs.cancel(runId, 'test')).toBe('cancelled');
    // as a version before left one that was made again after a loss
    await engine.redis.hset(shardKeys(0).run(runId), 'redo', 2);
    const late = { key: 'out/late', version_id: 'v', etag: 'e', size: 1 };
    expect(await engine.runs.deliver(`${runId}.0.0`, engine.resource, late)).toBe('late');
    expect((await engine.show(runId))?.history.map(({ what }) => what)).toContain('late_output');
    await until('it to be archived with it', () =>
      engine.cloud.objects.get(`${ARCHIVE_BUCKET}/runs/${runId}.json`)?.body.includes('late_output'),
    );
  });
});

it('after several losses of Redis the dynos of all epochs that were forgotten are looked for', async () => {
  await setup(async ({ engine }) => {
    const budget = createBudget({ redis: engine.redis, perHour: 1_000_000_000, log: { debug() {}, info() {}, warn() {}, error() {} } });
    await budget.pause(ADDON_ACCOUNT, engine.resource);
    const runs = [engine.upload([t('silent')]), engine.upload([t('silent')])] as const;
    const [again, cancelled] = runs;
    const keys = shardKeys(0);
    for (const runId of runs) {
      await until('it waits', async () => (await engine.redis.hget(keys.run(runId), 'p:0.0')) === 'throttle');
      // the fourth loss; what was launched in the second and third epoch is forgotten
      await engine.redis.hset(keys.run(runId), 'redo', 4);
    }
    await engine.runs.cancel(cancelled, 'test');
    await engine.ended(cancelled);
    expect(await forgotten(engine, cancelled)).toEqual([1, 2, 101, 102, 201, 202, 301, 302]);
    await budget.resume(ADDON_ACCOUNT, engine.resource);
    await until('its launch', () => engine.cloud.postsOf(again).length === 1);
    expect(engine.cloud.postsOf(again)[0]?.attempt).toBe(301);
    expect(await forgotten(engine, again)).toEqual([1, 2, 101, 102, 201, 202]);
  });
});

it('a launch of unknown fate is looked for a while when its run comes back from the archive as ended, not for ever', async () => {
  await setup(async ({ engine }) => {
    const { redis, resource } = engine;
    const runId = engine.upload([t('unknown')]);
    const watched = shardKeys(0).watch(resource);
    const launch = `?${runId}.0.0/1`;
    const seen = await until('it to be looked for', async () => (await redis.hget(watched, launch)) ?? undefined);
    expect(seen.split('|')).toHaveLength(4);
    // as the archive has it, when it was found and ended in a time that Redis has lost
    const record = await redis.hgetall(shardKeys(0).run(runId));
    const ended = { ...record, state: 'failed', end: String(Date.now()), d0: '1', 'p:0.0': 'failed', 'e:0.0': 'timed_out|' };
    const epochs = createStoreEpoch({ redis, shards: () => 1 });
    expect(await epochs.restore({ format: 1, id: runId, record: ended, document: null, history: [] })).toBe(true);
    const kept = (await redis.hget(watched, launch))?.split('|') ?? [];
    expect(Number(kept[4])).toBeGreaterThan(Date.now());
    // when that time has passed
    await redis.hset(watched, launch, [...kept.slice(0, 4), '1'].join('|'));
    await until('nothing to be looked for', async () => (await redis.hlen(watched)) === 0);
  });
});

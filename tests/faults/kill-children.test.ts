// kill -9 of each part of the local cloud while runs are under way: the part comes back and is named, every run ends
// right, and no attempt is launched twice.
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunView } from '../../src/schema/run-view.ts';
import { type LocalCloud, startLocalCloud, storeOf } from '../support/local-cloud.ts';
import { until } from '../support/until.ts';

describe('the local cloud', { timeout: 240_000 }, () => {
  let cloud: LocalCloud;
  let app: string;
  let marks: string;

  beforeAll(async () => {
    app = await mkdtemp(join(tmpdir(), 'af-kill-'));
    marks = join(app, 'marks');
    // every start of a dyno leaves a mark outside its throw-away copy; the second step is long enough to be killed in
    await writeFile(join(app, 'Procfile'), `mark: bash mark.sh\n`);
    await writeFile(
      join(app, 'mark.sh'),
      'attempt=$' + '{line_D#*\\"attempt\\":}; echo started > "$MARKS/$1.$' + '{attempt%%,*}.$RANDOM$RANDOM"; sleep "$2"\n',
    );
    cloud = await startLocalCloud({
      app,
      prepare: async (copy) => {
        marks = join(copy, '..', 'marks');
        await mkdir(marks);
      },
    });
  }, 150_000);
  afterAll(async () => {
    await cloud?.stop();
    await rm(app, { recursive: true, force: true });
  }, 60_000);

  /** Saves a workflow of three steps; answers with its key. */
  async function save(): Promise<{ key: string; names: string[] }> {
    const key = `in/${randomUUID()}`;
    const names = ['a', 'b', 'c'].map((name) => `${name}-${randomUUID()}`);
    const { variables: v } = cloud;
    const store = storeOf(cloud);
    const task = (name: string | undefined) => ({
      cmd: `mark ${name} 1`,
      no_output: true,
      retries: 2,
      timeout: 60,
      options: [`MARKS=${marks}`],
    });
    const workflow = { run: [task(names[0]), { parallel: [task(names[1]), task(names[2])] }] };
    await store.put(v['LD_S3_BUCKET'] ?? '', key, JSON.stringify(workflow), { metadata: { ld_run: 'true' }, deadline: 60_000 });
    store.close();
    return { key, names };
  }

  /** How often each attempt of each task has started. */
  async function starts(names: readonly string[]): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const file of await readdir(marks)) {
      const [name = '', attempt = ''] = file.split('.');
      const position = names.indexOf(name);
      if (position >= 0) counts[`${position}/${attempt}`] = (counts[`${position}/${attempt}`] ?? 0) + 1;
    }
    return counts;
  }

  /** No attempt twice; and every task, unless dynos were killed that were up and had not come to their first command. */
  async function expectStartedOnce(names: readonly string[], every = true): Promise<void> {
    // a task without output succeeds when its dyno is up, which may be told before the dyno's first command has run
    const started = async () => new Set(Object.keys(await starts(names)).map((task) => task.split('/')[0])).size;
    if (every) await until('every task to have left its mark', async () => (await started()) === names.length, 30_000);
    const counts = await starts(names);
    expect(
      Object.values(counts).filter((count) => count !== 1),
      JSON.stringify(counts),
    ).toEqual([]);
  }

  /** The pid of one of the five children. */
  async function childPid(name: string): Promise<number> {
    const script = name === 'web' || name === 'worker' ? `cli/main.ts ${name}` : `local/${name}/main.ts`;
    return await until(`the process of ${name}`, async () => {
      for (const pid of await readdir('/proc')) {
        if (!/^\d+$/.test(pid)) continue;
        const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
        const parent = Number(/\) \S (\d+)/.exec(stat)?.[1]);
        if (parent !== cloud.pid) continue;
        const line = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
        if (line.includes(script)) return Number(pid);
      }
      return undefined;
    });
  }

  it.skipIf(process.platform !== 'linux').each(['worker', 'web', 'store', 'redis', 'dynos'])(
    'survives kill -9 of its %s with a run under way',
    async (name) => {
      const { key, names } = await save();
      await until('the first dyno', async () => Object.keys(await starts(names)).length > 0, 60_000);
      process.kill(await childPid(name), 'SIGKILL');
      await until(
        `${name} to be named and back`,
        () => cloud.printed().includes(`${name} ended with SIGKILL`) && cloud.printed().includes(`${name} is back`),
        60_000,
      );
      const run: RunView = await cloud.ended(key);
      expect(run.state, JSON.stringify([run.error, run.history.slice(-12)])).toBe('succeeded');
      await expectStartedOnce(names, name !== 'dynos');
      // and the next one is as if nothing had been
      const after = await save();
      expect((await cloud.ended(after.key)).state).toBe('succeeded');
      await expectStartedOnce(after.names);
    },
  );
});

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, platformWith } from './platform.ts';

// The children of this process that ended and were not waited for.
async function zombies(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (new RegExp(`\\) Z ${process.pid} `).test(stat)) found.push(pid);
  }
  return found;
}

describe('many dynos', () => {
  const open: { close: () => Promise<void> }[] = [];
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });

  it('runs 1,000 as fast as the machine can, each once, and leaves nothing behind', { timeout: 120_000 }, async () => {
    const platform = await platformWith({ Procfile: 'job: echo job\n' }, { maxDynos: 2_000 });
    open.push(platform);
    await platform.output('job warm');
    const openFiles = async () => (await readdir('/proc/self/fd').catch(() => [])).length;
    const before = await openFiles();
    const wanted = Array.from({ length: 1_000 }, (_, index) => `job ${index}`).values();
    const printed = new Set<string>();
    const caller = async (): Promise<void> => {
      for (const command of wanted) {
        expect((await platform.run(command)).state).toMatch(/^(starting|up|complete)$/);
      }
    };
    await Promise.all(Array.from({ length: 50 }, caller));
    await eventually('all have ended', async () => (await platform.list()).length === 0, 100);
    for (const line of await platform.logs({ source: 'app' })) printed.add(line.slice(line.indexOf(']: ') + 3));
    for (let index = 0; index < 1_000; index += 1) expect(printed).toContain(`job ${index}`);
    await eventually('no folder is left', async () => (await readdir(join(platform.dir, 'copies'))).length === 0);
    expect(await zombies()).toEqual([]);
    // Idle keep-alive sockets of the 50 callers may still be open, on both ends.
    await eventually('descriptors are closed', async () => (await openFiles()) <= before + 110);
    expect(platform.reports).toEqual([]);
  });
});

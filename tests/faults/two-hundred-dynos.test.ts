import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, platformWith } from '../dynos/platform.ts';

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

  // 1,000 of each were run by hand; here as many as a test run can afford on two busy cores.
  it.each([
    { copies: 'plain', count: 300 },
    { copies: 'auto', count: 150 },
  ] as const)(
    'runs $count as fast as the machine can, each once, and leaves nothing behind ($copies copies)',
    { timeout: 170_000 },
    async ({ copies, count }) => {
      const platform = await platformWith({ Procfile: 'job: echo job\n' }, { maxDynos: 2_000, copies });
      open.push(platform);
      await platform.output('job warm');
      // Other than sockets: the callers keep theirs open for a while, on both ends.
      const openFiles = async (): Promise<string[]> => {
        const files = await readdir('/proc/self/fd').catch(() => []);
        const targets = await Promise.all(files.map((file) => readlink(`/proc/self/fd/${file}`).catch(() => '')));
        return targets.filter((target) => target.startsWith('/') && target.includes('autofiles-dynos-')).sort();
      };
      const listeners = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPServerWrap').length;
      const before = await openFiles();
      const listening = listeners();
      expect(listening).toBeGreaterThan(0);
      expect(before.join()).toContain('platform.db');
      const callers = 50;
      const wanted = Array.from({ length: count }, (_, index) => `job ${index}`).values();
      const caller = async (): Promise<void> => {
        for (const command of wanted) {
          expect((await platform.run(command)).state).toMatch(/^(starting|up|complete)$/);
        }
      };
      await Promise.all(Array.from({ length: callers }, caller));
      await eventually('all have ended', async () => (await platform.list()).length === 0, 120);
      const printed = (await platform.logs({ source: 'app' })).map((line) => line.slice(line.indexOf(']: ') + 3));
      expect(printed.sort()).toEqual(['job warm', ...Array.from({ length: count }, (_, index) => `job ${index}`)].sort());
      await eventually('no folder is left', async () => (await readdir(join(platform.dir, 'copies'))).length === 0);
      expect(await zombies()).toEqual([]);
      expect(await readFile('/proc/mounts', 'utf8').catch(() => '')).not.toContain('autofiles-app');
      expect(await openFiles()).toEqual(before);
      expect(listeners()).toBe(listening);
      expect(platform.reports).toEqual([]);
    },
  );
});

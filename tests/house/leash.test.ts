import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';

const HOLDER = fileURLToPath(new URL('./redis-holder.ts', import.meta.url));

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // ESRCH
  }
}

describe("a test's Redis", () => {
  it('ends with a test process that could not stop it, and leaves no folder', async () => {
    const holder = fork(HOLDER, { execArgv: ['--disable-warning=ExperimentalWarning'] });
    const [told] = await once(holder, 'message');
    const { pid, folder }: { pid: number; folder: string } = told;
    expect([lives(pid), existsSync(folder)]).toEqual([true, true]);
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    await until('Redis to end', () => !lives(pid));
    await until('its folder to go', () => !existsSync(folder));
  });
});

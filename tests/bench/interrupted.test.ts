// A bench that is interrupted takes its Redis and its folder along.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { until } from '../support/until.ts';

const WORLD = new URL('../../bench/world.ts', import.meta.url).href;
/** Opens a world, says where its Redis is and its process' id, and stays in it. */
const SCRIPT = `
  import { Redis } from 'ioredis';
  import { inWorld } from '${WORLD}';
  await inWorld(async ({ socket }) => {
    const redis = new Redis(socket);
    console.log(JSON.stringify({ socket, info: await redis.info('server') }));
    await new Promise(() => {});
  });`;

const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

it.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing behind on %s', async (signal) => {
  const bench = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', SCRIPT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(bench, 'exit');
  const [line] = (await once(bench.stdout, 'data')) as [Buffer];
  const { socket, info } = JSON.parse(line.toString()) as { socket: string; info: string };
  const pid = Number(/process_id:(\d+)/.exec(info)?.[1]);
  expect(alive(pid)).toBe(true);
  bench.kill(signal);
  await gone;
  await until('the end of its Redis', () => !alive(pid));
  expect(existsSync(dirname(socket))).toBe(false);
});

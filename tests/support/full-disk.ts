// A full disk for one process, without a file system of its own: a limit to the size of the files that it writes (util-linux' prlimit, Linux alone).
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Redis } from 'ioredis';
import { until } from './until.ts';

const limitFiles = (pid: number, bytes: string) => promisify(execFile)('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);

/**
 * From now on the server's append-only file takes nothing: what it is given next stays in its memory, answered, and all writes after that are refused
 * (`MISCONF`). Answers with the way back. The server is one of startRedis.
 */
export async function fillDisk({ pid }: { readonly pid: number }, redis: Redis): Promise<() => Promise<void>> {
  const written = (status: string) => async () => (await redis.info('persistence')).includes(`aof_last_write_status:${status}`);
  await limitFiles(pid, '0');
  // refused where somebody else's write was the one that found the file full
  await redis.set('the disk is full', '1').catch(() => {});
  await until('the file to take nothing', written('err'));
  return async () => {
    await limitFiles(pid, 'unlimited');
    await until('the file to take what it was given', written('ok'));
  };
}

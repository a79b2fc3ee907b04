import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

// `rm` gives up at its first error while its other branches still work: what it finds next may be half gone. A few tries, a little apart, settle that.
const tries = 8;
const betweenMs = 25;

/** Removes a folder and all in it, also what a dyno made read-only; nothing there is fine. @throws when something stays. */
export async function removeTree(path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await rm(path, { recursive: true, force: true });
      return;
    } catch (error) {
      if (attempt === tries || !mayHeal(error)) throw error;
    }
    await makeWritable(path);
    await delay(betweenMs * (attempt - 1));
  }
}

async function makeWritable(folder: string): Promise<void> {
  try {
    await chmod(folder, 0o700);
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) await makeWritable(join(folder, entry.name));
    }
  } catch (error) {
    // Removed meanwhile, or not ours to change: the next try of the removal tells.
    if (!isOneOf(error, ['ENOENT', 'ENOTDIR', 'EPERM', 'EACCES'])) throw error;
  }
}

function mayHeal(error: unknown): boolean {
  return isOneOf(error, ['EACCES', 'EPERM', 'ENOTEMPTY', 'EBUSY']);
}

function isOneOf(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

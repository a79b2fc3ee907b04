// The real heroku CLI, installed from its own lock before the tests that run it: by one process, since two `npm ci` in one folder break each other.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('heroku-cli', import.meta.url));

/** Vitest calls this once, before its workers: installs the CLI unless it already stands for exactly this lock. Throws an Error with npm's words. */
export function setup(): void {
  const lock = createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex');
  const stamp = join(folder, 'node_modules', '.autofiles-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the heroku CLI could not be installed (npm ci in ${folder}): ${stderr}`);
  writeFileSync(stamp, lock);
}

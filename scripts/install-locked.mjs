// The packages of a folder of their own, for the scripts that need more than every clone installs.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Runs `npm ci` in the folder unless its node_modules stands for exactly its lock. False when `npm ci` failed, which said why. */
export function installLocked(folder) {
  const lock = readFileSync(join(folder, 'package-lock.json'), 'utf8');
  const stamp = join(folder, 'node_modules', '.installed-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return true;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  if (spawnSync('npm', args, { cwd: folder, stdio: ['inherit', 2, 2] }).status !== 0) return false;
  writeFileSync(stamp, lock);
  return true;
}

// The folders with packages of their own (tests/containers, scripts/api-types) have exactly what their lock says, also after it changed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

const SCRIPT = new URL('../../scripts/install-locked.mjs', import.meta.url).href;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'af-locked-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (name: string, content: unknown) => writeFileSync(join(folder, name), JSON.stringify(content));
/** A package that needs `name`, which lies beside it: no registry is asked. */
function lock(name: string) {
  mkdirSync(join(folder, name));
  write(`${name}/package.json`, { name, version: '1.0.0' });
  const own = { name: 'own', version: '1.0.0', dependencies: { [name]: `file:${name}` } };
  write('package.json', own);
  write('package-lock.json', {
    name: 'own',
    version: '1.0.0',
    lockfileVersion: 3,
    requires: true,
    packages: { '': own, [name]: { version: '1.0.0' }, [`node_modules/${name}`]: { resolved: name, link: true } },
  });
}
function install(): boolean {
  const program = `import { installLocked } from '${SCRIPT}'; process.exit(installLocked(process.argv[1]) ? 0 : 1)`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', program, folder]).status === 0;
}
const there = (name: string) => existsSync(join(folder, 'node_modules', name));

it('installs once, and again when the lock is another', () => {
  lock('first');
  expect(install()).toBe(true);
  expect(there('first/package.json')).toBe(true);

  // `npm ci` would take it away
  writeFileSync(join(folder, 'node_modules', 'untouched'), '');
  expect(install()).toBe(true);
  expect(there('untouched')).toBe(true);

  lock('second');
  expect(install()).toBe(true);
  expect([there('untouched'), there('first'), there('second/package.json')]).toEqual([false, false, true]);
});

it('says that it failed, and tries again', () => {
  lock('first');
  write('package.json', { name: 'own', version: '1.0.0', dependencies: { other: 'file:other' } });
  expect(install()).toBe(false);
  expect(install()).toBe(false);
});

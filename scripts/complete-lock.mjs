// Completes package-lock.json after `npm install`. The registry used here may not serve other platforms'
// optional binaries; npm then leaves them out of the lock and `npm ci` refuses it as incomplete. For each
// optional dependency that the lock lacks this adds an entry with its name and version. Run it after every
// change of a dependency: `node scripts/complete-lock.mjs`. Prints what it added.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const path = join(dirname(fileURLToPath(import.meta.url)), '..', 'package-lock.json');
const lock = JSON.parse(readFileSync(path, 'utf8'));
const added = [];
for (const [place, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (found(place, name)) continue;
    const version = String(range).replace(/^[\^~]/, '');
    if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`${place}: ${name}@${range} is no exact version`);
    lock.packages[`node_modules/${name}`] = { version, optional: true, ...(place === '' || entry.dev ? { dev: true } : {}) };
    added.push(`${name}@${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? 'nothing to add' : added.join('\n'));

function found(place, name) {
  for (
    let folder = place;
    ;
    folder = folder.includes('node_modules/') ? folder.slice(0, folder.lastIndexOf('node_modules/')).replace(/\/$/, '') : ''
  ) {
    if (lock.packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`]) return true;
    if (folder === '') return false;
  }
}

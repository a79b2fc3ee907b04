// Set-up inside `npm start` and `npm test`: runs in a shell of its own before them, on whatever Node ≥ 20 the
// machine has, and therefore imports nothing but Node itself. It installs the locked packages when the lock
// changed and finds a Redis server. It asks nothing; a second run does no work.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const say = (line) => process.stderr.write(`${line}\n`);
const stop = (line) => {
  say(`autofiles set-up: ${line}`);
  process.exit(1);
};

const major = Number(process.versions.node.split('.')[0]);
if (major < 20) stop(`found Node ${process.versions.node}, expected 20 or newer. Install it from https://nodejs.org and try again.`);

installPackages();
gatherPackages();
findRedis();

/** Runs `npm ci` unless node_modules already stands for exactly this lock. */
function installPackages() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = join(root, 'node_modules', '.autofiles-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('set-up: installing the locked packages (once, about a minute) …');
  // NODE_ENV=production would leave out the development packages, and with them the Node that runs the sources.
  const env = { ...process.env, NODE_ENV: 'development' };
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const run = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, env, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: root, env, stdio: ['ignore', 2, 2] });
  if (run.status !== 0) stop('`npm ci` failed; its words are above. Is the npm registry reachable?');
  if (!existsSync(join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node'))) {
    stop('the `node` package has no binary: its install script did not run. Allow it with `npm rebuild node --ignore-scripts=false`.');
  }
  writeFileSync(stamp, lock);
}

/** Makes one file of a package that is hundreds, so that processes start sooner. Nothing needs it. */
function gatherPackages() {
  const cache = join(root, 'node_modules', '.cache', 'autofiles');
  if (existsSync(join(cache, 'typebox.mjs'))) return;
  mkdirSync(cache, { recursive: true });
  const node = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  const run = spawnSync(node, [join(root, 'scripts', 'gather-packages.mjs')], { stdio: ['ignore', 2, 2] });
  if (run.status !== 0) say('set-up: the packages were not gathered, for the reason above; everything works, and starts take longer.');
}

/** Looks for redis-server or valkey-server on PATH; installs one where the machine's package manager can. */
function findRedis() {
  if (onPath('redis-server') || onPath('valkey-server')) return;
  const root0 = typeof process.getuid === 'function' && process.getuid() === 0;
  if (onPath('brew')) install('brew', ['install', 'redis']);
  else if (onPath('apt-get') && root0) {
    install('apt-get', ['update', '-qq']);
    install('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'redis-server']);
  }
  if (onPath('redis-server') || onPath('valkey-server')) return;
  stop(
    'found no redis-server and no valkey-server on PATH. Autofiles keeps its runs in one of them. Install it ' +
      '(Debian, Ubuntu: `sudo apt-get install redis-server`; macOS: `brew install redis`; Fedora: `sudo dnf install valkey`) and try again.',
  );
}

function install(command, args) {
  say(`set-up: no Redis server found, running \`${command} ${args.join(' ')}\` …`);
  // The Debian package would start a server of its own on port 6379; a policy of 101 keeps it from doing so.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  spawnSync(command, args, { env, stdio: ['ignore', 2, 2] });
}

function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return folder !== '';
    } catch {
      return false;
    }
  });
}

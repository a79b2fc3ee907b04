// What the peers need beyond the project's own packages, installed by the bench that asks for them and by nothing else.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PEERS = fileURLToPath(new URL('peers', import.meta.url));
const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Where Debian's and Homebrew's packages put PostgreSQL's programs. */
const POSTGRES_FOLDERS = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt'];

export interface PeerPrograms {
  /** Folder of `initdb` and `postgres`. */
  readonly postgres: string;
  readonly restate: string;
}

/** Installs the packages of bench/peers and PostgreSQL where they are missing. Throws an Error that says what to do when it cannot. */
export function preparePeers(note: (line: string) => void): PeerPrograms {
  const lock = readFileSync(join(PEERS, 'package-lock.json'), 'utf8');
  const stamp = join(PEERS, 'node_modules', '.installed-lock');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
    note('peers: installing the packages of bench/peers (once, about 250 MB) …');
    must('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], PEERS);
    writeFileSync(stamp, lock);
  }
  // `npm run check` cannot do this: a clone has none of these packages
  must('npx', ['tsc', '-p', 'bench/peers'], ROOT);
  const restate = join(PEERS, 'node_modules', '@restatedev', `restate-server-${process.platform}-${process.arch}`, 'bin', 'restate-server');
  if (!existsSync(restate)) throw new Error(`peers: ${restate} is missing: Restate has no package for this machine`);
  return { postgres: findPostgres() ?? installPostgres(note), restate };
}

function installPostgres(note: (line: string) => void): string {
  const how =
    'peers: install PostgreSQL (Debian, Ubuntu: `sudo apt-get install postgresql`; macOS: `brew install postgresql`) and try again';
  if (!existsSync('/usr/bin/apt-get') || process.getuid?.() !== 0) throw new Error(how);
  note('peers: no PostgreSQL found, installing Debian’s …');
  // RUNLEVEL=1 keeps the package from starting a server of its own
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  must('apt-get', ['update', '-qq'], ROOT, env);
  must('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'postgresql'], ROOT, env);
  const found = findPostgres();
  if (found === undefined) throw new Error(how);
  return found;
}

function findPostgres(): string | undefined {
  const onPath = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '');
  const packaged = POSTGRES_FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder).map((version) => join(folder, version, 'bin')),
  );
  return [...onPath, ...packaged].find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

function must(command: string, args: readonly string[], cwd: string, env = process.env): void {
  const { status } = spawnSync(command, args, { cwd, env, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`peers: \`${command} ${args.join(' ')}\` failed; its words are above`);
}

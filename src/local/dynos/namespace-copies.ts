import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { text } from 'node:stream/consumers';
import type { AppCopies, AppCopy } from './app-copies.ts';
import { removeTree } from './remove-tree.ts';

/** Copies at `/app` in a mount namespace of each dyno's own. `close` lets the kernel drop the base that they are made from. */
export interface NamespaceCopies extends AppCopies {
  close(): void;
}

/** The user that the dynos shall be, as on the outside. */
export interface NamespaceUser {
  uid: number;
  gid: number;
}

// Where mount tools are: an ordinary user's PATH often lacks the sbin folders.
const toolFolders = ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/local/sbin', '/run/current-system/sw/bin'];
const setupMs = 10_000;

/*
 * The base is made once: a root of its own (a small tmpfs) with every top-level folder of the machine bound into it and an empty /app, since an ordinary user cannot make that folder.
 * Bindings follow the machine's later mounts (slave). Written for any POSIX sh; $1 is an empty folder.
 */
const baseScript = `set -e
mount -t tmpfs -o mode=755,size=1m autofiles "$1"
for entry in /* /.[!.]*; do
  name="\${entry#/}"
  if [ -L "$entry" ]; then ln -s "$(readlink "$entry")" "$1/$name"
  elif [ -d "$entry" ]; then mkdir "$1/$name"; mount --rbind "$entry" "$1/$name"
  fi
done
mkdir -p "$1/app" "$1/.old"
cd "$1"
pivot_root . .old
cd /
umount -l /.old
rmdir /.old
mount -o remount,bind,ro /
echo ready
exec cat
`;

// One dyno: the frozen slug below, its own changes above, seen at /app. Paths are relative to the dyno's folder, so that no comma or colon in them is taken for an option's.
const dynoScript = `folder="$1"; lower="$2"; options="$3"; mount="$4"; shift 4
cd "$folder" && "$mount" -t overlay -o "lowerdir=$lower,upperdir=up,workdir=work$options" autofiles-app /app && cd /app || {
  echo 'autofiles: the copy of the app could not be mounted at /app' >&2
  exit 126
}
unset OLDPWD
exec "$@"
`;

/**
 * Copies that cost nothing: an overlay over the slug, mounted at `/app` in a mount namespace of the dyno's own (as an ordinary user within a user namespace, with `userxattr`),
 * which the kernel takes down with the dyno's last process. Tries all of it once with a real program.
 * @throws Error saying what this machine lacks.
 */
export async function createNamespaceCopies(dir: string, user: NamespaceUser): Promise<NamespaceCopies> {
  if (process.platform !== 'linux') throw new Error('mount namespaces are a matter of Linux');
  const [sh, nsenter, unshare, mount] = ['sh', 'nsenter', 'unshare', 'mount'].map(findTool);
  const tools = { sh: sh ?? '', nsenter: nsenter ?? '', unshare: unshare ?? '', mount: mount ?? '' };
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const base = await openBase(dir, tools, user);
  const copies: NamespaceCopies = {
    async make(dynoId, slug) {
      const folder = join(dir, dynoId);
      await mkdir(join(folder, 'up'), { recursive: true, mode: 0o755 });
      await mkdir(join(folder, 'work'), { mode: 0o700 });
      return overlayCopy(folder, relative(folder, slug.path), { tools, base, user });
    },
    close: () => base.close(),
  };
  try {
    await tryOut(copies, dir);
  } catch (error) {
    base.close();
    throw error;
  }
  return copies;
}

type Tools = Record<'sh' | 'nsenter' | 'unshare' | 'mount', string>;

interface Base {
  /** Arguments for nsenter. */
  enter: readonly string[];
  close(): void;
}

// A namespace lives as long as something holds it: here two open files of the platform itself, so no process has to stay and a killed platform leaves nothing.
async function openBase(dir: string, tools: Tools, user: NamespaceUser): Promise<Base> {
  const root = await mkdtemp(join(dir, 'root-'));
  const userArgs = user.uid === 0 ? [] : ['--user', '--map-root-user'];
  const child = spawn(tools.unshare, [...userArgs, '--mount', '--propagation', 'slave', tools.sh, '-c', baseScript, 'sh', root], {
    env: { PATH: toolFolders.join(':') },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: setupMs,
  });
  const complaint = text(child.stderr);
  const held: number[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.stdout.once('data', () => resolve());
      child.once('close', () => void complaint.then((said) => reject(new Error(said.trim() || 'the base ended without a word'))));
    });
    const kinds = user.uid === 0 ? ['mnt'] : ['user', 'mnt'];
    for (const kind of kinds) held.push(openSync(`/proc/${child.pid}/ns/${kind}`, constants.O_RDONLY));
    const flags: Record<string, string> = { user: '--user', mnt: '--mount' };
    return {
      enter: kinds.map((kind, index) => `${flags[kind]}=/proc/${process.pid}/fd/${held[index]}`),
      close() {
        for (const file of held.splice(0)) closeSync(file);
      },
    };
  } catch (cause) {
    for (const file of held) closeSync(file);
    throw new Error(`a namespace with /app could not be made: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  } finally {
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) await ended;
    await rm(root, { recursive: true, force: true });
  }
}

function overlayCopy(folder: string, lower: string, deps: { tools: Tools; base: Base; user: NamespaceUser }): AppCopy {
  const { tools, base, user } = deps;
  // Within a user namespace overlayfs may keep its marks only in user.* attributes; the dyno then becomes the user again that it is outside.
  const options = user.uid === 0 ? '' : ',userxattr';
  const asUser = user.uid === 0 ? [] : [tools.unshare, '--user', `--map-user=${user.uid}`, `--map-group=${user.gid}`, '--'];
  const preserve = user.uid === 0 ? [] : ['--preserve-credentials'];
  return {
    home: '/app',
    env: {},
    enter: (file, args) => ({
      file: tools.nsenter,
      args: [
        ...base.enter,
        ...preserve,
        '--',
        ...[tools.unshare, '--mount', '--', tools.sh, '-c', dynoScript, 'sh', folder, lower, options, tools.mount],
        ...[...asUser, file, ...args],
      ],
      cwd: '/',
    }),
    remove: () => removeTree(folder),
  };
}

// Reads, changes and removes a file of a made-up slug, in a copy as dynos get it.
async function tryOut(copies: AppCopies, dir: string): Promise<void> {
  const trial = await mkdtemp(join(dir, 'trial-'));
  const id = `${relative(dir, trial)}-copy`;
  try {
    await writeFile(join(trial, 'file'), 'slug\n');
    const slug = { path: trial, tree: { entries: [], bytes: 0, signature: '' }, procfile: new Map<string, string>() };
    const copy = await copies.make(id, slug);
    const script = 'pwd; cat file; echo more >> file; cat file; rm file; ls; id -u';
    const { file, args, cwd } = copy.enter(findTool('sh'), ['-c', script]);
    const child = spawn(file, args, { cwd, env: { PATH: toolFolders.join(':') }, stdio: ['ignore', 'pipe', 'pipe'], timeout: setupMs });
    const [said, complaint] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const expected = `/app\nslug\nslug\nmore\n${process.getuid?.() ?? ''}\n`;
    if (said !== expected) throw new Error(`a copy at /app does not work here: ${(complaint || said).trim()}`);
    await copy.remove();
  } finally {
    await removeTree(join(dir, id));
    await removeTree(trial);
  }
}

function findTool(name: string): string {
  for (const folder of toolFolders) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here: look in the next folder.
    }
  }
  throw new Error(`${name} is not on this machine (looked in ${toolFolders.join(', ')})`);
}

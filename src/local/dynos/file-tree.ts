import { constants, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, lutimes, mkdir, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { SlugIgnore } from './slug-ignore.ts';

/** One entry of a scanned folder; `path` is relative with `/` between names, folders come before what is in them. */
export interface TreeEntry {
  path: string;
  kind: 'folder' | 'file' | 'link';
  mode: number;
  mtimeMs: number;
  size: number;
  /** Where a link points, exactly as written. */
  target?: string;
}

/** What a scan of a folder found. Two scans with one signature saw the same files (names, kinds, modes, sizes, times). */
export interface FileTree {
  entries: TreeEntry[];
  bytes: number;
  signature: string;
}

// The walk is synchronous because it is five times as fast as the promises' one; every so often it lets other work run.
const entriesPerTurn = 500;
// libuv copies with four threads; a few more waiting keep them busy.
const copiesAtOnce = 16;

/** Lists a folder without what `ignored` names. Sockets, fifos and devices are left out, and files that vanish meanwhile. */
export async function scanTree(root: string, ignored: SlugIgnore): Promise<FileTree> {
  const entries: TreeEntry[] = [];
  const marks: string[] = [];
  let bytes = 0;
  let sinceTurn = 0;
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const names = folder === '' ? readdirSync(root) : (ifThere(() => readdirSync(join(root, folder))) ?? []);
    for (const name of names.sort()) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const stat = ifThere(() => lstatSync(join(root, path)));
      sinceTurn += 1;
      if (stat === undefined) continue;
      const kind = stat.isDirectory() ? 'folder' : stat.isFile() ? 'file' : stat.isSymbolicLink() ? 'link' : undefined;
      if (kind === undefined || ignored(path, name, kind === 'folder')) continue;
      const entry: TreeEntry = { path, kind, mode: stat.mode & 0o7777, mtimeMs: stat.mtimeMs, size: stat.size };
      if (kind === 'link') entry.target = ifThere(() => readlinkSync(join(root, path))) ?? '';
      if (kind === 'folder') folders.push(path);
      else bytes += stat.size;
      entries.push(entry);
      // A folder's own times change with files that are not part of the slug (`.autofiles/` itself): its name and mode are enough.
      marks.push(
        kind === 'folder' ? `${path}\0${stat.mode}` : `${path}\0${stat.mode}\0${stat.size}\0${stat.mtimeMs}\0${stat.ctimeMs}\0${stat.ino}`,
      );
    }
    if (sinceTurn >= entriesPerTurn) {
      sinceTurn = 0;
      await turn();
    }
  }
  return { entries, bytes, signature: marks.join('\n') };
}

/**
 * Copies a scanned tree from `from` to `to` (which must not exist), with modes, times and links as they are; where the file system can share blocks
 * (btrfs, xfs, apfs) it does. Files that vanished since the scan are left out.
 */
export async function copyTree(tree: FileTree, from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  const folders = tree.entries.filter((entry) => entry.kind === 'folder');
  for (const folder of folders) await mkdir(join(to, folder.path), { mode: 0o700 | folder.mode });
  const rest = tree.entries.filter((entry) => entry.kind !== 'folder').values();
  const worker = async (): Promise<void> => {
    for (const entry of rest) await copyEntry(entry, from, to);
  };
  await Promise.all(Array.from({ length: copiesAtOnce }, worker));
  // Last and from the inside out: a folder may be read-only, and every file made in it moved its time.
  for (const folder of folders.reverse()) {
    const path = join(to, folder.path);
    await utimes(path, folder.mtimeMs / 1000, folder.mtimeMs / 1000);
    await chmod(path, folder.mode);
  }
}

async function copyEntry(entry: TreeEntry, from: string, to: string): Promise<void> {
  const target = join(to, entry.path);
  const seconds = entry.mtimeMs / 1000;
  if (entry.kind === 'link') {
    await symlink(entry.target ?? '', target);
    await lutimes(target, seconds, seconds);
    return;
  }
  try {
    await copyFile(join(from, entry.path), target, constants.COPYFILE_FICLONE);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  // Times are kept because tools compare them (a .pyc is valid only for its source's time).
  await utimes(target, seconds, seconds);
}

function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTree, type FileTree, scanTree } from './file-tree.ts';
import { readProcfile } from './procfile.ts';
import { removeTree } from './remove-tree.ts';
import { parseSlugIgnore, type SlugIgnore } from './slug-ignore.ts';

/** A frozen snapshot of the app's files: dynos are filled from it, so that editing the app while dynos start cannot tear a copy. */
export interface Slug {
  /** Where the snapshot is; nobody writes there. */
  path: string;
  tree: FileTree;
  procfile: ReadonlyMap<string, string>;
}

/** Keeps the newest slug at hand. */
export interface SlugStore {
  /** Lends the slug of the app's files as they were at some moment after this call. Give it back with `release`, so that an old one can be removed. */
  acquire(): Promise<Slug>;
  release(slug: Slug): void;
}

// A folder into which somebody writes all the time never looks the same twice; after this many tries the snapshot is taken as it is.
const snapshotTries = 3;

/**
 * Makes the slug store of an app folder, with snapshots under `dir`. A call looks at every file's size and times; callers that come while one look is under way share the next one.
 */
export function createSlugStore(deps: { appDir: string; dir: string; stateDir: string; report: (message: string) => void }): SlugStore {
  const lent = new Map<Slug, number>();
  let current: { slug: Slug; signature: string } | undefined;
  let count = 0;
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<Slug> | undefined;

  const refresh = async (): Promise<Slug> => {
    const seen = await look(deps);
    if (current?.signature === seen.signature) return current.slug;
    const previous = current;
    current = await snapshot(deps, seen, () => {
      count += 1;
      return join(deps.dir, String(count));
    });
    if (previous !== undefined && !lent.has(previous.slug)) await discard(previous.slug, deps.report);
    return current.slug;
  };
  const lend = (slug: Slug): Slug => {
    lent.set(slug, (lent.get(slug) ?? 0) + 1);
    return slug;
  };

  return {
    async acquire() {
      // The look under way may have passed a file before this caller's edit: wait for it, then look once more, together with all who wait too.
      next ??= running.then(
        () => begin(),
        () => begin(),
      );
      return lend(await next);
    },
    release(slug) {
      const users = (lent.get(slug) ?? 0) - 1;
      if (users > 0) lent.set(slug, users);
      else {
        lent.delete(slug);
        if (current !== undefined && current.slug !== slug) void discard(slug, deps.report);
      }
    },
  };

  function begin(): Promise<Slug> {
    next = undefined;
    const work = refresh();
    running = work;
    return work;
  }
}

async function look(deps: { appDir: string; stateDir: string }): Promise<FileTree> {
  return scanTree(deps.appDir, await ignoring(deps));
}

async function ignoring({ appDir, stateDir }: { appDir: string; stateDir: string }): Promise<SlugIgnore> {
  const listed = parseSlugIgnore(await readFile(join(appDir, '.slugignore'), 'utf8').catch(missingIsEmpty));
  return (path, name, isFolder) => listed(path, name, isFolder) || (isFolder && join(appDir, path) === stateDir);
}

function missingIsEmpty(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
  throw error;
}

// Copies, looks again, and takes the copy only when nothing moved meanwhile.
async function snapshot(
  deps: { appDir: string; stateDir: string },
  first: FileTree,
  path: () => string,
): Promise<{ slug: Slug; signature: string }> {
  let tree = first;
  for (let tries = 1; ; tries += 1) {
    const to = path();
    await copyTree(tree, deps.appDir, `${to}.tmp`);
    const again = await look(deps);
    if (again.signature === tree.signature || tries === snapshotTries) {
      await rename(`${to}.tmp`, to);
      // The copy is scanned too: what the dynos get is exactly what is in it.
      const frozen = await scanTree(to, () => false);
      return { slug: { path: to, tree: frozen, procfile: await readProcfile(to) }, signature: tree.signature };
    }
    await removeTree(`${to}.tmp`);
    tree = again;
  }
}

// An old snapshot that stays costs space until the next start, nothing else.
async function discard(slug: Slug, report: (message: string) => void): Promise<void> {
  try {
    await removeTree(slug.path);
  } catch (error) {
    report(`the old snapshot ${slug.path} could not be removed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

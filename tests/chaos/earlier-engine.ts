import { spawnSync } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** An earlier version of the engine that runs beside this one. */
export interface EarlierEngine {
  readonly commit: string;
  readonly root: string;
  /** Its own failpoints: it knows no later ones. */
  readonly failpoints: readonly string[];
  remove(): void;
}

/** Checks a commit out below a folder, with this checkout's packages. Throws when git does not know it. */
export async function checkOutEarlier(commit: string, folder: string): Promise<EarlierEngine> {
  const root = join(folder, 'earlier');
  const git = (...args: string[]) => {
    const done = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr.trim()}`);
    return done.stdout.trim();
  };
  git('worktree', 'add', '--detach', root, commit);
  await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  const schema: { FAILPOINTS: object; ADDON_FAILPOINTS?: object } = await import(join(root, 'src/schema/failpoint.ts'));
  return {
    commit: git('rev-parse', '--short', commit),
    root,
    failpoints: Object.keys({ ...schema.FAILPOINTS, ...schema.ADDON_FAILPOINTS }),
    remove: () => {
      git('worktree', 'remove', '--force', root);
    },
  };
}

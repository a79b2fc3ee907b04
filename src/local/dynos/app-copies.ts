import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { copyTree } from './file-tree.ts';
import { removeTree } from './remove-tree.ts';
import type { Slug } from './slug.ts';

/** A dyno's own copy of the app and how to start a program in it. */
export interface AppCopy {
  /** The copy as the dyno sees it. */
  home: string;
  /** What to spawn so that `file args` runs inside the copy. */
  enter(file: string, args: readonly string[]): { file: string; args: readonly string[]; cwd: string };
  /** Variables that this kind of copy needs on top of the dyno's environment. */
  env: Readonly<Record<string, string>>;
  /** Removes the copy with all that the dyno wrote. */
  remove(): Promise<void>;
}

/** A way to give each dyno its throw-away copy. */
export interface AppCopies {
  make(dynoId: string, slug: Slug): Promise<AppCopy>;
}

/**
 * The way that works everywhere: a real copy of every file under `dir`, blocks shared where the file system can. The dyno sees it under its real path.
 */
export function createPlainCopies(dir: string): AppCopies {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return {
    async make(dynoId, slug) {
      const home = join(dir, dynoId);
      try {
        await copyTree(slug.tree, slug.path, home);
      } catch (error) {
        await removeTree(home);
        throw error;
      }
      return {
        home,
        enter: (file, args) => ({ file, args, cwd: home }),
        // The copy may lie inside the app's own repository: git must not climb out of it and work on the real one.
        env: { GIT_CEILING_DIRECTORIES: dir },
        remove: () => removeTree(home),
      };
    },
  };
}

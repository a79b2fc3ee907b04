import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SeededBug } from './seeded-bug.ts';

const PARTS = [
  'src',
  'tests',
  'bench',
  'deploy',
  'docs',
  'examples',
  'addon-manifest.json',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
  'vitest.faults.config.ts',
  'biome.json',
  'lint',
];

/** A copy of the house with its packages, in which bugs can be planted. `root`: the house. */
export function copyHouse(root: string) {
  const folder = mkdtempSync(join(tmpdir(), 'af-seeded-'));
  for (const part of PARTS) cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return {
    folder,
    /** Plants a bug; answers with what takes it out again. Throws when its place is not there exactly once. */
    plant: (bug: SeededBug): (() => void) => {
      const path = join(folder, 'src', bug.file);
      const before = readFileSync(path, 'utf8');
      if (before.split(bug.from).length !== 2) throw new Error(`${bug.name}: expected ${JSON.stringify(bug.from)} once in src/${bug.file}`);
      writeFileSync(
        path,
        before.replace(bug.from, () => bug.to),
      );
      return () => writeFileSync(path, before);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

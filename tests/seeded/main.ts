// `npm run seeded-bugs [-- --only TEXT]`: plants each bug in a copy of the house and runs the test that must notice it. Writes
// docs/reports/seeded-bugs.md; `--only` names bugs or the tests that notice them. Exit status 1 when a bug goes unnoticed, or a test is red without one.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MODEL, SEEDED_BUGS, type SeededBug } from './bugs.ts';

const { values } = parseArgs({ options: { only: { type: 'string' }, report: { type: 'boolean', default: true } }, allowNegative: true });
const root = fileURLToPath(new URL('../..', import.meta.url));
/** Milliseconds that one test file may take; one that hangs on a bug has noticed it. */
const TEST_MS = 300_000;

const copy = mkdtempSync(join(tmpdir(), 'af-seeded-'));
for (const name of [
  'src',
  'tests',
  'bench',
  'docs',
  'examples',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
  'vitest.faults.config.ts',
  'biome.json',
  'lint',
]) {
  cpSync(join(root, name), join(copy, name), { recursive: true });
}
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));

/** Runs one test file in the copy: its verdict, and the first words of a failure. */
function run(file: string): { red: boolean; words: string } {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args =
    file === MODEL
      ? ['--disable-warning=ExperimentalWarning', MODEL]
      : [
          vitest,
          'run',
          file,
          '--bail=1',
          '--no-color',
          ...(file.startsWith('tests/faults/') ? ['--config', 'vitest.faults.config.ts'] : []),
        ];
  const done = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8', timeout: TEST_MS });
  const said = `${done.stdout}\n${done.stderr}`.trim();
  const words = file === MODEL ? (said.split('\n')[0] ?? '') : (/(?:AssertionError|Error): (.*)/.exec(said)?.[1] ?? 'red');
  return { red: done.status !== 0, words: done.signal === null ? words : 'hung' };
}

function plant(bug: SeededBug): () => void {
  const path = join(copy, 'src', bug.file);
  const before = readFileSync(path, 'utf8');
  if (before.split(bug.from).length !== 2) throw new Error(`${bug.name}: expected ${JSON.stringify(bug.from)} once in src/${bug.file}`);
  writeFileSync(
    path,
    before.replace(bug.from, () => bug.to),
  );
  return () => writeFileSync(path, before);
}

const bugs = SEEDED_BUGS.filter(
  ({ name, caughtBy }) => values.only === undefined || name.includes(values.only) || caughtBy.includes(values.only),
);
const rows: string[] = [];
let unnoticed = 0;
try {
  // what is red by itself notices everything
  for (const file of new Set(bugs.map(({ caughtBy }) => caughtBy))) {
    const { red, words } = run(file);
    if (red) throw new Error(`${file} is red without any bug: ${words}`);
  }
  for (const bug of bugs) {
    const remove = plant(bug);
    const { red, words } = run(bug.caughtBy);
    remove();
    if (!red) unnoticed += 1;
    const row = `| ${bug.name} | \`src/${bug.file}\` | ${red ? 'caught' : '**unnoticed**'} | \`${bug.caughtBy}\` | ${red ? words.replaceAll('|', '\\|').slice(0, 110) : ''} |`;
    console.log(row);
    rows.push(row);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
if (values.report && values.only === undefined) {
  const page = [
    '# Seeded bugs',
    '',
    'What the tests are worth: each line is a bug that was planted in a copy of the engine, and the test that went red for it.',
    `\`npm run seeded-bugs\`, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}: ${rows.length - unnoticed} of ${rows.length} caught.`,
    '',
    '| bug | file | verdict | test | first words |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ];
  writeFileSync(join(root, 'docs', 'reports', 'seeded-bugs.md'), page.join('\n'));
}
console.log(`${rows.length - unnoticed} of ${rows.length} caught`);
process.exitCode = unnoticed === 0 ? 0 : 1;

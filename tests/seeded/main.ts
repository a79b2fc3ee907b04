// `npm run seeded-bugs [-- --only TEXT] [--left] [--jobs N]`: plants each bug in a copy of the house and runs the test that must notice it. Writes
// their rows into docs/reports/seeded-bugs.md, unless `--no-report` is given; `--only` names bugs or the tests that notice them, `--left` takes
// those alone that the page does not call caught. Exit status 1
// when a bug goes unnoticed, a test is red for another reason than the bug, or red without one. `--chaos [--seed S]`: see chaos.ts.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SEEDED_BUGS } from './all-bugs.ts';
import { seedThroughChaos } from './chaos.ts';
import { copyHouse } from './house-copy.ts';
import { CAUGHT, caughtIn, mergedPage, rowOf } from './page.ts';
import { MODEL, type SeededBug } from './seeded-bug.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    left: { type: 'boolean', default: false },
    chaos: { type: 'boolean', default: false },
    seed: { type: 'string', default: '58' },
    jobs: { type: 'string', default: '1' },
    report: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const root = fileURLToPath(new URL('../..', import.meta.url));
/** Milliseconds that one test file may take; one that hangs on a bug has noticed it. */
const TEST_MS = 300_000;

if (values.chaos) {
  const { only, seed, report } = values;
  process.exit((await seedThroughChaos(root, { only, seed, jobs: Number(values.jobs), report })) ? 0 : 1);
}

type House = ReturnType<typeof copyHouse>;

/** Runs one test file in a copy: its verdict, and the names of the tests that failed with the first line of each failure. */
async function run({ folder }: House, file: string): Promise<{ red: boolean; words: string }> {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const results = join(folder, 'results.json');
  rmSync(results, { force: true });
  const args =
    file === MODEL
      ? ['--disable-warning=ExperimentalWarning', MODEL]
      : [
          ...[vitest, 'run', file, '--bail=1', '--reporter=json', `--outputFile=${results}`],
          ...(file.startsWith('tests/faults/') ? ['--config', 'vitest.faults.config.ts'] : []),
        ];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], timeout: TEST_MS });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      said += data;
    });
  const [status, signal] = await once(child, 'close');
  if (signal !== null) return { red: true, words: 'hung' };
  return { red: status !== 0, words: file === MODEL ? (said.trim().split('\n')[0] ?? '') : failuresIn(results) };
}

/** What vitest reports of the tests that failed; empty when it could not run them. */
function failuresIn(results: string): string {
  if (!existsSync(results)) return '';
  const report: {
    testResults: { message: string; assertionResults: { status: string; fullName: string; failureMessages: string[] }[] }[];
  } = JSON.parse(readFileSync(results, 'utf8'));
  const failed = report.testResults.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status === 'failed'));
  const said = failed.map(({ fullName, failureMessages }) => `${fullName.trim()}: ${failureMessages[0]?.split('\n')[0]}`);
  return (said.length > 0 ? said : report.testResults.map(({ message }) => message.split('\n')[0] ?? '')).join('; ');
}

function verdictOf({ says }: SeededBug, red: boolean, words: string): string {
  if (!red) return '**unnoticed**';
  const meant = says === 'hung' ? words === says : says.test(words);
  return meant ? CAUGHT : '**red for another reason**';
}

const page = join(root, 'docs', 'reports', 'seeded-bugs.md');
const done = values.left ? caughtIn(readFileSync(page, 'utf8'), SEEDED_BUGS) : new Set();
const bugs = SEEDED_BUGS.filter(
  (bug) => !done.has(bug) && (values.only === undefined || bug.name.includes(values.only) || bug.caughtBy.includes(values.only)),
);
const rows = new Map<SeededBug, readonly string[]>();
const commit = commitOf();

/** Runs a test file without any bug, and then with each that it must notice. */
async function tryAll(house: House, file: string): Promise<void> {
  // what is red by itself notices everything
  let sound = await run(house, file);
  // on a busy machine once is no proof
  if (sound.red) sound = await run(house, file);
  if (sound.red) throw new Error(`${file} is red without any bug: ${sound.words}`);
  for (const bug of bugs.filter(({ caughtBy }) => caughtBy === file)) {
    const remove = house.plant(bug);
    const { red, words } = await run(house, file);
    remove();
    const verdict = verdictOf(bug, red, words);
    const row = rowOf(bug, verdict, words, commit);
    console.log(row.join(' | '));
    if (verdict !== CAUGHT) console.error(`${bug.name}: expected ${bug.says}, found ${words}`);
    rows.set(bug, row);
    // what was tried is true, whatever keeps the others from it
    if (values.report) putIn();
  }
}

const files = [...new Set(bugs.map(({ caughtBy }) => caughtBy))];
const tried = await Promise.allSettled(
  Array.from({ length: Number(values.jobs) }, async () => {
    const house = copyHouse(root);
    try {
      for (let file = files.shift(); file !== undefined; file = files.shift()) await tryAll(house, file);
    } finally {
      house.remove();
    }
  }),
);
for (const one of tried) if (one.status === 'rejected') throw one.reason;
const verdicts = bugs.map((bug) => rows.get(bug)?.[2]);
console.log(`${verdicts.filter((verdict) => verdict === CAUGHT).length} of ${verdicts.length} caught`);
process.exitCode = verdicts.every((verdict) => verdict === CAUGHT) ? 0 : 1;

/** The commit that bugs are planted on; with a + when source or tests were changed since. */
function commitOf(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  return `${git('rev-parse', '--short=7', 'HEAD')}${git('status', '--porcelain', 'src', 'tests') === '' ? '' : '+'}`;
}

function putIn(): void {
  const command = ['npm run seeded-bugs', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ');
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}`;
  const how = `\`${command}\`, ${new Date().toISOString().slice(0, 10)}, ${machine}`;
  writeFileSync(page, mergedPage(readFileSync(page, 'utf8'), SEEDED_BUGS, rows, how));
}

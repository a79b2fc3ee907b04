// `npm run seeded-bugs -- --chaos [--only TEXT]`: plants the most dangerous bugs in a copy of the engine and lets a chaos run look at each. Writes
// docs/reports/chaos-seeded.md.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { pageTable } from '../chaos/page-table.ts';
import { SEEDED_BUGS } from './bugs.ts';
import { copyHouse } from './house-copy.ts';

/** Bugs by the beginning of their names, with the invariants that must be violated, any of them. */
const DANGEROUS: readonly { readonly bug: string; readonly breaks: readonly string[] }[] = [
  { bug: 'message deleted before the decision', breaks: ['I3'] },
  { bug: 'dedupe dropped', breaks: ['I5', 'I6'] },
  { bug: 'the intent is not recorded', breaks: ['I6'] },
  { bug: 'fence skipped', breaks: ['I6'] },
  { bug: '5xx taken for a refusal', breaks: ['I6'] },
  { bug: 'completed twice', breaks: ['I12'] },
  { bug: 'exit treated as failure without grace', breaks: ['CAUSE'] },
  { bug: 'sweep without watermark', breaks: ['I1'] },
  { bug: 'park in two calls', breaks: ['I17', 'I18'] },
];
/** Seconds that a run may take to reach what is left, and again to end: some bugs keep it from either for ever. */
const PATIENCE_S = 120;
/** Characters of a witness that are shown. */
const SHOWN = 200;

interface Looked {
  /** First witness by violated invariant. */
  readonly violated: ReadonlyMap<string, string>;
  readonly summary: string;
  readonly seconds: number;
}

/** Runs them all; answers whether each was caught. Throws when the engine is not sound without any. */
export function seedThroughChaos(root: string, how: { only: string | undefined; seed: string; report: boolean }): boolean {
  const copy = copyHouse(root);
  const look = (): Looked => {
    const began = Date.now();
    const args = ['--ci', '--bundle', '--seed', how.seed, '--patience', String(PATIENCE_S), '--engine', copy.folder];
    const main = join(root, 'tests', 'chaos', 'main.ts');
    const done = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], { cwd: root, encoding: 'utf8' });
    const violated = new Map<string, string>();
    for (const [, id = '', witness = ''] of done.stdout.matchAll(/^(\S+)\s+violated .*\n\s+✗ (.*)$/gm)) violated.set(id, witness);
    const summary = done.stdout.trim().split('\n').at(-1) ?? '';
    if (!summary.startsWith('{')) throw new Error(`the run broke off: ${done.stderr.slice(-1_000)}`);
    return { violated, summary, seconds: Math.round((Date.now() - began) / 1_000) };
  };
  const rows = [['bug', 'file', 'verdict', 'violated', 'first witness', 'took']];
  try {
    if (how.only === undefined) {
      const { violated, summary } = look();
      if (violated.size > 0) throw new Error(`violated without any bug: ${[...violated].flat().join(' ')} ${summary}`);
      console.log(`without any bug: ${summary}`);
    }
    for (const { bug: name, breaks } of DANGEROUS) {
      const bug = SEEDED_BUGS.find((one) => one.name.startsWith(name));
      if (bug === undefined) throw new Error(`no seeded bug begins with ${name}`);
      if (how.only !== undefined && !bug.name.includes(how.only)) continue;
      const remove = copy.plant(bug);
      const { violated, seconds } = look();
      remove();
      const found = breaks.find((id) => violated.has(id));
      const row = [
        bug.name,
        `\`src/${bug.file}\``,
        found === undefined ? '**unnoticed**' : 'caught',
        [...violated.keys()].join(' ') || 'nothing',
        found === undefined ? '' : `${found}: ${violated.get(found)?.slice(0, SHOWN)}`,
        `${seconds} s`,
      ];
      console.log(row.join(' | '));
      rows.push(row);
    }
  } finally {
    copy.remove();
  }
  const caught = rows.slice(1).filter(([, , verdict]) => verdict === 'caught').length;
  console.log(`${caught} of ${rows.length - 1} caught`);
  if (how.report && how.only === undefined) writeFileSync(join(root, 'docs', 'reports', 'chaos-seeded.md'), pageOf(rows, how.seed, caught));
  return caught === rows.length - 1;
}

function pageOf(rows: readonly (readonly string[])[], seed: string, caught: number): string {
  return [
    '# Seeded bugs under chaos',
    '',
    'What the checker of the chaos runs is worth: each line is a bug that was planted in a copy of the engine, and what a run that kills a worker at every failpoint',
    '(`npm run chaos -- --ci --bundle --engine COPY`) said of it. A bug is caught when the invariant that it breaks was violated; the run without any bug violated none.',
    '',
    `\`npm run seeded-bugs -- --chaos --seed ${seed}\`, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}: ${caught} of ${rows.length - 1} caught.`,
    '',
    pageTable(rows),
    '',
  ].join('\n');
}

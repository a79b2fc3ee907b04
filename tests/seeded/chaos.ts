// `npm run seeded-bugs -- --chaos [--only TEXT] [--jobs N]`: plants the most dangerous bugs in a copy of the engine and lets a chaos run look at each. Writes
// docs/reports/chaos-seeded.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Finding } from '../chaos/checker/verdict.ts';
import { pageTable } from '../chaos/page-table.ts';
import { SEEDED_BUGS } from './all-bugs.ts';
import { copyHouse } from './house-copy.ts';
import type { SeededBug } from './seeded-bug.ts';

interface Dangerous {
  /** How its name begins. */
  readonly bug: string;
  /** The invariant that it breaks, and what a witness says then: violated for another reason is not caught. */
  readonly breaks: string;
  readonly says: RegExp;
  /** Why a chaos run need not see it. */
  readonly mended?: string;
}

const DANGEROUS: readonly Dangerous[] = [
  { bug: 'message deleted before the decision', breaks: 'I3', says: /was deleted/ },
  { bug: 'dedupe dropped', breaks: 'I5', says: /was accepted \d+ times/ },
  { bug: 'the intent is not recorded', breaks: 'I6', says: /was launched \d+ times/ },
  { bug: 'fence skipped', breaks: 'I6', says: /was launched \d+ times/ },
  { bug: '5xx taken for a refusal', breaks: 'CAUSE', says: /launch_refused: 5\d\d/ },
  { bug: 'intent kept in BullMQ', breaks: 'I6', says: /was launched \d+ times/ },
  { bug: 'step off by one', breaks: 'I8', says: /was launched before \S+ succeeded/ },
  { bug: 'wait_for forgotten', breaks: 'I8', says: /\d+ ms before \S+ had cooled/ },
  { bug: 'bucket ignored', breaks: 'I14', says: /was moved by/ },
  { bug: 'drain without promotion', breaks: 'I17', says: /is still running/ },
  { bug: 'launches that are held back are granted', breaks: 'PAUSE', says: /was posted \d+ ms after the launches/ },
  { bug: 'completed twice', breaks: 'I12', says: /has two first outputs/ },
  { bug: 'exit treated as failure without grace', breaks: 'CAUSE', says: /looked for \d+ ms after it was seen to end/ },
  { bug: 'a plain object is counted and not accounted for', breaks: 'I4', says: /asks for nothing and is not accounted for/ },
  { bug: 'one retry too few', breaks: 'I10', says: /failed with 1 tries left/ },
  { bug: 'cancel not looked at', breaks: 'CANCEL', says: /was at work when its run was cancelled/ },
  { bug: 'sweep without watermark', breaks: 'I1', says: /in\/before led to 1 runs/ },
  {
    bug: 'park in two calls',
    breaks: 'I18',
    says: /had its output for \d+ ms/,
    mended: 'not seen: a task that sleeps too long is woken by the sweep, which looks every half second here',
  },
];
/** Seconds that a run may take to reach what is left, and again to end: some bugs keep it from either for ever. What is not done by then is violated. */
const PATIENCE_S = 90;
/** Characters of a witness that are shown. */
const SHOWN = 200;

interface Look {
  readonly findings: readonly Finding[];
  readonly seconds: number;
}

/**
 * Looks at all of them, `jobs` at a time; answers whether each was caught. Throws when an engine without any bug breaks one of those promises.
 */
export async function seedThroughChaos(
  root: string,
  how: { only: string | undefined; seed: string; jobs: number; report: boolean },
): Promise<boolean> {
  const waiting = [
    ...(how.only === undefined ? [undefined] : []),
    ...DANGEROUS.filter(({ bug }) => how.only === undefined || bugOf(bug).name.includes(how.only)),
  ];
  const order = waiting.filter((one) => one !== undefined);
  const rows = new Map<Dangerous | undefined, readonly string[]>();
  const work = async () => {
    const copy = copyHouse(root);
    try {
      while (waiting.length > 0) {
        const one = waiting.shift();
        const remove = one === undefined ? undefined : copy.plant(bugOf(one.bug));
        const look = await lookAt({ root, engine: copy.folder, seed: how.seed });
        remove?.();
        const row = one === undefined ? rowWithout(look) : rowOf(one, look);
        console.log(row.join(' | '));
        rows.set(one, row);
      }
    } finally {
      copy.remove();
    }
  };
  await Promise.all(Array.from({ length: how.jobs }, work));
  const found = order.flatMap((one) => rows.get(one) ?? []);
  const caught = `${found.filter((cell) => cell === CAUGHT).length} of ${order.length} caught`;
  console.log(caught);
  const table = [HEAD, ...[undefined, ...order].map((one) => rows.get(one) ?? [])];
  if (how.report && how.only === undefined)
    writeFileSync(join(root, 'docs', 'reports', 'chaos-seeded.md'), pageOf(table, how.seed, caught));
  return order.every((one) => one.mended !== undefined || rows.get(one)?.includes(CAUGHT));
}

const CAUGHT = 'caught';
const HEAD = ['bug', 'file', 'verdict', 'witness', 'all that was violated', 'took'];

function bugOf(name: string): SeededBug {
  const bug = SEEDED_BUGS.find((one) => one.name.startsWith(name));
  if (bug === undefined) throw new Error(`no seeded bug begins with ${name}`);
  return bug;
}

async function lookAt({ root, engine, seed }: { root: string; engine: string; seed: string }): Promise<Look> {
  const began = Date.now();
  const results = join(engine, 'findings.json');
  const args = ['--ci', '--bundle', '--seed', seed, '--patience', String(PATIENCE_S), '--engine', engine, '--findings', results];
  const main = join(root, 'tests', 'chaos', 'main.ts');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (data: Buffer) => {
    said = `${said}${data}`.slice(-2_000);
  });
  const [status] = await once(child, 'close');
  if (!existsSync(results)) throw new Error(`the run broke off with ${status}: ${said}`);
  const findings: Finding[] = JSON.parse(readFileSync(results, 'utf8'));
  rmSync(results);
  return { findings, seconds: Math.round((Date.now() - began) / 1_000) };
}

const violated = ({ findings }: Look) =>
  findings.flatMap(({ id, violations }) => (violations.length > 0 ? [id] : [])).join(' ') || 'nothing';

/** What an engine without any bug breaks in so short a time is what was not done by then, and none of these. */
function rowWithout(look: Look): readonly string[] {
  for (const { breaks, says } of DANGEROUS) {
    const witness = witnessOf(look, breaks, says);
    if (witness !== undefined) throw new Error(`${breaks} is violated without any bug: ${witness}`);
  }
  return ['none', '', 'nothing to catch', '', violated(look), `${look.seconds} s`];
}

function rowOf({ bug: name, breaks, says, mended }: Dangerous, look: Look): readonly string[] {
  const bug = bugOf(name);
  const witness = witnessOf(look, breaks, says);
  const verdict = witness === undefined ? (mended ?? '**unnoticed**') : CAUGHT;
  const words = witness === undefined ? '' : `${breaks}: ${witness.slice(0, SHOWN)}`;
  return [bug.name, `\`src/${bug.file}\``, verdict, words, violated(look), `${look.seconds} s`];
}

function witnessOf({ findings }: Look, invariant: string, says: RegExp): string | undefined {
  return findings.find(({ id }) => id === invariant)?.violations.find((witness) => says.test(witness));
}

function pageOf(rows: readonly (readonly string[])[], seed: string, caught: string): string {
  return [
    '# Seeded bugs under chaos',
    '',
    'What the checker of the chaos runs is worth: each line is a bug that was planted in a copy of the engine, and what a run that kills a worker at every failpoint',
    '(`npm run chaos -- --ci --bundle --engine COPY`) said of it. A bug is caught when the invariant that it breaks was violated, in the words of that bug. A run has a minute and a half for what is left to reach and to end, so that a bug that',
    'keeps it from either does not hold it up: what was not done by then counts as violated, as the first line shows, which is of the engine as it is.',
    '',
    `\`npm run seeded-bugs -- --chaos --seed ${seed}\`, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}: ${caught}.`,
    '',
    pageTable(rows),
    '',
  ].join('\n');
}

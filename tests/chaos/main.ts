// `npm run chaos -- --minutes N --seed S`: real workers under faults, and a verdict on every invariant. The last line is
// JSON; the exit status is 0 only when nothing is violated and nothing vacuous. `--ci`: a worker dies once at every failpoint.
// `--before COMMIT`: half of the workers are of an earlier version. `--bundle`: workers start from a bundle of their sources.
// `--faults F5,F11 torn`: these alone, a group or one of it, beside the dying of workers at failpoints.
// `--engine DIR`: the checkout whose engine is looked at; this one unless given. `--patience SECONDS`: how long an engine may take that may
// never come to its end. `--findings FILE`: the verdicts with all witnesses as JSON.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleEngine } from './bundle-engine.ts';
import { runChaos } from './chaos-run.ts';
import { check } from './checker/check.ts';
import { verdictOf } from './checker/verdict.ts';
import { checkOutEarlier } from './earlier-engine.ts';
import { reportOf, tableOf } from './report.ts';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    ci: { type: 'boolean', default: false },
    kills: { type: 'string' },
    patience: { type: 'string' },
    before: { type: 'string' },
    bundle: { type: 'boolean', default: false },
    faults: { type: 'string' },
    keep: { type: 'boolean', default: false },
    report: { type: 'string' },
    findings: { type: 'string' },
    engine: { type: 'string', default: fileURLToPath(new URL('../..', import.meta.url)) },
  },
});

const seed = Number(options.seed);
const minutes = Number(options.minutes);
const kills = options.kills === undefined ? undefined : Number(options.kills);
if (!Number.isSafeInteger(seed) || !(minutes > 0) || (kills !== undefined && !(kills > 0))) {
  throw new RangeError(
    `expected --minutes and --kills above 0 and a whole --seed, found ${options.minutes}, ${options.kills} and ${options.seed}`,
  );
}

const root = resolve(options.engine);
const folder = await mkdtemp(join(tmpdir(), 'af-chaos-'));
const began = Date.now();
const earlier = options.before === undefined ? undefined : await checkOutEarlier(options.before, folder);
const evidence = await runChaos({
  folder,
  seed,
  minutes,
  kills,
  ci: options.ci,
  only: options.faults?.split(','),
  patience: options.patience === undefined ? undefined : Number(options.patience) * 1_000,
  earlier:
    earlier === undefined
      ? undefined
      : {
          ...earlier,
          main: options.bundle ? await bundleEngine(join(folder, 'engine-before'), earlier.root) : join(earlier.root, 'src/cli/main.ts'),
        },
  webMain: join(root, 'src/cli/main.ts'),
  main: options.bundle ? await bundleEngine(join(folder, 'engine'), root) : join(root, 'src/cli/main.ts'),
  say: (line) => console.error(line),
});
earlier?.remove();
const findings = check(evidence);
const count = (verdict: string) => findings.filter((finding) => verdictOf(finding) === verdict).length;
const summary = {
  held: count('held'),
  violated: count('violated'),
  vacuous: count('vacuous'),
  kills: evidence.ledger.reduce((sum, entry) => sum + (entry.kind === 'fault' ? entry.kills : 0), 0),
  runs: evidence.runs.length,
};
console.log(tableOf(findings));
if (options.findings !== undefined) await writeFile(options.findings, JSON.stringify(findings));
if (options.report !== undefined)
  await writeFile(
    options.report,
    reportOf({ evidence, findings, summary, seconds: (Date.now() - began) / 1000, command: process.argv.slice(2).join(' ') }),
  );
const sound = summary.violated === 0 && summary.vacuous === 0;
if (options.keep || !sound) {
  await writeFile(join(folder, 'evidence.json'), JSON.stringify(evidence));
  console.error(`kept ${folder} (evidence.json, ledger.jsonl, workers.log); seed ${seed}`);
} else await rm(folder, { recursive: true, force: true });
console.log(JSON.stringify(summary));
process.exitCode = sound ? 0 : 1;

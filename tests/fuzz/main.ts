// `npm run fuzz -- --inputs N --seed S [--report FILE]`: the long run. Exit status 1 for a
// crash, a slow input, a sample that reads as something else, and a reader that takes or refuses nothing.
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { pageTable } from '../chaos/page-table.ts';
import { fuzz, SLOW_MS, wrongWith } from './fuzz.ts';
import { TARGETS } from './targets.ts';

const { values } = parseArgs({
  options: { inputs: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' }, report: { type: 'string' } },
});
const inputs = Number(values.inputs);
const seed = Number(values.seed);
if (!(inputs > 0) || !Number.isSafeInteger(seed))
  throw new RangeError(`expected --inputs above 0 and a whole --seed, found ${values.inputs} and ${values.seed}`);

const rows = [['reader', 'inputs', 'taken', 'refused', 'crashes', 'slowest input', 'took']];
let bad = 0;
for (const target of TARGETS) {
  const began = Date.now();
  const fuzzed = fuzz(target, { inputs, seed });
  const { took, refused, crashes, slowestMs, slowest } = fuzzed;
  const wrong = wrongWith(fuzzed);
  if (wrong.length > 0) bad += 1;
  for (const what of wrong) console.error(`${target.name}: ${what}`);
  const share = (n: number) => `${((100 * n) / inputs).toFixed(1)} %`;
  const row = [
    target.name,
    inputs.toLocaleString('en'),
    share(took),
    share(refused),
    String(crashes.length),
    `${slowestMs.toFixed(1)} ms (${slowest.length.toLocaleString('en')} characters)`,
    `${Math.round((Date.now() - began) / 1000)} s`,
  ];
  console.log(row.join(', '));
  rows.push(row);
}
if (values.report !== undefined) {
  const page = [
    '# Fuzz run',
    '',
    `\`npm run fuzz -- --inputs ${inputs} --seed ${seed}\`, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}.`,
    `An input must not crash its reader and must cost less than ${SLOW_MS} ms of processor time; each reader must take some inputs and refuse some (one input`,
    'may be taken in one part and refused in another), and read the untouched samples as tests/fuzz/targets.ts says.',
    '',
    pageTable(rows),
    '',
  ];
  writeFileSync(values.report, page.join('\n'));
}
process.exitCode = bad === 0 ? 0 : 1;

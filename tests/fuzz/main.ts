// `npm run fuzz -- --inputs N --seed S [--report FILE]`: the long run. Exit status 1 for a crash or a slow input.
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { fuzz, SLOW_MS } from './fuzz.ts';
import { TARGETS } from './targets.ts';

const { values } = parseArgs({
  options: { inputs: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' }, report: { type: 'string' } },
});
const inputs = Number(values.inputs);
const seed = Number(values.seed);
if (!(inputs > 0) || !Number.isSafeInteger(seed))
  throw new RangeError(`expected --inputs above 0 and a whole --seed, found ${values.inputs} and ${values.seed}`);

const rows: string[] = [];
let bad = 0;
for (const target of TARGETS) {
  const began = Date.now();
  const { crashes, slowestMs, slowest } = fuzz(target, { inputs, seed });
  if (crashes.length > 0 || slowestMs >= SLOW_MS) bad += 1;
  for (const { input, error } of crashes) console.error(`${target.name}: ${JSON.stringify(input.slice(0, 500))}\n${error}`);
  const row = `| ${target.name} | ${inputs.toLocaleString('en')} | ${crashes.length} | ${slowestMs.toFixed(1)} ms (${slowest.length.toLocaleString('en')} characters) | ${Math.round((Date.now() - began) / 1000)} s |`;
  console.log(row);
  if (slowestMs >= SLOW_MS) console.error(`slowest: ${JSON.stringify(slowest.slice(0, 300))}`);
  rows.push(row);
}
if (values.report !== undefined) {
  const page = [
    '# Fuzz run',
    '',
    `\`npm run fuzz -- --inputs ${inputs} --seed ${seed}\`, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}.`,
    `An input must not crash its reader and must cost less than ${SLOW_MS} ms of processor time.`,
    '',
    '| reader | inputs | crashes | slowest input | took |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ];
  writeFileSync(values.report, page.join('\n'));
}
process.exitCode = bad === 0 ? 0 : 1;

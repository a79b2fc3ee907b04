// How much the time of an answer tells of a secret: `node bench/timing.ts`. Two classes of guesses, one that differs from the secret at its first
// character and one at its last, are compared in random order; Welch's t of the two classes' times says whether they can be told apart
// (Reparaz, Balasch, Verbauwhede: Dude, is my code constant time?, DATE 2017; |t| under 4.5 means no). A comparison by `===` runs beside it,
// to show that this instrument sees what there is to see on this machine.
import { randomBytes } from 'node:crypto';
import { sameSecret } from '../src/http/same-secret.ts';

/** Measurements of each comparison, and comparisons in one measurement: a clock tick is longer than one comparison. */
const SAMPLES = 20_000;
const REPEATS = 32;
/** Characters of the secret. Long, so that what leaks can be seen. */
const LENGTH = 4_096;
/** Share of the slowest measurements that is left out: interrupts of the machine, not the comparison. */
const CROPPED = 0.05;

const secret = randomBytes(LENGTH / 2).toString('hex');
const flip = (text: string, at: number) => `${text.slice(0, at)}${text[at] === '0' ? '1' : '0'}${text.slice(at + 1)}`;
/** A string of its own in memory, flat, as one from a request is. */
const guesses = [flip(secret, 0), flip(secret, LENGTH - 1)].map((text) => Buffer.from(text).toString('latin1'));

function measure(compare: (found: string, expected: string) => boolean): number {
  const times: number[][] = [[], []];
  let equal = 0;
  for (let i = 0; i < SAMPLES + 1_000; i += 1) {
    const kind = Math.random() < 0.5 ? 0 : 1;
    const guess = guesses[kind] ?? '';
    const began = process.hrtime.bigint();
    for (let n = 0; n < REPEATS; n += 1) if (compare(guess, secret)) equal += 1;
    const took = Number(process.hrtime.bigint() - began);
    // the first thousand warm the compiler up
    if (i >= 1_000) times[kind]?.push(took);
  }
  if (equal > 0) throw new Error('a guess was right');
  const [a, b] = times.map(crop).map(momentsOf);
  if (a === undefined || b === undefined) throw new Error('nothing was measured');
  return (a.mean - b.mean) / Math.sqrt(a.variance / a.count + b.variance / b.count);
}

function crop(times: number[]): number[] {
  return times.toSorted((x, y) => x - y).slice(0, Math.floor(times.length * (1 - CROPPED)));
}

function momentsOf(times: number[]): { mean: number; variance: number; count: number } {
  const mean = times.reduce((sum, one) => sum + one, 0) / times.length;
  return { mean, variance: times.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (times.length - 1), count: times.length };
}

for (const [name, compare] of [
  ['sameSecret', sameSecret],
  ['===', (found: string, expected: string) => found === expected],
] as const) {
  const t = Math.abs(measure(compare));
  console.log(
    `${name.padEnd(12)} |t| = ${t.toFixed(2)}, ${t < 4.5 ? 'not told apart' : 'told apart'} (${SAMPLES} measurements of ${REPEATS})`,
  );
}

import { createDice, seedOf } from '../chaos/dice.ts';
import { mutate } from './mutate.ts';
import { isOwn, type Reading, type Target } from './targets.ts';

/** Milliseconds of processor time that no input may cost. */
export const SLOW_MS = 50;
/** How often a slow input is read again: the first time may have paid for the compiler or the collector. */
const AGAIN = 8;
/** Witnesses kept of one target. */
const WITNESSES = 3;

export interface Fuzzed {
  readonly target: string;
  readonly inputs: number;
  /** Inputs of which the reader took something, and of which it refused something; without either it was not tried. */
  readonly took: number;
  readonly refused: number;
  /** Samples that read as something else than they are meant. */
  readonly misread: readonly string[];
  /** The first inputs that threw, and what. */
  readonly crashes: readonly { readonly input: string; readonly error: string }[];
  /** Milliseconds of this thread's processor time for the slowest input, its best of several readings. */
  readonly slowestMs: number;
  readonly slowest: string;
}

/** Milliseconds of processor time that this thread has used: other processes on the machine do not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Reads so many inputs that the seed decides. */
export function fuzz(target: Target, run: { inputs: number; seed: number }): Fuzzed {
  const dice = createDice(seedOf(run.seed, target.name));
  const misread = target.samples.filter((sample, n) => {
    try {
      return target.read(sample).what !== target.reads[n];
    } catch {
      return true;
    }
  });
  const crashes: { input: string; error: string }[] = [];
  let slowestMs = 0;
  let slowest = '';
  let took = 0;
  let refused = 0;
  const hostile = target.hostile ?? [];
  for (let n = 0; n < run.inputs; n += 1) {
    const input = hostile[n] ?? mutate(dice, target.samples);
    let reading: Reading | undefined;
    const read = () => {
      const from = cpuMs();
      try {
        reading = target.read(input);
      } catch (error) {
        if (!isOwn(error) && crashes.length < WITNESSES)
          crashes.push({ input, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      }
      return cpuMs() - from;
    };
    let cost = read();
    for (let again = 0; again < AGAIN && cost > Math.max(slowestMs, 5); again += 1) cost = Math.min(cost, read());
    if (cost > slowestMs) {
      slowestMs = cost;
      slowest = input;
    }
    if (reading?.took) took += 1;
    if (reading?.refused) refused += 1;
  }
  return { target: target.name, inputs: run.inputs, took, refused, misread, crashes, slowestMs, slowest };
}

/** What is wrong with a reader after all that; empty when nothing is. */
export function wrongWith({ crashes, slowestMs, slowest, took, refused, misread }: Fuzzed): readonly string[] {
  return [
    ...crashes.map(({ input, error }) => `${JSON.stringify(input.slice(0, 300))}: ${error}`),
    ...(slowestMs < SLOW_MS ? [] : [`${slowestMs.toFixed(1)} ms for ${JSON.stringify(slowest.slice(0, 300))}`]),
    ...misread.map((sample) => `misread ${JSON.stringify(sample.slice(0, 300))}`),
    ...(took > 0 ? [] : ['took nothing of all inputs']),
    ...(refused > 0 ? [] : ['refused nothing of all inputs']),
  ];
}

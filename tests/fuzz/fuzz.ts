import { createDice, seedOf } from '../chaos/dice.ts';
import { mutate } from './mutate.ts';
import { isOwn, type Target } from './targets.ts';

/** Milliseconds of processor time that no input may cost. */
export const SLOW_MS = 50;
/** How often a slow input is read again: the first time may have paid for the compiler or the collector. */
const AGAIN = 8;
/** Witnesses kept of one target. */
const WITNESSES = 3;

export interface Fuzzed {
  readonly target: string;
  readonly inputs: number;
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
  const crashes: { input: string; error: string }[] = [];
  let slowestMs = 0;
  let slowest = '';
  const hostile = target.hostile ?? [];
  for (let n = 0; n < run.inputs; n += 1) {
    const input = hostile[n] ?? mutate(dice, target.samples);
    const read = () => {
      const from = cpuMs();
      try {
        target.read(input);
      } catch (error) {
        if (!isOwn(error) && crashes.length < WITNESSES)
          crashes.push({ input, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      }
      return cpuMs() - from;
    };
    let took = read();
    for (let again = 0; again < AGAIN && took > Math.max(slowestMs, 5); again += 1) took = Math.min(took, read());
    if (took > slowestMs) {
      slowestMs = took;
      slowest = input;
    }
  }
  return { target: target.name, inputs: run.inputs, crashes, slowestMs, slowest };
}

// What the dynos of the chaos run's commands do while they live.
import type { Dice } from './dice.ts';

export interface StubDyno {
  readonly id: string;
  readonly app: string;
  readonly name: string;
  readonly command: string;
  readonly size: string;
  readonly created_at: string;
  readonly task: string;
  readonly attempt: number;
  readonly log: string[];
  state: string;
  alive: boolean;
  /** No event tells of it. */
  readonly untold: boolean;
}

/** What a command may do while its dyno lives. */
export interface Life {
  readonly dyno: StubDyno;
  readonly bucket: string;
  readonly dice: Dice;
  later(ms: number, what: () => void): void;
  up(): void;
  end(status: number): void;
  /** Writes an output; keeps asking until the store took it. */
  output(key: string, metadata?: Record<string, string>): Promise<void>;
  /** Tries the same in every bucket but its own. */
  trespass(key: string, metadata: Record<string, string>): Promise<void>;
}

/** What a command's dyno does, begun before its POST is answered. */
export const LIVES: Readonly<Record<string, (life: Life, words: readonly string[]) => Promise<void> | void>> = {
  ok: (life) => outputAfter(life, life.dice.between(20, 200), 0),
  slow: (life) => outputAfter(life, life.dice.between(800, 3_000), 0),
  wait: (life) => outputAfter(life, life.dice.between(8_000, 15_000), 0),
  /** Its output is there before its POST is answered. */
  early: async (life) => {
    life.up();
    await life.output(proofOf(life));
    life.later(50, () => life.end(0));
  },
  /** The exit status does not matter once the output is there. */
  sloppy: (life) => outputAfter(life, 60, 3),
  elsewhere: (life) => outputAfter(life, 60, 0, `results/${life.dyno.task}`),
  /** Its output is there a moment before a timeout of 2 s, and nobody is told of it; it goes on and does not end. */
  last_moment: (life) => {
    life.later(20, life.up);
    life.later(1_700, () => void life.output(proofOf(life), { lost: '1' }));
    life.later(12_000, () => life.end(0));
  },
  lost_event: (life) => outputAfter(life, 60, 0, proofOf(life), { lost: '1' }),
  twice: (life) => {
    for (const ms of [40, 400, 1_500]) life.later(ms, () => void life.output(proofOf(life)));
    life.later(20, life.up);
    life.later(1_700, () => life.end(0));
  },
  fail: (life) => {
    life.later(20, life.up);
    life.later(60, () => life.end(1));
  },
  cycled: (life) => {
    if (life.dyno.attempt > 1) return outputAfter(life, 40, 0);
    life.later(20, life.up);
    life.later(900, () => life.end(143));
  },
  flaky: (life) => {
    if (life.dyno.attempt > 1) return outputAfter(life, 40, 0);
    life.later(20, life.up);
    life.later(60, () => life.end(1));
  },
  silent: (life) => life.later(20, life.up),
  serve: (life) => {
    life.later(40, life.up);
    life.later(600, () => life.end(0));
  },
  flash: (life) => {
    life.up();
    life.later(5, () => life.end(0));
  },
  crash: (life) => life.later(10, () => life.end(1)),
  /** Another tenant's dyno that names a task which is not its own, and then does its own work. */
  steal: async (life, [victim = '']) => {
    life.up();
    await life.output(`out/${victim}`, { ld_task_id: victim });
    await life.trespass(`out/${victim}`, { ld_task_id: victim });
    await outputAfter(life, 40, 0);
  },
  /** Its output starts the next run of the same kind: a loop. */
  loop: (life) => outputAfter(life, 30, 0, proofOf(life), { ld_code: JSON.stringify({ run: [{ cmd: 'loop', timeout: 120 }] }) }),
};

const proofOf = (life: Life) => `out/${life.dyno.task}`;

function outputAfter(life: Life, ms: number, status: number, key = proofOf(life), metadata: Record<string, string> = {}): void {
  life.later(Math.min(20, ms), life.up);
  life.later(ms, () => {
    // a dyno that was stopped writes no more
    if (!life.dyno.alive) return;
    void life.output(key, metadata).then(() => life.later(20, () => life.end(status)));
  });
}

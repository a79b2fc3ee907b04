// The launch budget under a backlog of 10,000 tasks of one resource, with single tasks of another one now and then.
import { ADDON_ACCOUNT, createBudget } from '../src/queues/budget.ts';
import { connect } from '../src/queues/connection.ts';
import { createResources } from '../src/queues/resources.ts';
import { benchSealer, installForBench, startUnderMeasurement } from './bench-engine.ts';
import { percentile, type Row } from './rows.ts';
import type { World } from './world.ts';

/** Launches per second that the budget is scaled to. */
const PER_SECOND = 50;
/** What we take of the platform's allowance. */
const SHARE = 0.9;
const BACKLOG_RUNS = 50;
/** Milliseconds between two single tasks of the other resource. */
const EVERY_MS = 2_000;
/** Milliseconds between two looks at dyno lists, as in production. */
const POLL_MS = 5_000;

/** Measures for `ms` after the backlog stands. */
export async function budgetRows(world: World, ms: number): Promise<Row[]> {
  const redis = connect({ socket: world.socket }, () => {});
  const resources = createResources({ redis, sealer: benchSealer, now: Date.now });
  const perHour = PER_SECOND * 3600;
  const budget = createBudget({ redis, perHour, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const [busy, other] = [await installForBench(resources, 'busy'), await installForBench(resources, 'other')];
  const launches: number[] = [];
  const calls: number[] = [];
  let onOther = () => {};
  const delays: number[] = [];
  const engine = await startUnderMeasurement(
    world,
    {
      launch: (_task, app) => {
        launches.push(performance.now());
        calls.push(performance.now());
        if (app === 'other') onOther();
      },
      call: () => void calls.push(performance.now()),
      end: () => {},
    },
    { launchesPerHour: perHour, pollMs: POLL_MS },
  );
  try {
    await engine.feed(
      busy,
      Array.from({ length: BACKLOG_RUNS }, (_, i) => `group/${i}`),
    );
    const before = await budget.state(ADDON_ACCOUNT);
    const began = performance.now();
    for (let single = 0; performance.now() - began < ms; single += 1) {
      const asked = performance.now();
      const posted = new Promise<number>((resolve) => {
        onOther = () => resolve(performance.now() - asked);
      });
      await engine.feed(other, [`single/${single}`]);

      delays.push(await posted);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, EVERY_MS - (performance.now() - asked))));
    }
    const seconds = (performance.now() - began) / 1000;
    const after = await budget.state(ADDON_ACCOUNT);
    const made = launches.filter((at) => at >= began && at < began + seconds * 1000).length;
    // a sixth of the measured time stands for a minute of an hour
    const windowMs = (seconds * 1000) / 6;
    const sorted = [...calls].sort((a, b) => a - b);
    const most = Math.max(...sorted.map((from, i) => sorted.slice(i).filter((at) => at < from + windowMs).length));
    const charged = after.launches - before.launches + after.polls - before.polls + after.calls - before.calls;
    return [
      { name: 'launch budget: part that becomes launches', value: made / (PER_SECOND * seconds), unit: '×', bar: { least: 0.95 } },
      { name: 'launch budget: part that polling takes', value: (after.polls - before.polls) / charged, unit: '×', bar: { most: 0.2 } },
      {
        name: "launch budget: most calls in any window, of the platform's allowance",
        value: most / ((PER_SECOND / SHARE) * (windowMs / 1000)),
        unit: '×',
        bar: { most: 1 },
      },
      {
        name: 'single task behind 10,000 of another resource: event → POST, worst',
        value: percentile(delays, 1),
        unit: 'ms',
        bar: { most: 1000 },
      },
    ];
  } finally {
    await engine.stop();
    redis.disconnect();
  }
}

/** Milliseconds of the window in which the platform counts. */
const MINUTE_MS = 60_000;
/** What the platform allows of calls in an hour. */
const ALLOWED_PER_HOUR = 4_500;

/** The same budget as in production and by the clock: a backlog of two resources, over `ms`, which is more than a minute. */
export async function minuteRows(world: World, ms: number, note: (text: string) => void): Promise<Row[]> {
  note(`launching at a production's pace for ${ms / 1000} s …`);
  const redis = connect({ socket: world.socket }, () => {});
  const resources = createResources({ redis, sealer: benchSealer, now: Date.now });
  const perHour = ALLOWED_PER_HOUR * SHARE;
  const budget = createBudget({ redis, perHour, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const calls: number[] = [];
  const call = () => void calls.push(performance.now());
  const engine = await startUnderMeasurement(world, { launch: call, call, end: () => {} }, { launchesPerHour: perHour, pollMs: POLL_MS });
  try {
    for (const app of ['busy', 'other']) await engine.feed(await installForBench(resources, app), ['group/0', 'group/1']);
    const before = await budget.state(ADDON_ACCOUNT);
    await new Promise((resolve) => setTimeout(resolve, ms));
    const after = await budget.state(ADDON_ACCOUNT);
    const part = (what: 'launches' | 'polls' | 'calls') => after[what] - before[what];
    const most = Math.max(...calls.map((from, i) => calls.slice(i).filter((at) => at < from + MINUTE_MS).length));
    return [
      {
        name: 'unscaled, two apps with a backlog: most calls in any minute, of the allowance',
        value: most / (ALLOWED_PER_HOUR / 60),
        unit: '×',
        bar: { most: 1 },
      },
      {
        name: 'unscaled, two apps with a backlog: part that looks at lists take',
        value: part('polls') / (part('launches') + part('polls') + part('calls')),
        unit: '×',
        bar: { most: 0.2 },
      },
    ];
  } finally {
    await engine.stop();
    redis.disconnect();
  }
}

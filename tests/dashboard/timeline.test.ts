import { describe, expect, it } from 'vitest';
import { phaseTimes, ticksOf, timelineOf } from '../../src/http/dashboard/timeline.ts';
import type { HistoryEntry, RunView, TaskView } from '../../src/schema/run-view.ts';

const ID = 'r0-00000000000000000000';
const T0 = Date.parse('2026-11-29T00:00:00.000Z');
const iso = (ms: number) => new Date(T0 + ms).toISOString();

type Told = readonly [ms: number, what: string, task?: string, attempt?: number, detail?: string];

function task(at: string, state: TaskView['state'] = 'succeeded'): TaskView {
  return {
    id: `${ID}.${at}`,
    name: '',
    cmd: 'work',
    machine: 'basic',
    state,
    attempt: 1,
    waiting: null,
    dyno: null,
    deadline: null,
    error: null,
    output: null,
  };
}

function runOf(steps: readonly (readonly TaskView[])[], told: readonly Told[], more: Partial<RunView> = {}): RunView {
  return {
    id: ID,
    title: '',
    state: 'succeeded',
    resource: 'one',
    trigger: { bucket: 'b', key: 'in/a', version_id: 'v', etag: 'e', size: 1 },
    saved_at: iso(-400),
    created_at: iso(0),
    ended_at: null,
    error: null,
    again: null,
    tasks: steps.flat().length,
    settled: 0,
    retrying: 0,
    steps: steps.map((tasks) => ({ name: '', group: tasks.length > 1, tasks: [...tasks] })),
    history: told.map(
      ([ms, what, at, attempt, detail], i): HistoryEntry => ({
        n: i + 1,
        at: iso(ms),
        what,
        task: at === undefined ? null : `${ID}.${at}`,
        attempt: attempt ?? null,
        detail: detail ?? '',
      }),
    ),
    ...more,
  };
}

const phasesOf = (run: RunView, now: number, at: number, attempt = 0) => {
  const bar = timelineOf(run, T0 + now).tasks[at]?.attempts[attempt];
  return bar === undefined ? undefined : Object.fromEntries(phaseTimes(bar).map(({ phase, ms }) => [phase, ms]));
};

describe('the timeline of a run', () => {
  const smooth: Told[] = [
    [0, 'accepted'],
    [30, 'intent', '0.0', 1],
    [100, 'launched', '0.0', 1, 'run.7'],
    [600, 'up', '0.0', 1],
    [2600, 'exited', '0.0', 1, 'gone'],
    [3000, 'output', '0.0', 1, '{}'],
    [3010, 'cooling', '0.0', 1],
    [5010, 'succeeded', '0.0', 1],
  ];

  it('cuts an attempt into every phase, from the save to the end of wait_for', () => {
    expect(phasesOf(runOf([[task('0.0')]], smooth, { ended_at: iso(5020) }), 9000, 0)).toEqual({
      event: 400,
      queued: 30,
      launching: 70,
      booting: 500,
      working: 2000,
      awaiting: 400,
      cooling: 2000,
    });
  });

  it('counts the seconds of a dyno from the accepted launch to its end', () => {
    expect(timelineOf(runOf([[task('0.0')]], smooth, { ended_at: iso(5020) }), T0).dynoSeconds).toBe(2.5);
  });

  it('begins when the file was saved and ends with the run, or now while it goes on', () => {
    const ended = timelineOf(runOf([[task('0.0')]], smooth, { ended_at: iso(5020) }), T0 + 99_000);
    expect([ended.from - T0, ended.to - T0]).toEqual([-400, 5020]);
    const open = timelineOf(runOf([[task('0.0', 'running')]], smooth.slice(0, 4)), T0 + 1600);
    expect(open.to - T0).toBe(1600);
    expect(open.tasks[0]?.attempts[0]?.segments.at(-1)).toEqual({ phase: 'working', from: T0 + 600, to: T0 + 1600, open: true });
  });

  it('keeps attempts apart, and the backoff before the next one with that one', () => {
    const run = runOf(
      [[task('0.0')]],
      [
        [0, 'accepted'],
        [10, 'intent', '0.0', 1],
        [20, 'launched', '0.0', 1, 'run.1'],
        [30, 'up', '0.0', 1],
        [130, 'exited', '0.0', 1, 'gone'],
        [230, 'retry', '0.0', 1, 'exited_without_output: exited 1 without output'],
        [1230, 'intent', '0.0', 2],
        [1240, 'launched', '0.0', 2, 'run.2'],
        [1300, 'up', '0.0', 2],
        [1400, 'output', '0.0', 2, '{}'],
        [1401, 'succeeded', '0.0', 2],
      ],
      { saved_at: null, ended_at: iso(1410) },
    );
    const [one, two] = timelineOf(run, T0).tasks[0]?.attempts ?? [];
    expect([one?.state, one?.error, one?.dyno]).toEqual(['failed', 'exited_without_output: exited 1 without output', 'run.1']);
    expect([two?.number, two?.state, two?.dyno]).toEqual([2, 'succeeded', 'run.2']);
    expect(phasesOf(run, 0, 0, 0)).toEqual({ queued: 10, launching: 10, booting: 10, working: 100, awaiting: 100 });
    expect(phasesOf(run, 0, 0, 1)).toEqual({ backoff: 1000, launching: 10, booting: 60, working: 100 });
  });

  it('tells waiting for a turn to launch from backing off', () => {
    const run = runOf(
      [[task('0.0')]],
      [
        [0, 'accepted'],
        [10, 'intent', '0.0', 1],
        [20, 'launched', '0.0', 1, 'run.1'],
        [230, 'retry', '0.0', 1, 'exited_without_output: exited 1 without output'],
        [1230, 'queued', '0.0', 2],
        [9230, 'intent', '0.0', 2],
        [9240, 'launched', '0.0', 2, 'run.2'],
        [9300, 'succeeded', '0.0', 2],
      ],
      { saved_at: null, ended_at: iso(9310) },
    );
    expect(phasesOf(run, 0, 0, 1)).toEqual({ backoff: 1000, queued: 8000, launching: 10, booting: 60 });
  });

  it('has a later step wait for its turn, which is the end of the step before', () => {
    const run = runOf(
      [[task('0.0'), task('0.1')], [task('1.0', 'running')], [task('2.0', 'waiting')]],
      [
        [0, 'accepted'],
        [5, 'intent', '0.0', 1],
        [400, 'succeeded', '0.0', 1],
        [6, 'intent', '0.1', 1],
        [900, 'succeeded', '0.1', 1],
        [950, 'intent', '1.0', 1],
      ],
    );
    expect(phasesOf(run, 1000, 2)).toEqual({ queued: 50, launching: 50 });
    expect(phasesOf(run, 1000, 3)).toEqual({});
  });

  it('takes a task that a retry kept as settled before it began', () => {
    const run = runOf(
      [[task('0.0')], [task('1.0', 'launching')]],
      [
        [0, 'accepted'],
        [40, 'intent', '1.0', 1],
      ],
      { again: { of: ID, how: 'failed' } },
    );
    expect(timelineOf(run, T0 + 50).tasks[0]?.attempts).toEqual([]);
    expect(phasesOf(run, 50, 1)).toEqual({ queued: 40, launching: 10 });
  });

  it('shows a refused launch as time in which nothing could be launched', () => {
    const run = runOf(
      [[task('0.0', 'retrying')]],
      [
        [0, 'accepted'],
        [10, 'intent', '0.0', 1],
        [60, 'refused', '0.0', 1, 'HTTP 429'],
      ],
      { saved_at: null },
    );
    expect(phasesOf(run, 1060, 0)).toEqual({ queued: 10, launching: 50, backoff: 1000 });
    expect(timelineOf(run, T0).tasks[0]?.attempts[0]).toMatchObject({ state: 'open', error: 'HTTP 429' });
  });
});

describe('the axis', () => {
  it.each([
    [900, [0, 200, 400, 600, 800]],
    [5_000, [0, 1000, 2000, 3000, 4000]],
    [3_600_000, [0, 600_000, 1_200_000, 1_800_000, 2_400_000, 3_000_000]],
  ])('of %i ms has round ticks', (ms, ticks) => {
    expect(ticksOf(ms)).toEqual(ticks);
  });
});

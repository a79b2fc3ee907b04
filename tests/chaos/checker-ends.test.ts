// What the checker sees of tasks, runs and processes that ended wrongly, too late or never.
import { describe, expect, it } from 'vitest';
import { type Draft, sound } from './sound-history.ts';
import { A, T0 } from './sound-runs.ts';
import { entryIn, faultAt, ledgerIn, outputAt, runIn, verdicts } from './spoiling.ts';

describe('the checker', () => {
  it.each([
    [
      'CAUSE',
      'a dyno is said to have ended without output as soon as it ended',
      (draft: Draft) => {
        entryIn(draft, 'r0-good', 'exited', '1.0')[0] = T0 + 1_450;
      },
    ],
    [
      'CAUSE',
      'an output is looked for as soon as its dyno ended',
      (draft: Draft) => draft.ledger.push({ kind: 'look', t: T0 + 1_350, bucket: A, key: 'out/r0-good.1.0' }),
    ],
    [
      'I18',
      'an output is there and nobody looks at it for a minute',
      (draft: Draft) => {
        entryIn(draft, 'r0-good', 'output', '1.0')[0] = T0 - 60_000;
      },
    ],
    [
      'I15',
      'a task without output succeeds by a dyno that was never up, although a worker was killed just then',
      (draft: Draft) => {
        ledgerIn(draft, 'dyno', ({ dyno }) => dyno === 'd3').what = 'ended';
        ledgerIn(draft, 'dyno', ({ dyno }) => dyno === 'd3').status = 1;
        draft.ledger.push(faultAt(T0 + 1_000, T0 + 2_000, 'F1'));
      },
    ],
    [
      'I15',
      'a dyno is called crashed that was up',
      (draft: Draft) => draft.ledger.push({ kind: 'dyno', t: T0 + 45, dyno: 'd7', what: 'up' }),
    ],
    [
      'I15',
      'a dyno is called crashed that has not ended',
      (draft: Draft) => {
        ledgerIn(draft, 'dyno', ({ dyno }) => dyno === 'd7').t = T0 + 90;
      },
    ],
    [
      'I15',
      'a dyno is called crashed with a status that it did not end with',
      (draft: Draft) => {
        ledgerIn(draft, 'dyno', ({ dyno }) => dyno === 'd7').status = 3;
      },
    ],
    [
      'I15',
      'a crash is retried that was none',
      (draft: Draft) => {
        const retry = entryIn(draft, 'r0-good', 'retry', '1.0');
        retry[4] = 'dyno_crashed: exited 1 before it was up';
      },
    ],
    [
      'CAUSE',
      'a dyno is said to have ended without output that had written one, although a worker was killed just then',
      (draft: Draft) => {
        draft.ledger.push(outputAt('r0-good.1.0', T0 + 1_150), faultAt(T0 + 1_100, T0 + 2_000, 'F1'));
      },
    ],
    [
      'CAUSE',
      'a task is called poisoned that two deaths held up',
      (draft: Draft) => {
        entryIn(draft, 'r0-bad', 'failed', '0.0')[4] = 'poisoned: 5 activations in a row got nowhere';
        draft.ledger.push(faultAt(T0 + 900, T0 + 1_000, 'F1'), faultAt(T0 + 950, T0 + 1_000, 'F2'));
      },
    ],
    [
      'I16',
      'a task times out although its output lay at its place, and workers were killed just then',
      (draft: Draft) => {
        draft.ledger.push(outputAt('r0-bad.0.0', T0 + 800), faultAt(T0 + 900, T0 + 2_000, 'F2 task.due'));
      },
    ],
    [
      'I18',
      'nothing but uploads comes after a fault',
      (draft: Draft) => {
        ledgerIn(draft, 'fault', ({ live }) => live === 3).until = T0 + 50_000;
        draft.runs.push({ ...runIn(draft, 'r0-stop'), id: 'r0-later', history: [[T0 + 55_000, 'accepted', '', 0, '']] });
      },
    ],
    [
      'I18',
      'a dyno ends without output, all is calm and nobody judges it for a minute',
      (draft: Draft) =>
        runIn(draft, 'r0-bad').history.push([T0 + 101_000, 'exited', '0.0', 1, 'crashed'], [T0 + 160_000, 'failed', '0.0', 1, '']),
    ],
    [
      'I18',
      'a worker ends that nobody killed',
      (draft: Draft) => draft.ledger.push({ kind: 'exit', t: T0 + 500, worker: 'worker-2', how: '1', served: true }),
    ],
    [
      'I18',
      'a worker crashes, although Redis was killed just then',
      (draft: Draft) =>
        draft.ledger.push(
          { kind: 'exit', t: T0 + 500, worker: 'worker-2', how: 'SIGSEGV', served: true },
          faultAt(T0 + 400, T0 + 500, 'F5'),
        ),
    ],
    [
      'TIMEOUT',
      'nobody ends a run that takes too long',
      (draft: Draft) => {
        entryIn(draft, 'r0-long', 'cancelling')[0] = T0 + 3_010 + 6_001;
        entryIn(draft, 'r0-long', 'failed')[0] = T0 + 3_010 + 6_002;
      },
    ],
    [
      'TIMEOUT',
      'a run that takes too long goes on to its own end',
      (draft: Draft) => {
        const run = runIn(draft, 'r0-long');
        run.history = [...run.history.slice(0, 3), [T0 + 13_000, 'succeeded', '', 0, '']];
      },
    ],
    [
      'TIMEOUT',
      'a run that took too long skips tasks and succeeds',
      (draft: Draft) => {
        entryIn(draft, 'r0-long', 'failed')[1] = 'succeeded';
      },
    ],
    [
      'TIMEOUT',
      'a run that has as much time as it likes is ended for it',
      (draft: Draft) => {
        entryIn(draft, 'r0-stop', 'cancelling')[4] = 'timeout';
      },
    ],
    [
      'I9',
      'a run fails with no task that failed, and had time left',
      (draft: Draft) => {
        entryIn(draft, 'r0-long', 'cancelling')[4] = 'somebody';
      },
    ],
    [
      'I10',
      'a task fails for good with a retry left',
      (draft: Draft) => {
        const run = runIn(draft, 'r0-long');
        run.history.splice(
          3,
          4,
          [T0 + 200, 'exited', '0.0', 1, 'gone'],
          [T0 + 800, 'failed', '0.0', 1, 'exited_without_output: exited 1 without output'],
          [T0 + 800, 'failing', '0.0', 1, 'exited_without_output'],
          [T0 + 810, 'skipped', '1.0', 1, ''],
          [T0 + 820, 'failed', '', 0, ''],
        );
      },
    ],
    [
      'I10',
      'a launch is given up for good after one loss of three',
      (draft: Draft) => {
        const run = runIn(draft, 'r0-good');
        const lost = entryIn(draft, 'r0-good', 'lost', '1.0');
        run.history.splice(run.history.indexOf(lost) + 1);
        Object.assign(lost, { 1: 'failed', 4: 'launch_unknown: nothing appeared' });
      },
    ],
    [
      'I9',
      'a run fails and of a task of the next step nothing is ever said',
      (draft: Draft) => {
        const run = runIn(draft, 'r0-bad');
        run.history = run.history.filter(([, what]) => what !== 'skipped');
        delete run.record['p:1.0'];
      },
    ],
    [
      'I9',
      'a cancelled run ends while a task of it was launched and never ended',
      (draft: Draft) => {
        const run = runIn(draft, 'r0-stop');
        run.history = run.history.filter(([, what]) => what !== 'skipped');
        delete run.record['p:0.0'];
      },
    ],
    [
      'CAUSE',
      'a task times out that no dyno was ever asked for',
      (draft: Draft) => {
        draft.ledger = draft.ledger.filter((entry) => !(entry.kind === 'post' && entry.task === 'r0-bad.0.0'));
      },
    ],
    [
      'CAUSE',
      'a task times out whose launch was refused',
      (draft: Draft) => {
        const { dyno: _dyno, ...post } = ledgerIn(draft, 'post', ({ task }) => task === 'r0-bad.0.0');
        draft.ledger = draft.ledger.filter((entry) => !(entry.kind === 'post' && entry.task === 'r0-bad.0.0'));
        draft.ledger.push({ ...post, answer: 'refused' });
      },
    ],
    [
      'I15',
      'a task without output times out although its dyno was up',
      (draft: Draft) => {
        entryIn(draft, 'r0-bad', 'failed', '0.2')[4] = 'timed_out: not up within 60 s';
        entryIn(draft, 'r0-bad', 'failed', '0.2')[0] = T0 + 60_062;
        Object.assign(
          ledgerIn(draft, 'dyno', ({ dyno }) => dyno === 'd7'),
          { what: 'up' },
        );
      },
    ],
    [
      'CAUSE',
      'a launch that was accepted is called lost when its dyno has ended, and nothing was broken',
      (draft: Draft) => {
        Object.assign(
          ledgerIn(draft, 'post', ({ task, attempt }) => task === 'r0-good.1.0' && attempt === 2),
          { answer: 'accepted', dyno: 'd4' },
        );
        draft.ledger.push({ kind: 'dyno', t: T0 + 2_970, dyno: 'd4', what: 'ended', status: 1 });
      },
    ],
    [
      'I16',
      'a verdict is given five minutes late, and a second at the deadline is all that was broken',
      (draft: Draft) => {
        entryIn(draft, 'r0-bad', 'failed', '0.0')[0] = T0 + 301_060;
        draft.ledger.push(faultAt(T0 + 1_000, T0 + 2_000, 'F8 late', 0));
      },
    ],
    [
      'TIMEOUT',
      'a run is ended five minutes late, and a second at its deadline is all that was broken',
      (draft: Draft) => {
        entryIn(draft, 'r0-long', 'cancelling')[0] = T0 + 303_010;
        entryIn(draft, 'r0-long', 'failed')[0] = T0 + 303_020;
        draft.ledger.push(faultAt(T0 + 3_000, T0 + 4_000, 'F8 late', 0));
      },
    ],
    [
      'CANCEL',
      'a task that was at work when its run was cancelled is awaited, and succeeds',
      (draft: Draft) => {
        entryIn(draft, 'r0-stop', 'skipped', '0.0')[1] = 'succeeded';
      },
    ],
    [
      'I18',
      'an output waits for ever, and a fault of a second is all that was broken meanwhile',
      (draft: Draft) => {
        entryIn(draft, 'r0-good', 'output', '1.0')[0] = T0 - 120_000;
        draft.ledger.push(faultAt(T0 - 100_000, T0 - 99_000, 'F8 late', 0));
      },
    ],
  ] as const)('sees of %s that %s', (id, _what, plant) => {
    const draft = sound();
    plant(draft);
    expect(verdicts(draft)[id]).toBe('violated');
  });
});

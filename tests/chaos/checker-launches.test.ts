// What the checker sees of events, launches and orders that went wrong.
import { describe, expect, it } from 'vitest';
import { type Draft, sound } from './sound-history.ts';
import { A, T0 } from './sound-runs.ts';
import { entryIn, faultAt, ledgerCall, ledgerIn, runIn, verdicts } from './spoiling.ts';

describe('the checker', () => {
  it.each([
    [
      'I1',
      'a run that an output was to start is lost',
      (draft: Draft) => {
        draft.runs.splice(draft.runs.indexOf(runIn(draft, 'r0-chain16')), 1);
      },
    ],
    [
      'I3',
      'the message of an output is deleted when its run is accepted and its task not told',
      (draft: Draft) => (ledgerIn(draft, 'delete', ({ message }) => message === 'm-r0-chain4').t = T0 + 75),
    ],
    [
      'I4',
      'a plain object was dropped while the event of another one was counted over and over',
      (draft: Draft) => {
        draft.ledger.push({ kind: 'put', t: T0 + 1, began: T0, bucket: A, key: 'dropped', version: 'p2' });
        for (const [n, t] of [1, 2, 3, 4].entries())
          draft.ledger.push({
            kind: 'receive',
            t: T0 + t,
            message: `m-plain-${n}`,
            count: 1,
            records: [{ bucket: A, key: 'plain', version: 'p1' }],
          });
        Object.assign(draft.resources[0] ?? {}, { decisions: { ignored: 9 } });
      },
    ],
    [
      'I3',
      'a message that cannot be read is deleted before it is set aside',
      (draft: Draft) => {
        ledgerIn(draft, 'delete', ({ message }) => message === 'm-garbage').t = T0 + 2;
      },
    ],
    [
      'I4',
      'an upload that was deleted before it was read is nowhere',
      (draft: Draft) => {
        draft.resources[0]?.accounted.pop();
      },
    ],
    [
      'I1',
      'an upload that was deleted before it was read leads to a run',
      (draft: Draft) => {
        const run = runIn(draft, 'r0-stop');
        draft.runs.push({ ...run, id: 'r0-gone', record: { ...run.record, key: 'in/gone', version: 'g1' } });
      },
    ],
    [
      'I3',
      'the message of a plain object is deleted before it is accounted for, although it is in the end',
      (draft: Draft) => {
        const [account] = ledgerIn(draft, 'delete', ({ message }) => message === 'm-plain').accounts ?? [];
        if (account !== undefined) account.accounted = false;
      },
    ],
    ['I4', 'a version has no decision when all is quiet', (draft: Draft) => draft.unaccounted.push('1 versions of b without a decision')],
    [
      'I6',
      'a launch that was refused is sent again under the same intent',
      (draft: Draft) => {
        const post = ledgerIn(draft, 'post', ({ task }) => task === 'r0-good.0.0');
        const { dyno: _dyno, ...refused } = post;
        draft.ledger.push({ ...refused, t: post.t - 1, answer: 'healing' });
      },
    ],
    [
      'I7',
      'a launch is called lost while its dyno runs, although a worker was killed just then',
      (draft: Draft) => {
        ledgerIn(draft, 'post', ({ task, attempt }) => task === 'r0-good.1.0' && attempt === 2).dyno = 'd4';
        draft.ledger.push({ kind: 'dyno', t: T0 + 2_970, dyno: 'd4', what: 'up' });
        draft.ledger.push({ kind: 'fault', t: T0 + 14_900, until: T0 + 15_000, fault: 'F1', live: 1, kills: 1, detail: 'another one' });
      },
    ],
    [
      'I1',
      'an upload that nobody was told of is not found',
      (draft: Draft) => {
        draft.runs.splice(draft.runs.indexOf(runIn(draft, 'r0-swept')), 1);
      },
    ],
    [
      'I1',
      'what was saved before the account of its bucket runs by itself',
      (draft: Draft) => {
        const run = runIn(draft, 'r0-stop');
        draft.runs.push({ ...run, id: 'r0-before', record: { ...run.record, key: 'in/before', version: 'b1' } });
      },
    ],
    [
      'I20',
      'what is saved up is launched twice at once',
      (draft: Draft) => {
        for (let n = 0; n < 40; n += 1) draft.ledger.push(ledgerCall(T0 + 300_000 + 20 * n));
      },
    ],
    [
      'I20',
      'dyno lists are looked at for more than their share',
      (draft: Draft) => {
        for (let n = 0; n < 40; n += 1) draft.ledger.push({ kind: 'call', t: T0 + 300_000 + 250 * n, app: 'app-a', what: 'list' });
      },
    ],
    [
      'I8',
      'a task succeeds before it has cooled, although the next step begins late enough',
      (draft: Draft) => {
        entryIn(draft, 'r0-good', 'succeeded', '0.0')[0] = T0 + 1_049;
      },
    ],
    ...['GET /v1/runs', 'GET /healthz'].map(
      (route) =>
        [
          'I28',
          `${route} breaks down`,
          (draft: Draft) => draft.ledger.push({ kind: 'knock', t: T0 + 91, route, caller: 'own', status: 500 }),
        ] as const,
    ),
    [
      'NEWS',
      'an event of a dyno breaks the web process down',
      (draft: Draft) => draft.ledger.push({ kind: 'event', t: T0 + 95, forged: false, status: 500 }),
    ],
    [
      'PAUSE',
      'a launch is sent although its app was paused, while a worker was killed',
      (draft: Draft) => {
        ledgerIn(draft, 'post', ({ task }) => task === 'r0-again.1.0').t = T0 + 23_000;
        draft.ledger.push(faultAt(T0 + 20_100, T0 + 22_000, 'F1'));
      },
    ],
    ['AGAIN', 'a run that was ordered is nowhere', (draft: Draft) => draft.runs.splice(draft.runs.indexOf(runIn(draft, 'r0-again')), 1)],
    [
      'AGAIN',
      'a task that counts as done has an intent',
      (draft: Draft) => runIn(draft, 'r0-again').history.splice(1, 0, [T0 + 20_015, 'intent', '0.0', 1, '']),
    ],
    [
      'STOP',
      'the dyno of an attempt that Redis forgot lives on when its task has ended',
      (draft: Draft) => {
        const post = ledgerIn(draft, 'post', ({ task, attempt }) => task === 'r0-good.1.0' && attempt === 3);
        draft.ledger.push({ ...post, attempt: 101, dyno: 'd9' });
        draft.alive.push('d9');
      },
    ],
  ] as const)('sees of %s that %s', (id, _what, plant) => {
    const draft = sound();
    plant(draft);
    expect(verdicts(draft)[id]).toBe('violated');
  });
});

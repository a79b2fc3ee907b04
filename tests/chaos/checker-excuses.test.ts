// What the checker does not blame the engine for, and what it blames it for all the same: an excuse is counted, and no wider than its reason.
import { describe, expect, it } from 'vitest';
import { check } from './checker/check.ts';
import { sound } from './sound-history.ts';
import { T0 } from './sound-runs.ts';
import { faultAt, ledgerCall, ledgerIn, outputAt, type Planted, runIn, seenOf, verdicts } from './spoiling.ts';

describe('the checker', () => {
  it('does not blame the engine for what was lost with Redis, and for nothing else', () => {
    const draft = sound();
    const intent = runIn(draft, 'r0-good').history.findIndex(([, what, task]) => what === 'intent' && task === '0.0');
    runIn(draft, 'r0-good').history.splice(intent, 1);
    expect(verdicts(draft)['I6']).toBe('violated');
    const loss = { kind: 'loss' as const, t: T0 + 30, until: T0 + 60, seen: true, noticed: true };
    draft.ledger.push(loss);
    expect(verdicts(draft)['I6']).toBe('held');
    draft.ledger.push(ledgerIn(draft, 'post', ({ task }) => task === 'r0-good.0.0'));
    expect(verdicts(draft)['I6']).toBe('violated');
    // that a loss is noticed which nobody saw is not promised
    loss.seen = false;
    expect(verdicts(draft)['I6']).toBe('held');
    expect(check(draft).find(({ id }) => id === 'I6')?.exercised).toMatchObject({
      'launched twice after a loss that nobody could notice': 1,
    });
  });

  it('excuses by a busy machine, and counts what it excused', () => {
    const busy: Planted = { kind: 'lag', t: T0 + 1_000, until: T0 + 2_000 };
    const draft = sound();
    draft.ledger.push(outputAt('r0-good.1.0', T0 + 1_150), busy);
    expect(verdicts(draft)['CAUSE']).not.toBe('violated');
    expect(seenOf(draft, 'CAUSE')).toMatchObject({ 'exited without output on a busy machine': 1, 'exited without output': 0 });
    const other = sound();
    other.ledger.push(outputAt('r0-bad.0.0', T0 + 800), busy);
    expect(verdicts(other)['I16']).not.toBe('violated');
    expect(seenOf(other, 'I16')).toMatchObject({ 'timed out while nobody could look': 1 });
  });

  it('excuses a look at S3 by S3, a success by a log that is gone, and a worker that gives up by a Redis that is away', () => {
    const draft = sound();
    draft.ledger.push(outputAt('r0-bad.0.0', T0 + 800), faultAt(T0 + 900, T0 + 2_000, 'F11'));
    expect(seenOf(draft, 'I16')).toMatchObject({ 'timed out while nobody could look': 1 });
    expect(verdicts(draft)['I16']).not.toBe('violated');
    const dyno = ledgerIn(draft, 'dyno', ({ dyno: id }) => id === 'd3');
    Object.assign(dyno, { what: 'ended', status: 1, t: T0 - 110_000 });
    expect(seenOf(draft, 'I15')).toMatchObject({ 'succeeded when the log was gone': 1 });
    expect(verdicts(draft)['I15']).not.toBe('violated');
    draft.ledger.push({ kind: 'exit', t: T0 + 500, worker: 'worker-2', how: '1', served: true }, faultAt(T0 + 400, T0 + 500, 'F5'));
    expect(verdicts(draft)['I18']).toBe('held');
    expect(seenOf(draft, 'I18')).toMatchObject({ 'processes that gave up while their ways were broken': 1 });
  });

  it('counts from the last time that Redis was away before work went on', () => {
    const draft = sound();
    draft.ledger.push(faultAt(T0 - 90_000, T0 - 80_000, 'F1'));
    expect(verdicts(draft)['I18']).toBe('violated');
    draft.ledger.push(faultAt(T0 - 60_000, T0 - 20_000, 'F5'));
    expect(verdicts(draft)['I18']).toBe('held');
    expect(seenOf(draft, 'I18')).toMatchObject({ 'faults with Redis away again before work went on': 1 });
    draft.ledger.pop();
    draft.ledger.push(faultAt(T0 - 60_000, T0 - 50_000, 'F5'));
    expect(verdicts(draft)['I18']).toBe('violated');
    draft.ledger.pop();
    draft.ledger.push(faultAt(T0 - 60_000, T0 - 20_000, 'F1'));
    expect(verdicts(draft)['I18']).toBe('violated');
  });

  it('knows a fault by its group', () => {
    const draft = sound();
    draft.settings.faults.push('F5 still');
    expect(verdicts(draft)['FAULTS']).toBe('vacuous');
    draft.ledger.push(faultAt(T0 + 400, T0 + 500, 'F5 still'));
    expect(verdicts(draft)['FAULTS']).toBe('held');
    // a worker may give up while Redis stands still, and while nothing but its neighbour was broken it may not
    draft.ledger.push({ kind: 'exit', t: T0 + 500, worker: 'worker-2', how: '1', served: true });
    expect(verdicts(draft)['I18']).toBe('held');
    draft.ledger.splice(-2, 1, faultAt(T0 + 400, T0 + 500, 'F14 jump'));
    expect(verdicts(draft)['I18']).toBe('violated');
  });

  it('lets as many launches be as the budget gives in that time', () => {
    const draft = sound();
    for (let n = 0; n < 100; n += 1) draft.ledger.push(ledgerCall(T0 + 300_000 + 100 * n));
    expect(verdicts(draft)['I20']).toBe('held');
  });

  it('looks at the launches of resources that are gone, and at nothing that was done after they went', () => {
    const draft = sound();
    const guest = ledgerIn(draft, 'post', ({ app }) => app === 'app-g');
    draft.ledger.push({ ...guest, t: T0 + 55 });
    expect(verdicts(draft)).toMatchObject({ I6: 'violated', I11: 'held' });
    draft.ledger.pop();
    guest.t = T0 + 30_000;
    expect(verdicts(draft)).toMatchObject({ I6: 'held', I11: 'violated' });
    draft.guests = [];
    expect(verdicts(draft)['I6']).toBe('violated');
  });

  it('says of two versions side by side only what was seen of both', () => {
    const draft = sound();
    draft.settings.earlier = 'abc1234';
    expect(verdicts(draft)['I23']).toBe('vacuous');
    draft.starts.earlier = 3;
    expect(verdicts(draft)['I23']).toBe('held');
  });

  it('counts as held nothing that has nothing to look at', () => {
    const draft = sound();
    draft.settings.faults = [];
    expect(verdicts(draft)['FAULTS']).toBe('vacuous');
    // where nothing makes Redis forget there is no loss to be noticed
    for (const faults of [[], ['F1'], ['F7 read-only']]) {
      draft.settings.faults = faults;
      expect(verdicts(draft)).not.toHaveProperty('LOSS');
    }
    draft.ledger = draft.ledger.filter(({ kind }) => kind !== 'loss');
    for (const fault of ['F6 rollback', 'F6 torn', 'F7 replica']) {
      draft.settings.faults = [fault];
      expect(verdicts(draft)['LOSS']).toBe('vacuous');
    }
  });

  it('says nothing of launches that were held back while a worker was frozen, or that Redis forgot, and counts those', () => {
    for (const [kind, planted] of [
      ['pauses while a worker, or its way to Redis, was slow', faultAt(T0 + 20_100, T0 + 22_000, 'F3')],
      ['pauses that Redis may have forgotten', { kind: 'loss', t: T0 + 19_000, until: T0 + 20_001, seen: true, noticed: true }],
    ] as const) {
      const draft = sound();
      ledgerIn(draft, 'post', ({ task }) => task === 'r0-again.1.0').t = T0 + 23_000;
      draft.ledger.push(planted);
      expect(verdicts(draft)['PAUSE']).toBe('vacuous');
      expect(seenOf(draft, 'PAUSE')).toMatchObject({ [kind]: 1, pauses: 0 });
    }
  });

  it('forgives a run that was ordered and that Redis forgot, and what it had launched', () => {
    const draft = sound();
    draft.runs.splice(draft.runs.indexOf(runIn(draft, 'r0-again')), 1);
    expect(verdicts(draft)).toMatchObject({ I6: 'violated', AGAIN: 'violated' });
    draft.ledger.push({ kind: 'loss', t: T0 + 20_000, until: T0 + 26_100, seen: true, noticed: true });
    expect(verdicts(draft)['I6']).toBe('held');
    expect(seenOf(draft, 'AGAIN')).toMatchObject({ 'runs that Redis forgot': 1, 'runs run again': 0 });
  });

  it('excuses a session of a removed resource by a loss of its removal just before, and no other form by it', () => {
    const draft = sound();
    const form = ledgerIn(draft, 'sign_on', ({ form: kind }) => kind === 'old');
    Object.assign(form, { form: 'removed', status: 303, session: true, t: T0 + 154_000 });
    expect(verdicts(draft)['I29']).not.toBe('violated');
    expect(seenOf(draft, 'I29')).toMatchObject({ 'forms of resources whose removal Redis forgot': 1 });
    form.t = T0 + 156_000;
    expect(verdicts(draft)['I29']).toBe('violated');
    Object.assign(form, { form: 'old', t: T0 + 154_000 });
    expect(verdicts(draft)['I29']).toBe('violated');
  });

  it('knows the numbers of a later epoch', () => {
    const draft = sound();
    const run = runIn(draft, 'r0-good');
    const at = run.history.findIndex(([, what, task, attempt]) => what === 'intent' && task === '1.0' && attempt === 3);
    run.history = run.history.map(([t, what, task, attempt, detail]) => [
      t,
      what,
      task,
      task === '1.0' && attempt === 3 ? 101 : attempt,
      detail,
    ]);
    run.history.splice(at, 0, [run.history[at]?.[0] ?? 0, 'redone', '', 0, 'epoch 2']);
    ledgerIn(draft, 'post', ({ task, attempt }) => task === 'r0-good.1.0' && attempt === 3).attempt = 101;
    expect(verdicts(draft)['I22']).toBe('violated');
    run.record['a:1.0'] = '101';
    expect(verdicts(draft)).toMatchObject({ I6: 'held', I7: 'held', I10: 'held', I22: 'held' });
  });
});

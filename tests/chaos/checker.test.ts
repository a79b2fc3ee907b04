// The checker is what everything under tests/chaos rests on: it knows nothing of the engine, it says vacuous when nothing
// happened, and each invariant notices when it is broken.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { check } from './checker/check.ts';
import { verdictOf } from './checker/verdict.ts';
import { type Draft, sound } from './sound-history.ts';
import { output, T0 } from './sound-runs.ts';
import { entryIn, ledgerIn, runIn, verdicts } from './spoiling.ts';

/** How each invariant is broken. */
const plants: Record<string, (draft: Draft) => void> = {
  I1: (draft) => draft.runs.push({ ...runIn(draft, 'r0-good'), id: 'r0-twin' }),
  I2: (draft) => {
    runIn(draft, 'r0-good').record['version'] = 'never';
  },
  I3: (draft) => {
    ledgerIn(draft, 'delete', ({ message }) => message === 'm-r0-good').t = T0 + 9;
  },
  I4: (draft) => {
    draft.resources[0]?.quarantine.shift();
  },
  I5: (draft) => {
    runIn(draft, 'r0-good').ttl = 86_400_000;
  },
  I6: (draft) => draft.ledger.push(ledgerIn(draft, 'post', ({ task }) => task === 'r0-good.0.0')),
  I7: (draft) => {
    entryIn(draft, 'r0-good', 'lost', '1.0')[0] = T0 + 10_000;
  },
  I8: (draft) => {
    ledgerIn(draft, 'post', ({ task }) => task === 'r0-good.1.1').t = T0 + 1_040;
  },
  I9: (draft) => {
    entryIn(draft, 'r0-good', 'succeeded', '1.1')[1] = 'skipped';
  },
  I10: (draft) => {
    entryIn(draft, 'r0-good', 'retry', '1.0')[0] = T0 + 2_000;
  },
  I11: (draft) => {
    runIn(draft, 'r0-stop').history.splice(4, 0, [T0 + 105, 'intent', '0.0', 2, '']);
  },
  I12: (draft) => {
    runIn(draft, 'r0-good').history.push([T0 + 16_000, 'succeeded', '', 0, '']);
  },
  I13: (draft) => {
    ledgerIn(draft, 'put', ({ version }) => version === 'o1').taskId = 'r0-good.1.0';
  },
  I14: (draft) => {
    entryIn(draft, 'r0-good', 'output', '0.0')[4] = output('out/x', 'f1');
  },
  I15: (draft) => {
    draft.ledger = draft.ledger.filter((entry) => !(entry.kind === 'dyno' && entry.dyno === 'd3'));
  },
  I16: (draft) => {
    entryIn(draft, 'r0-bad', 'failed', '0.0')[0] = T0 + 1_050;
  },
  I17: (draft) => {
    const run = runIn(draft, 'r0-good');
    run.history.pop();
    run.record['state'] = 'running';
  },
  I18: (draft) => {
    const fault = ledgerIn(draft, 'fault', ({ live }) => live === 3);
    fault.until = T0 + 50_000;
  },
  I19: (draft) => {
    draft.nobody = [];
  },
  I20: (draft) => {
    for (let n = 0; n < 100; n += 1)
      draft.ledger.push({ kind: 'post', t: T0 + 300_000 + n, task: `t${n}`, attempt: 1, app: 'app-a', answer: 'accepted' });
  },
  I21: (draft) => {
    runIn(draft, 'r0-good').history.push([T0 + 15_130, 'up', '1.0', 1, '']);
  },
  I25: (draft) => {
    ledgerIn(draft, 'access', ({ own }) => own).allowed = false;
  },
  I27: (draft) => {
    ledgerIn(draft, 'access', ({ own }) => !own).allowed = true;
  },
  I22: (draft) => {
    runIn(draft, 'r0-good').record['a:1.0'] = '2';
  },
  I24: (draft) => {
    draft.leftovers.push('the job x');
  },
  I30: (draft) => {
    draft.leaks.push('secret 1 stands in a log');
  },
  I31: (draft) => {
    const put = ledgerIn(draft, 'put', ({ version }) => version === 'c17');
    put.code = '{"run":[{"cmd":"loop"}]}';
    draft.runs.push({
      ...runIn(draft, 'r0-chain16'),
      id: 'r0-chain17',
      record: { ...runIn(draft, 'r0-chain16').record, key: 'in/r0-chain17', version: 'c17' },
    });
  },
  TIMEOUT: (draft) => {
    entryIn(draft, 'r0-long', 'cancelling')[0] = T0 + 3_009;
  },
  PAUSE: (draft) => {
    ledgerIn(draft, 'post', ({ task }) => task === 'r0-again.1.0').t = T0 + 25_999;
  },
  AGAIN: (draft) => {
    draft.ledger.push({ ...ledgerIn(draft, 'post', ({ task }) => task === 'r0-again.1.0'), task: 'r0-again.0.0' });
  },
  CANCEL: (draft) => {
    draft.ledger.push({ kind: 'cancel', t: T0 + 15_125, run: 'r0-good', answer: 'cancelling' });
  },
  STOP: (draft) => {
    draft.alive.push('d8');
    ledgerIn(draft, 'dyno', ({ dyno, what }) => dyno === 'd6' && what === 'stopped').t = T0 + 1_000;
  },
  I26: (draft) => {
    ledgerIn(draft, 'dead', () => true).status = 200;
  },
  I28: (draft) => {
    ledgerIn(draft, 'knock', ({ caller }) => caller === 'removed').status = 200;
  },
  I29: (draft) => {
    ledgerIn(draft, 'sign_on', ({ t }) => t === T0 + 93).session = true;
  },
  I32: (draft) => {
    draft.guests[0]?.keys.push('af:something:g1');
  },
  NEWS: (draft) => {
    ledgerIn(draft, 'event', ({ forged }) => forged).status = 204;
  },
  LOSS: (draft) => {
    ledgerIn(draft, 'loss', () => true).noticed = false;
  },
  CAUSE: (draft) => {
    ledgerIn(draft, 'post', ({ task }) => task === 'r0-bad.0.1').answer = 'accepted';
  },
};

describe('the checker', () => {
  it('imports nothing but itself', () => {
    const folder = fileURLToPath(new URL('./checker', import.meta.url));
    const imports = readdirSync(folder).flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(([, name = '']) => name),
    );
    expect(imports.length).toBeGreaterThan(10);
    expect(imports.filter((name) => !/^\.\/[a-z-]+\.ts$/.test(name))).toEqual([]);
  });

  it('holds a sound history in every invariant', () => {
    const findings = check(sound());
    expect(
      findings.filter((finding) => verdictOf(finding) !== 'held').map(({ id, exercised, violations }) => ({ id, exercised, violations })),
    ).toEqual([]);
  });

  it('calls everything vacuous when nothing happened', () => {
    const nothing = { ...sound(), runs: [], ledger: [], nobody: [], resources: [], guests: [], searched: 0 };
    expect(new Set(Object.values(verdicts(nothing)))).toEqual(new Set(['vacuous']));
  });

  it('has a planted violation for every invariant but the one that is only ever vacuous', () => {
    const ids = check(sound()).map(({ id }) => id);
    expect(ids.filter((id) => plants[id] === undefined)).toEqual(['FAULTS']);
    const draft = sound();
    draft.settings.faults.push('F99');
    expect(verdicts(draft)['FAULTS']).toBe('vacuous');
  });

  it.each(Object.keys(plants))('sees %s broken', (id) => {
    const draft = sound();
    plants[id]?.(draft);
    expect(verdicts(draft)[id]).toBe('violated');
  });
});

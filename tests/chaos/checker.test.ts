// The checker is what everything under tests/chaos rests on: it knows nothing of the engine, it says vacuous when nothing
// happened, and each invariant notices when it is broken.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { check } from './checker/check.ts';
import type { Entry, Evidence, LedgerEntry, RunEvidence } from './checker/evidence.ts';
import { verdictOf } from './checker/verdict.ts';

type Mutable<T> = T extends readonly [unknown, ...unknown[]]
  ? { -readonly [K in keyof T]: T[K] }
  : T extends readonly (infer U)[]
    ? Mutable<U>[]
    : T extends object
      ? { -readonly [K in keyof T]: Mutable<T[K]> }
      : T;
type Draft = Mutable<Evidence>;
type Planted = Draft['ledger'][number];

const A = 'ld-private-a';
const T0 = 1_800_000_000_000;
/** Milliseconds that records are kept. */
const KEPT = 30 * 86_400_000;

const output = (key: string, version: string) => JSON.stringify({ key, version_id: version, etag: 'e', size: 5 });

function runOf(
  id: string,
  version: string,
  document: { timeout?: number; run: unknown[] },
  history: Entry[],
  fields: Record<string, string>,
): { run: RunEvidence; ledger: LedgerEntry[] } {
  const key = `in/${id}`;
  const end = history.at(-1);
  const object = { bucket: A, key, version };
  return {
    run: {
      id,
      history,
      ttl: KEPT,
      record: { state: end?.[1] ?? '', end: String(end?.[0]), resource: 'ra', bucket: A, key, version, ...fields },
    },
    ledger: [
      { kind: 'put', t: T0, began: T0, ...object, run: true },
      { kind: 'upload', t: T0, ...object, expect: 'run', document: JSON.stringify(document), shape: 'test' },
      { kind: 'receive', t: T0 + 1, message: `m-${id}`, count: 1, records: [object] },
      { kind: 'delete', t: T0 + 20, message: `m-${id}`, ok: true },
      { kind: 'receive', t: T0 + 90_000, message: `again-${id}`, count: 2, records: [object] },
    ],
  };
}

/** A small sound history in which every invariant has something to look at. */
function sound(): Draft {
  const good = runOf(
    'r0-good',
    'v1',
    {
      run: [
        { cmd: 'ok', wait_for: 1 },
        {
          parallel: [
            { cmd: 'ok', backoff: { type: 'fixed', delay: 1 } },
            { cmd: 'up', no_output: true },
          ],
        },
      ],
    },
    [
      [T0 + 10, 'accepted', '', 0, ''],
      [T0 + 20, 'queued', '0.0', 1, ''],
      [T0 + 30, 'intent', '0.0', 1, ''],
      [T0 + 50, 'output', '0.0', 1, output('out/r0-good.0.0', 'o1')],
      [T0 + 60, 'launched', '0.0', 1, 'run.1'],
      [T0 + 1_070, 'succeeded', '0.0', 1, ''],
      [T0 + 1_080, 'intent', '1.0', 1, ''],
      [T0 + 1_080, 'intent', '1.1', 1, ''],
      [T0 + 1_100, 'adopted', '1.0', 1, 'run.2'],
      [T0 + 1_110, 'launched', '1.1', 1, 'run.3'],
      [T0 + 1_120, 'up', '1.1', 1, ''],
      [T0 + 1_130, 'succeeded', '1.1', 1, ''],
      [T0 + 1_300, 'exited', '1.0', 1, 'gone'],
      [T0 + 1_900, 'retry', '1.0', 1, 'exited_without_output: exited 1 without output'],
      [T0 + 2_950, 'intent', '1.0', 2, ''],
      [T0 + 14_960, 'lost', '1.0', 2, 'launch_unknown'],
      [T0 + 14_970, 'intent', '1.0', 3, ''],
      [T0 + 15_000, 'launched', '1.0', 3, 'run.5'],
      [T0 + 15_100, 'output', '1.0', 3, output('out/r0-good.1.0', 'o2')],
      [T0 + 15_110, 'succeeded', '1.0', 3, ''],
      [T0 + 15_120, 'late_output', '1.0', 3, output('out/r0-good.1.0', 'o3')],
      [T0 + 15_130, 'succeeded', '', 0, ''],
    ],
    { 'p:0.0': 'succeeded', 'p:1.0': 'succeeded', 'a:1.0': '3', 'p:1.1': 'succeeded' },
  );
  const bad = runOf(
    'r0-bad',
    'v2',
    {
      run: [
        {
          parallel: [
            { cmd: 'silent', timeout: 1, retries: 0 },
            { cmd: 'refuse' },
            { cmd: 'crash', no_output: true },
            { cmd: 'ok', retries: 0 },
          ],
        },
        { cmd: 'ok' },
      ],
    },
    [
      [T0 + 10, 'accepted', '', 0, ''],
      ...[0, 1, 2, 3].map((n): Entry => [T0 + 30 + n, 'intent', `0.${n}`, 1, '']),
      [T0 + 60, 'launched', '0.0', 1, 'run.6'],
      [T0 + 61, 'failed', '0.1', 1, 'launch_refused: 422'],
      [T0 + 61, 'failing', '0.1', 1, 'launch_refused'],
      [T0 + 62, 'launched', '0.2', 1, 'run.7'],
      [T0 + 80, 'failed', '0.2', 1, 'dyno_crashed: exited 1 before it was up'],
      [T0 + 1_070, 'failed', '0.0', 1, 'timed_out: no output within 1 s'],
      [T0 + 12_100, 'failed', '0.3', 1, 'launch_unknown: nothing appeared'],
      [T0 + 12_110, 'skipped', '1.0', 1, ''],
      [T0 + 12_120, 'failed', '', 0, ''],
    ],
    { 'p:0.0': 'failed', 'p:0.1': 'failed', 'p:0.2': 'failed', 'p:0.3': 'failed', 'p:1.0': 'skipped' },
  );
  const stopped = runOf(
    'r0-stop',
    'v3',
    { run: [{ cmd: 'ok' }] },
    [
      [T0 + 10, 'accepted', '', 0, ''],
      [T0 + 30, 'intent', '0.0', 1, ''],
      [T0 + 60, 'launched', '0.0', 1, 'run.8'],
      [T0 + 100, 'cancelling', '', 0, 'me'],
      [T0 + 110, 'skipped', '0.0', 1, 'cancelled'],
      [T0 + 120, 'cancelled', '', 0, ''],
    ],
    { 'p:0.0': 'skipped' },
  );
  // nobody was told of its upload, nor of its output
  const swept = runOf(
    'r0-swept',
    'v4',
    { run: [{ cmd: 'ok', timeout: 2 }] },
    [
      [T0 + 9_000, 'accepted', '', 0, ''],
      [T0 + 9_030, 'intent', '0.0', 1, ''],
      [T0 + 9_060, 'launched', '0.0', 1, 'run.9'],
      [T0 + 11_070, 'output', '0.0', 1, output('out/r0-swept.0.0', 's1')],
      [T0 + 11_080, 'succeeded', '0.0', 1, ''],
      [T0 + 11_090, 'succeeded', '', 0, ''],
    ],
    { 'p:0.0': 'succeeded' },
  );
  const told = swept.ledger.filter(({ kind }) => kind === 'put' || kind === 'upload');
  // it may take three seconds
  const long = runOf(
    'r0-long',
    'v5',
    { timeout: 3, run: [{ cmd: 'wait' }, { cmd: 'ok' }] },
    [
      [T0 + 10, 'accepted', '', 0, ''],
      [T0 + 30, 'intent', '0.0', 1, ''],
      [T0 + 60, 'launched', '0.0', 1, 'run.10'],
      [T0 + 3_500, 'cancelling', '', 0, 'timeout'],
      [T0 + 3_510, 'skipped', '0.0', 1, ''],
      [T0 + 3_520, 'skipped', '1.0', 1, ''],
      [T0 + 3_530, 'failed', '', 0, ''],
    ],
    { 'p:0.0': 'skipped', 'p:1.0': 'skipped' },
  );
  // its second step again, ordered by its owner while its launches were held back
  const again = runOf(
    'r0-again',
    'v5',
    { run: [] },
    [
      [T0 + 20_010, 'accepted', '', 0, ''],
      [T0 + 20_020, 'queued', '1.0', 1, ''],
      [T0 + 26_030, 'intent', '1.0', 1, ''],
      [T0 + 26_060, 'launched', '1.0', 1, 'run.11'],
      [T0 + 26_070, 'output', '1.0', 1, output('out/r0-again.1.0', 'a1')],
      [T0 + 26_080, 'succeeded', '1.0', 1, ''],
      [T0 + 26_090, 'succeeded', '', 0, ''],
    ],
    { key: 'in/r0-long', parent: 'r0-long', how: 'from', 'p:0.0': 'skipped', 'p:1.0': 'succeeded' },
  );
  // sixteen runs in a row, each started by an output of the one before
  const chain = Array.from({ length: 17 }, (_, n) => {
    const id = `r0-chain${n}`;
    const one = runOf(
      id,
      `c${n}`,
      { run: [{ cmd: 'loop' }] },
      [
        [T0 + 10, 'accepted', '', 0, ''],
        [T0 + 30, 'intent', '0.0', 1, ''],
        [T0 + 60, 'launched', '0.0', 1, `run.${n + 20}`],
        [T0 + 80, 'output', '0.0', 1, output(`in/r0-chain${n + 1}`, `c${n + 1}`)],
        [T0 + 90, 'succeeded', '0.0', 1, ''],
        [T0 + 95, 'succeeded', '', 0, ''],
      ],
      { 'p:0.0': 'succeeded' },
    );
    if (n === 0) return one;
    const put: LedgerEntry = {
      kind: 'put',
      t: T0 + 5,
      began: T0,
      bucket: A,
      key: `in/${id}`,
      version: `c${n}`,
      taskId: `r0-chain${n - 1}.0.0`,
      code: '{"run":[{"cmd":"loop"}]}',
    };
    const written = one.ledger.filter(({ kind }) => kind !== 'upload');
    const at = (entry: LedgerEntry): LedgerEntry =>
      entry.kind === 'put' ? { ...put, t: T0 + 70 } : entry.kind === 'delete' ? { ...entry, t: T0 + 85 } : entry;
    return { run: one.run, ledger: written.map(at) };
  });
  const post = (task: string, attempt: number, t: number, answer: 'accepted' | 'refused' | 'unknown', dyno?: string): LedgerEntry => ({
    kind: 'post',
    t,
    task,
    attempt,
    app: 'app-a',
    answer,
    ...(dyno === undefined ? {} : { dyno }),
  });
  const life = (dyno: string, what: 'up' | 'ended' | 'stopped', t: number, status?: number): LedgerEntry => ({
    kind: 'dyno',
    t,
    dyno,
    what,
    ...(status === undefined ? {} : { status }),
  });
  const out = (task: string, version: string, t: number): LedgerEntry[] => {
    const object = { bucket: A, key: `out/${task}`, version };
    return [
      { kind: 'put', t, began: t - 1, ...object, taskId: task },
      { kind: 'receive', t: t + 1, message: `m-${version}`, count: 1, records: [object] },
      { kind: 'delete', t: t + 16_000, message: `m-${version}`, ok: true },
    ];
  };
  const evidence: Evidence = {
    settings: {
      seed: 1,
      adoptAfter: 12_000,
      notAfter: 1_000,
      grace: 500,
      launchesPerHour: 36_000,
      faults: ['F1', 'F6'],
      secrets: ['secret 1'],
    },
    runs: [good.run, bad.run, stopped.run, swept.run, long.run, again.run, ...chain.map(({ run }) => run)],
    ledger: [
      ...[good, bad, stopped, long, ...chain].flatMap(({ ledger }) => ledger),
      ...told.map((entry): LedgerEntry => (entry.kind === 'put' ? { ...entry, silent: true } : entry)),
      post('r0-swept.0.0', 1, T0 + 9_040, 'accepted', 'd9'),
      {
        kind: 'put',
        t: T0 + 10_800,
        began: T0 + 10_799,
        bucket: A,
        key: 'out/r0-swept.0.0',
        version: 's1',
        taskId: 'r0-swept.0.0',
        silent: true,
      },
      { kind: 'call', t: T0 + 50, app: 'app-a', what: 'list' },
      { kind: 'exit', t: T0 + 5, worker: 'worker-1', how: 'SIGKILL', served: true, cause: 'killed' },
      post('r0-good.0.0', 1, T0 + 35, 'accepted', 'd1'),
      ...out('r0-good.0.0', 'o1', T0 + 45),
      life('d1', 'up', T0 + 40),
      post('r0-good.1.0', 1, T0 + 1_085, 'unknown', 'd2'),
      life('d2', 'ended', T0 + 1_200, 1),
      post('r0-good.1.1', 1, T0 + 1_085, 'accepted', 'd3'),
      life('d3', 'up', T0 + 1_090),
      post('r0-good.1.0', 2, T0 + 2_960, 'unknown'),
      post('r0-good.1.0', 3, T0 + 14_980, 'accepted', 'd5'),
      ...out('r0-good.1.0', 'o2', T0 + 15_090),
      ...out('r0-good.1.0', 'o3', T0 + 15_115),
      post('r0-bad.0.0', 1, T0 + 40, 'accepted', 'd6'),
      life('d6', 'up', T0 + 45),
      life('d6', 'stopped', T0 + 1_100),
      life('d6', 'ended', T0 + 1_100, 143),
      post('r0-bad.0.1', 1, T0 + 41, 'refused'),
      post('r0-bad.0.2', 1, T0 + 42, 'accepted', 'd7'),
      life('d7', 'ended', T0 + 50, 1),
      post('r0-bad.0.3', 1, T0 + 43, 'unknown'),
      post('r0-stop.0.0', 1, T0 + 40, 'accepted', 'd8'),
      life('d8', 'stopped', T0 + 130),
      life('d8', 'ended', T0 + 130, 143),
      { kind: 'cancel', t: T0 + 99, run: 'r0-stop', answer: 'asked' },
      post('r0-long.0.0', 1, T0 + 40, 'accepted', 'd10'),
      life('d10', 'stopped', T0 + 3_520),
      life('d10', 'ended', T0 + 3_520, 143),
      { kind: 'pause', t: T0 + 20_000, until: T0 + 26_000, resource: 'ra', app: 'app-a' },
      { kind: 'replay', t: T0 + 20_005, run: 'r0-again', of: 'r0-long', how: 'from', kept: ['0.0'] },
      post('r0-again.1.0', 1, T0 + 26_040, 'accepted', 'd11'),
      ...out('r0-again.1.0', 'a1', T0 + 26_065),
      ...chain.map((_, n) => post(`r0-chain${n}.0.0`, 1, T0 + 40, 'accepted', `dc${n}`)),
      { kind: 'put', t: T0 + 70, began: T0 + 69, bucket: A, key: 'in/r0-chain17', version: 'c17', taskId: 'r0-chain16.0.0' },
      { kind: 'put', t: T0, began: T0, bucket: A, key: 'plain', version: 'p1' },
      {
        kind: 'delete',
        t: T0 + 20,
        message: 'm-plain',
        ok: true,
        accounts: [{ bucket: A, key: 'plain', version: 'p1', accounted: true }],
      },
      { kind: 'put', t: T0 + 99, began: T0 + 98, bucket: 'ld-private-b', key: 'out/x', version: 'f1', taskId: 'r0-good.0.0' },
      { kind: 'put', t: T0, began: T0, bucket: A, key: 'q', version: 'q1' },
      { kind: 'upload', t: T0, bucket: A, key: 'q', version: 'q1', expect: 'quarantine', shape: 'test' },
      { kind: 'put', t: T0, began: T0, bucket: A, key: 'in/gone', version: 'g1', run: true },
      { kind: 'upload', t: T0, bucket: A, key: 'in/gone', version: 'g1', expect: 'gone', shape: 'test' },
      { kind: 'receive', t: T0 + 1, message: 'm-gone', count: 1, records: [{ bucket: A, key: 'in/gone', version: 'g1' }] },
      { kind: 'delete', t: T0 + 20, message: 'm-gone', ok: true },
      { kind: 'put', t: T0, began: T0, bucket: A, key: 'in/before', version: 'b1', run: true },
      { kind: 'upload', t: T0, bucket: A, key: 'in/before', version: 'b1', expect: 'never', shape: 'test' },
      { kind: 'garbage', t: T0, body: 'no json' },
      { kind: 'access', t: T0 + 45, bucket: A, own: true, allowed: true },
      { kind: 'access', t: T0 + 98, bucket: A, own: false, allowed: false },
      { kind: 'fault', t: T0 + 200_000, until: T0 + 200_000, fault: 'F1', live: 0, kills: 0, detail: 'nobody was there' },
      { kind: 'fault', t: T0 + 5, until: T0 + 6, fault: 'F1', live: 3, kills: 1, detail: 'killed worker-1' },
      { kind: 'fault', t: T0 + 150_000, until: T0 + 150_001, fault: 'F6', live: 1, kills: 1, detail: 'redis was rolled back' },
      { kind: 'install', t: T0 + 1, resource: 'g1', status: 202, text: 'soon' },
      { kind: 'install', t: T0 + 2, resource: 'g1', status: 202, text: 'soon' },
      { kind: 'bucket', t: T0 + 3, bucket: 'ld-private-g1' },
      { kind: 'told', t: T0 + 4, resource: 'g1', what: 'provisioned' },
      { ...post('r0-guest.0.0', 1, T0 + 50, 'accepted', 'dg'), app: 'app-g' } as LedgerEntry,
      { kind: 'remove', t: T0 + 60, resource: 'g1', status: 204 },
      { kind: 'remove', t: T0 + 61, resource: 'g1', status: 410 },
      { kind: 'dead', t: T0 + 90, resource: 'g1', status: 403 },
      { kind: 'knock', t: T0 + 91, route: 'GET /v1/runs', caller: 'removed', status: 401 },
      { kind: 'knock', t: T0 + 91, route: 'GET /v1/runs', caller: 'own', status: 200 },
      { kind: 'knock', t: T0 + 91, route: 'GET /v1/runs', caller: 'own', status: 503 },
      { kind: 'sign_on', t: T0 + 92, form: 'good', token: 's1', status: 303, session: true },
      { kind: 'sign_on', t: T0 + 93, form: 'good', token: 's1', status: 403, session: false },
      { kind: 'sign_on', t: T0 + 94, form: 'old', token: 's2', status: 403, session: false },
      { kind: 'event', t: T0 + 95, forged: false, status: 204 },
      { kind: 'event', t: T0 + 96, forged: true, status: 401 },
      { kind: 'loss', t: T0 + 150_000, until: T0 + 150_001, seen: true, noticed: true },
    ],
    resources: [
      {
        id: 'ra',
        bucket: A,
        app: 'app-a',
        decisions: { ignored: 2 },
        accounted: [
          { bucket: A, key: 'plain', version: 'p1' },
          { bucket: A, key: 'in/gone', version: 'g1' },
        ],
        quarantine: [
          { t: T0 + 3, entry: { reason: 'x', bucket: A, key: 'q', version_id: 'q1' } },
          { t: T0 + 90, entry: { reason: 'a loop is assumed', bucket: A, key: 'in/r0-chain17', version_id: 'c17' } },
        ],
      },
      {
        id: 'rb',
        bucket: 'ld-private-b',
        app: 'app-b',
        decisions: { ignored: 1 },
        accounted: [],
        quarantine: [{ t: T0 + 100, entry: { reason: 'foreign', bucket: 'ld-private-b', key: 'out/x', version_id: 'f1' } }],
      },
    ],
    guests: [{ id: 'g1', app: 'app-g', state: 'removed', keys: [], buckets: [] }],
    nobody: [{ t: T0 + 3, entry: { reason: 'no json', body: 'no json' } }],
    leftovers: [],
    phases: { began: T0, calm: T0 + 100_000, quiet: T0 + 200_000 },
    drained: true,
    unaccounted: [],
    leaks: [],
    searched: 100,
    starts: { own: 2, earlier: 0 },
    alive: ['d1', 'd3', 'd5'],
  };
  // a copy that the test may change
  return structuredClone(evidence) as unknown as Draft;
}

const verdicts = (evidence: Evidence): Record<string, string> =>
  Object.fromEntries(check(evidence).map((finding) => [finding.id, verdictOf(finding)]));

const runIn = (draft: Draft, id: string) => {
  const run = draft.runs.find((one) => one.id === id);
  if (run === undefined) throw new Error(`no ${id}`);
  return run;
};
const entryIn = (draft: Draft, id: string, what: string, task = '') => {
  const entry = runIn(draft, id).history.find((one) => one[1] === what && one[2] === task);
  if (entry === undefined) throw new Error(`no ${what} in ${id}`);
  return entry;
};
const ledgerIn = <K extends LedgerEntry['kind']>(draft: Draft, kind: K, which: (entry: Extract<LedgerEntry, { kind: K }>) => boolean) => {
  const found = draft.ledger.find((entry) => entry.kind === kind && which(entry as Extract<LedgerEntry, { kind: K }>));
  if (found === undefined) throw new Error(`no such ${kind}`);
  return found as Mutable<Extract<LedgerEntry, { kind: K }>>;
};

const faultAt = (t: number, until: number, fault: string): Planted => ({
  kind: 'fault',
  t,
  until,
  fault,
  live: 1,
  kills: 1,
  detail: 'planted',
});
const outputAt = (task: string, t: number): Planted => ({
  kind: 'put',
  t,
  began: t - 1,
  bucket: A,
  key: `out/${task}`,
  version: `planted ${t}`,
  taskId: task,
  silent: true,
});
const ledgerCall = (t: number): Planted => ({ kind: 'post', t, task: `t${t}`, attempt: 1, app: 'app-a', answer: 'accepted' });
const seenOf = (draft: Draft, id: string) => check(draft).find((finding) => finding.id === id)?.exercised;

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
      'I8',
      'a task succeeds before it has cooled, although the next step begins late enough',
      (draft: Draft) => {
        entryIn(draft, 'r0-good', 'succeeded', '0.0')[0] = T0 + 1_049;
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

  it.each(Object.keys(plants))('sees %s broken', (id) => {
    const draft = sound();
    plants[id]?.(draft);
    expect(verdicts(draft)[id]).toBe('violated');
  });
});

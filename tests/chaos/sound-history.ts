// A small sound history in which every invariant has something to look at, as a draft that a test may spoil.
import type { Evidence, LedgerEntry } from './checker/evidence.ts';
import { A, soundRuns, T0 } from './sound-runs.ts';

/** The same without `readonly`. */
export type Mutable<T> = T extends readonly [unknown, ...unknown[]]
  ? { -readonly [K in keyof T]: T[K] }
  : T extends readonly (infer U)[]
    ? Mutable<U>[]
    : T extends object
      ? { -readonly [K in keyof T]: Mutable<T[K]> }
      : T;
/** Evidence that a test may change. */
export type Draft = Mutable<Evidence>;

/** A small sound history in which every invariant has something to look at. */
export function sound(): Draft {
  const { good, bad, stopped, swept, told, long, again, chain } = soundRuns();
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
      { kind: 'cancel', t: T0 + 101, run: 'r0-stop', answer: 'cancelling' },
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
      { kind: 'receive', t: T0 + 2, message: 'm-garbage', count: 1, records: [], body: 'no json' },
      { kind: 'delete', t: T0 + 4, message: 'm-garbage', ok: true },
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

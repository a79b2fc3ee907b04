// The runs of a small sound history, as Redis has them and as stands outside of it: what the tests of the checker spoil.
import type { Entry, LedgerEntry, RunEvidence } from './checker/evidence.ts';

/** The first tenant's bucket. */
export const A = 'ld-private-a';
/** When it all begins, in milliseconds since 1970. */
export const T0 = 1_800_000_000_000;
/** Milliseconds that records are kept. */
const KEPT = 30 * 86_400_000;

/** What a history notes of an output. */
export const output = (key: string, version: string) => JSON.stringify({ key, version_id: version, etag: 'e', size: 5 });

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

/** Runs of every kind; `told` is what was put for the one that nobody was told of. */
export function soundRuns() {
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
      [T0 + 51, 'launched', '0.2', 1, 'run.7'],
      [T0 + 55, 'failed', '0.2', 1, 'dyno_crashed: exited 1 before it was up'],
      [T0 + 55, 'failing', '0.2', 1, 'dyno_crashed'],
      [T0 + 60, 'launched', '0.0', 1, 'run.6'],
      [T0 + 61, 'failed', '0.1', 1, 'launch_refused: 422'],
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
  return { good, bad, stopped, swept, told, long, again, chain };
}

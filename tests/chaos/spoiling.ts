// How a test of the checker spoils a sound history, and what the checker says of it then.
import { check } from './checker/check.ts';
import type { Evidence, LedgerEntry } from './checker/evidence.ts';
import { verdictOf } from './checker/verdict.ts';
import type { Draft, Mutable } from './sound-history.ts';
import { A } from './sound-runs.ts';

/** One entry of the ledger, to be planted in it. */
export type Planted = Draft['ledger'][number];

/** What the checker says, by invariant. */
export const verdicts = (evidence: Evidence): Record<string, string> =>
  Object.fromEntries(check(evidence).map((finding) => [finding.id, verdictOf(finding)]));

/** The run with that id. */
export const runIn = (draft: Draft, id: string) => {
  const run = draft.runs.find((one) => one.id === id);
  if (run === undefined) throw new Error(`no ${id}`);
  return run;
};
/** The first such entry of a run, or of one of its tasks. */
export const entryIn = (draft: Draft, id: string, what: string, task = '') => {
  const entry = runIn(draft, id).history.find((one) => one[1] === what && one[2] === task);
  if (entry === undefined) throw new Error(`no ${what} in ${id}`);
  return entry;
};
/** The first such entry of the ledger. */
export const ledgerIn = <K extends LedgerEntry['kind']>(
  draft: Draft,
  kind: K,
  which: (entry: Extract<LedgerEntry, { kind: K }>) => boolean,
) => {
  const found = draft.ledger.find((entry) => entry.kind === kind && which(entry as Extract<LedgerEntry, { kind: K }>));
  if (found === undefined) throw new Error(`no such ${kind}`);
  return found as Mutable<Extract<LedgerEntry, { kind: K }>>;
};

/** A fault that meets one run, or none. */
export const faultAt = (t: number, until: number, fault: string, live = 1): Planted => ({
  kind: 'fault',
  t,
  until,
  fault,
  live,
  kills: 1,
  detail: 'planted',
});
/** An output at its place, of which nobody is told. */
export const outputAt = (task: string, t: number): Planted => ({
  kind: 'put',
  t,
  began: t - 1,
  bucket: A,
  key: `out/${task}`,
  version: `planted ${t}`,
  taskId: task,
  silent: true,
});
/** A launch that was accepted. */
export const ledgerCall = (t: number): Planted => ({ kind: 'post', t, task: `t${t}`, attempt: 1, app: 'app-a', answer: 'accepted' });
/** How often an invariant met what. */
export const seenOf = (draft: Draft, id: string) => check(draft).find((finding) => finding.id === id)?.exercised;

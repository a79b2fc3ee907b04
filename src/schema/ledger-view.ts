// The ledger: whether every object version has its decision, as API, dashboard and CLI show it.
import Type, { type Static } from 'typebox';

/** One object version: the identity of an event. */
export interface VersionRef {
  readonly bucket: string;
  readonly key: string;
  readonly versionId: string;
}

const Time = Type.String({ description: 'ISO 8601, UTC' });

export const UnaccountedVersion = Type.Object({
  key: Type.String(),
  version_id: Type.String(),
  saved_at: Time,
});
export type UnaccountedVersion = Static<typeof UnaccountedVersion>;

export const LedgerView = Type.Object({
  resource: Type.String(),
  bucket: Type.String(),
  in_scope: Type.Integer({ description: 'Versions saved since an hour before the watermark; those under .autofiles/ are not counted' }),
  accounted_for: Type.Integer({ description: 'Those of them that have a decision: run, rejected, output, ignored or quarantined' }),
  unaccounted: Type.Integer({ description: 'The others; a version that was saved just now is one until its event arrives' }),
  oldest_unaccounted: Type.Union([UnaccountedVersion, Type.Null()]),
  before_account: Type.Integer({
    description: 'Versions older than `since`: none of them runs by itself; `autofiles backfill --dry-run` lists those that would',
  }),
  watermark: Type.Union([Type.Object({ at: Time, since: Time }), Type.Null()], {
    description: 'Every version saved from `since` to `at` is accounted for; null before the first sweep',
  }),
  swept_at: Type.Union([Time, Type.Null()], { description: 'When the bucket was compared with the decisions' }),
  epoch: Type.Integer({ description: 'Raised each time Redis is found behind or empty; starts at 1' }),
  reexecuted: Type.Integer({ description: 'Runs that were made again because a loss of Redis took their record' }),
  decisions: Type.Record(Type.String(), Type.Integer(), { description: 'How many decisions of each kind were made' }),
});
export type LedgerView = Static<typeof LedgerView>;

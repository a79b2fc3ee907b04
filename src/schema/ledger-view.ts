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
  in_flight: Type.Integer({
    description: 'Those without one that were saved so shortly before the sweep that their events may have been on their way',
  }),
  unaccounted: Type.Integer({ description: 'Those without one for longer' }),
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

export const SetAside = Type.Object({
  key: Type.String(),
  version_id: Type.String(),
  reason: Type.String({ description: 'Why it led to no run, or what of its metadata was not taken' }),
  at: Time,
});
export type SetAside = Static<typeof SetAside>;

export const SetAsideList = Type.Object({ set_aside: Type.Array(SetAside, { description: 'Newest first, 100 at most' }) });
export type SetAsideList = Static<typeof SetAsideList>;

export const AuditOrder = Type.Object(
  { cursor: Type.Optional(Type.String({ description: '`next` of the page before' })) },
  { additionalProperties: false },
);
export type AuditOrder = Static<typeof AuditOrder>;

export const LedgerAudit = Type.Object({
  resource: Type.String(),
  bucket: Type.String(),
  in_scope: Type.Integer({ description: 'Versions saved since an hour before the watermark; of this page, like all numbers here' }),
  accounted_for: Type.Integer({ description: 'Those of them that have a decision' }),
  in_flight: Type.Integer({ description: 'Those without one that were saved so lately that their events may be on their way' }),
  missing: Type.Integer({ description: 'Those without one for longer' }),
  oldest_unaccounted: Type.Union([UnaccountedVersion, Type.Null()]),
  before_account: Type.Integer({ description: 'Versions from before the account began' }),
  watermark: Type.Union([Type.Object({ at: Time, since: Time }), Type.Null()], { description: 'null: no account has begun' }),
  audited_at: Time,
  next: Type.Union([Type.String(), Type.Null()], {
    description:
      'Where to go on, as `cursor`: a large bucket takes several pages, whose numbers are to be summed up; null: the bucket ends here',
  }),
});
export type LedgerAudit = Static<typeof LedgerAudit>;

export const BackfillOrder = Type.Object(
  {
    dry_run: Type.Optional(Type.Boolean({ default: true, description: 'Whether to list them only' })),
    prefix: Type.Optional(Type.String({ description: 'How the key begins' })),
    since: Type.Optional(Type.String({ description: 'Saved then or later, ISO 8601' })),
    until: Type.Optional(Type.String({ description: 'Saved before, ISO 8601' })),
    cursor: Type.Optional(Type.String({ description: '`next` of the page before' })),
  },
  { additionalProperties: false },
);
export type BackfillOrder = Static<typeof BackfillOrder>;

export const BackfillPage = Type.Object({
  versions: Type.Array(
    Type.Object({
      key: Type.String(),
      version_id: Type.String(),
      saved_at: Time,
      run: Type.String({ description: 'Id of the run it causes' }),
    }),
    { description: 'Versions that carry a workflow and have no decision; those of a page that may be empty' },
  ),
  looked_at: Type.Integer(),
  next: Type.Union([Type.String(), Type.Null()]),
});
export type BackfillPage = Static<typeof BackfillPage>;

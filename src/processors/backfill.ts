// Versions that carry a workflow and never had a run, were set aside by a cap on runs, or lost theirs with Redis and archive: offered, and run when
// somebody says so.
import type { ObjectStore, ObjectVersion } from '../clients/ports.ts';
import type { Ledger } from '../queues/ledger.ts';
import type { Planner } from '../queues/planner.ts';
import { type Loss, mayPrecede } from '../queues/store-epoch.ts';
import type { BackfillOrder, BackfillPage } from '../schema/ledger-view.ts';
import { readMetadata } from '../schema/metadata.ts';
import { isOwnObject } from '../schema/own-objects.ts';
import type { ObjectCreated } from '../schema/s3-event.ts';
import type { ArchivedViews } from './archived-views.ts';

/** HEADs, or decisions, at the same time. */
const AT_ONCE = 8;
/** Versions that one page looks at. */
const PAGE = 200;

export interface BackfillDeps {
  readonly ledger: Ledger;
  readonly store: ObjectStore;
  readonly archived: Pick<ArchivedViews, 'run'>;
  /**
   * Decides a version as its event would. `redo`: the epoch of the store, where its run may have been lost with the one before; `known`: the last loss
   * that is known, since the next one may come while it decides.
   */
  readonly decide: (event: ObjectCreated, redo: number | undefined, known: Loss | undefined) => Promise<void>;
  /** The last loss of Redis (store-epoch.ts); undefined: there was none. */
  readonly loss: () => Promise<Loss | undefined>;
}

/**
 * One page of a bucket in the order of its keys: those of its versions that would run, or with `dry_run` false now do. Nothing
 * that has a decision runs again, and what a cap on runs set aside has none but that. Throws what store and Redis throw; the same page may be asked for again.
 */
export async function backfillPage(
  deps: BackfillDeps,
  resource: { readonly id: string; readonly bucket: string },
  order: BackfillOrder,
): Promise<BackfillPage> {
  const { bucket } = resource;
  const page = await deps.store.versions(bucket, {
    limit: PAGE,
    ...(order.prefix === undefined ? {} : { prefix: order.prefix }),
    ...(order.cursor === undefined ? {} : { next: order.cursor }),
  });
  const since = order.since === undefined ? 0 : Date.parse(order.since);
  const until = order.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(order.until);
  const inRange = page.versions.filter(({ key, modifiedAt }) => !isOwnObject(key) && modifiedAt >= since && modifiedAt < until);
  const account = await deps.ledger.open(resource.id, 0);
  const versions = inRange.map((version) => ({ ...version, bucket }));
  // what has its run already does not run again, whatever else of it the sweep may find missing
  const undecided = await account.undecided(versions);
  const others = versions.filter((version) => !undecided.includes(version));
  const open = [...undecided, ...(await deps.ledger.pastLimits(resource.id, others))];
  const candidates: (ObjectVersion & { bucket: string })[] = [];
  const work = async () => {
    for (let version = open.shift(); version !== undefined; version = open.shift()) {
      if (!(await carriesWorkflow(deps, version))) continue;
      if ((await deps.archived.run(deps.ledger.runIdOf(version))) !== undefined) continue;
      candidates.push(version);
      if (order.dry_run !== false) continue;
      const { key, versionId, etag, size, modifiedAt } = version;
      const loss = await deps.loss();
      const redo = loss !== undefined && mayPrecede(modifiedAt, loss.since) ? loss.epoch : undefined;
      // without its time: it is old on purpose
      await deps.decide({ bucket, key, versionId, etag, size, eventName: 'ObjectCreated:Put' }, redo, loss);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return {
    versions: candidates
      .sort((a, b) => a.modifiedAt - b.modifiedAt)
      .map((version) => ({
        key: version.key,
        version_id: version.versionId,
        saved_at: new Date(version.modifiedAt).toISOString(),
        run: deps.ledger.runIdOf(version),
      })),
    looked_at: page.versions.length,
    next: page.next ?? null,
  };
}

/**
 * Planners of a decision that knows of no loss but the `known` one: a tree is made only of a run that is marked as one of the epoch, where another has
 * begun since or is announced. Who puts the loss right may have looked at the run's shard before the run was accepted.
 */
export function plannersSince(
  known: Loss | undefined,
  planners: readonly Planner[],
  deps: Pick<BackfillDeps, 'loss'> & { readonly redo: (runId: string, epoch: number) => Promise<unknown> },
): readonly Planner[] {
  const mark = async (runId: string) => {
    const loss = await deps.loss();
    if (loss !== undefined && loss.epoch !== known?.epoch) await deps.redo(runId, loss.epoch);
  };
  return planners.map((planner) => ({
    ...planner,
    plan: async (request) => {
      await mark(request.runId);
      return await planner.plan(request);
    },
    defer: async (runId) => {
      await mark(runId);
      await planner.defer(runId);
    },
  }));
}

async function carriesWorkflow(deps: BackfillDeps, version: { bucket: string; key: string; versionId: string }): Promise<boolean> {
  const head = await deps.store.head(version.bucket, version.key, version.versionId);
  if (head === undefined) return false;
  const metadata = readMetadata(head.metadata);
  return metadata.run || metadata.code !== undefined;
}

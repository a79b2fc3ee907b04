// Compares a bucket with the decisions: which of its versions are in scope, and which of them have none.
import type { ObjectStore, ObjectVersion } from '../clients/ports.ts';
import { MEMORY_MS } from '../queues/identity.ts';
import type { Ledger } from '../queues/ledger.ts';
import { isOwnObject } from '../schema/own-objects.ts';

/** Unaccounted versions that are kept in mind at most, about half a kilobyte each; the oldest ones, the others come with the next sweep. */
const MAX_KEPT = 50_000;
/** Versions that are looked up at the same time: as many as a page has. */
const AT_ONCE = 1_000;

const HOUR_MS = 3_600_000;
/** From when on (ms) versions are in scope: an hour before the watermark, whose own time may lie a little ahead, and no older than the account. */
export function scopeFrom(watermark: number, now: number): number {
  return Math.max(Math.min(watermark, now) - HOUR_MS, now - MEMORY_MS);
}

export interface Comparison {
  readonly inScope: number;
  /** Oldest first. */
  readonly missing: readonly ObjectVersion[];
  readonly missingCount: number;
  /** Versions saved before `since`. */
  readonly before: number;
  readonly pages: number;
  /** Where to go on, when it was not compared to the end. */
  readonly next: string | undefined;
}

export interface CompareOptions {
  readonly signal?: AbortSignal;
  /** Where to begin; at the beginning without it. */
  readonly next?: string | undefined;
  /** Asked after each page but the last: whether to go on, after so many pages. Without it to the end. */
  readonly goOn?: (pages: number) => boolean;
}

/**
 * Lists the whole bucket (S3 has no list by time) and looks at what was saved after `from` (ms). `since` (ms): from when on
 * there is an account. Throws what store and Redis throw.
 */
export async function compareBucket(
  deps: { ledger: Ledger; store: ObjectStore },
  resource: { readonly id: string; readonly bucket: string },
  range: { readonly since: number; readonly from: number },
  { signal, next: first, goOn = () => true }: CompareOptions = {},
): Promise<Comparison> {
  let inScope = 0;
  let before = 0;
  let pages = 0;
  let missingCount = 0;
  let missing: ObjectVersion[] = [];
  let next = first;
  const account = await deps.ledger.open(resource.id, range.from);
  do {
    const page = await deps.store.versions(resource.bucket, {
      ...(next === undefined ? {} : { next }),
      ...(signal === undefined ? {} : { signal }),
    });
    pages += 1;
    const theirs = page.versions.filter(({ key }) => !isOwnObject(key));
    before += theirs.filter(({ modifiedAt }) => modifiedAt < range.since).length;
    const scope = theirs.filter(({ modifiedAt }) => modifiedAt >= range.since && modifiedAt > range.from);
    inScope += scope.length;
    const found = await account.missing(scope.map((version) => ({ ...version, bucket: resource.bucket })));
    missingCount += found.length;
    missing.push(...found);
    if (missing.length > 1.25 * MAX_KEPT) missing = missing.sort(byAge).slice(0, MAX_KEPT);
    next = page.next;
  } while (next !== undefined && goOn(pages));
  missing = missing.sort(byAge).slice(0, MAX_KEPT);
  if (missing.length > 0) {
    // a large bucket takes minutes to list, and what is decided meanwhile is not in the account that was read before
    // an output that starts a run was delivered a little before that run was accepted
    const meanwhile = await deps.ledger.open(resource.id, account.readAt - HOUR_MS);
    const left: ObjectVersion[] = [];
    for (let i = 0; i < missing.length; i += AT_ONCE) {
      const some = missing.slice(i, i + AT_ONCE).map((version) => ({ ...version, bucket: resource.bucket }));
      left.push(...(await meanwhile.missing(some)));
    }
    missingCount -= missing.length - left.length;
    missing = left;
  }
  return { inScope, before, pages, missingCount, missing, next };
}

/** A file comes before the outputs of its run; of one millisecond, keys in their order. */
function byAge(a: ObjectVersion, b: ObjectVersion): number {
  return a.modifiedAt - b.modifiedAt || (a.key < b.key ? -1 : 1);
}

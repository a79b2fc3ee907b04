import { createHash } from 'node:crypto';
import { eventIdentity } from '../schema/ids.ts';
import type { VersionRef } from '../schema/ledger-view.ts';

/** Bytes of a version's digest: two of a million versions agree by chance once in 10^7 such buckets. */
export const DIGEST_BYTES = 8;

/** Milliseconds, 16 days: how long it is remembered that a version was decided; SQS redelivers for 14 at most. */
export const ACCOUNT_MS = 16 * 86_400_000;

/** Milliseconds, 15 days: as far back as it can be told whether a version was decided; the records and digests that tell it are kept for longer. */
export const MEMORY_MS = 15 * 86_400_000;

/** Base-36 digits of the hash in a run id: 36^20 ≈ 2^103, no collision in any real number of events. */
const DIGITS = 20;

/**
 * The id of the run that an object version causes. Derived from the event's identity, so a redelivered event names the
 * same run; carries the shard, so an output finds its run without a look-up.
 */
export function runIdOf(event: VersionRef, shards: number): string {
  const hash = createHash('sha256').update(eventIdentity(event)).digest();
  const digits = BigInt(`0x${hash.subarray(0, 16).toString('hex')}`)
    .toString(36)
    .padStart(DIGITS, '0')
    .slice(-DIGITS);
  return `r${hash.readUInt32BE(16) % shards}-${digits}`;
}

/** What the ledger keeps of an object version whose decision leaves no run record under its own id: 8 bytes that a run id does not use. */
export function digestOf(version: VersionRef): Buffer {
  return createHash('sha256')
    .update(eventIdentity(version))
    .digest()
    .subarray(20, 20 + DIGEST_BYTES);
}

/**
 * What the ledger keeps of a task's output that starts a run itself, beside that run's record: the two halves of its decision may stand on different
 * nodes, or in the archive and in Redis alone, and be lost apart.
 */
export function outputDigestOf(version: VersionRef): Buffer {
  return createHash('sha256')
    .update(`output ${eventIdentity(version)}`)
    .digest()
    .subarray(0, DIGEST_BYTES);
}

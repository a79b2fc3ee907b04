import { createHash } from 'node:crypto';
import { eventIdentity } from '../schema/ids.ts';

/** Base-36 digits of the hash in a run id: 36^20 ≈ 2^103, no collision in any real number of events. */
const DIGITS = 20;

/**
 * The id of the run that an object version causes. Derived from the event's identity, so a redelivered event names the
 * same run; carries the shard, so an output finds its run without a look-up.
 */
export function runIdOf(event: { readonly bucket: string; readonly key: string; readonly versionId: string }, shards: number): string {
  const hash = createHash('sha256').update(eventIdentity(event)).digest();
  const digits = BigInt(`0x${hash.subarray(0, 16).toString('hex')}`)
    .toString(36)
    .padStart(DIGITS, '0')
    .slice(-DIGITS);
  return `r${hash.readUInt32BE(16) % shards}-${digits}`;
}

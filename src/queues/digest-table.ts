// A set of digests that takes twelve bytes for each: a Set of strings takes 65, and no more than 2^24 of them.
import { DIGEST_BYTES } from './identity.ts';

/** Places for each digest: with a third of them free a search looks at two on average. */
const ROOM = 1.5;
const UINT32 = 2 ** 32;

export interface DigestTable {
  /** Adds the digests that stand one after the other in `bytes`; a rest that is no whole one is left out. Throws RangeError when there are more than there is room for. */
  add(bytes: Buffer): void;
  has(digest: Buffer): boolean;
}

/** Makes a table with room for `count` digests, which are hashes: their bits decide where they stand. */
export function createDigestTable(count: number): DigestTable {
  const places = Math.ceil(count * ROOM) + 1;
  // two numbers for each place; both 0: it is free
  const table = new Uint32Array(2 * places);
  let free = places - 1;
  let zero = false;

  /** The place where the digest stands, or where it would. */
  const placeOf = (high: number, low: number): number => {
    let place = Math.floor((high / UINT32) * places);
    for (;;) {
      const a = table[2 * place];
      const b = table[2 * place + 1];
      if ((a === high && b === low) || (a === 0 && b === 0)) return place;
      place = place + 1 === places ? 0 : place + 1;
    }
  };

  return {
    add: (bytes) => {
      for (let at = 0; at + DIGEST_BYTES <= bytes.length; at += DIGEST_BYTES) {
        const high = bytes.readUInt32BE(at);
        const low = bytes.readUInt32BE(at + 4);
        if (high === 0 && low === 0) {
          zero = true;
          continue;
        }
        const place = placeOf(high, low);
        if (table[2 * place] === high && table[2 * place + 1] === low) continue;
        if (free === 0) throw new RangeError(`found more than ${places - 1} digests`);
        free -= 1;
        table[2 * place] = high;
        table[2 * place + 1] = low;
      }
    },
    has: (digest) => {
      const high = digest.readUInt32BE(0);
      const low = digest.readUInt32BE(4);
      if (high === 0 && low === 0) return zero;
      const place = placeOf(high, low);
      return table[2 * place] === high && table[2 * place + 1] === low;
    },
  };
}

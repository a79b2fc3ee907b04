// The set of digests by which a sweep knows what was decided.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createDigestTable } from '../../src/queues/digest-table.ts';

const digest = fc.oneof(
  fc.uint8Array({ minLength: 8, maxLength: 8 }),
  // the same place, the last place, and the one that is all zeros
  fc
    .constantFrom('0000000000000000', '0000000000000001', '0000000100000000', 'ffffffffffffffff', 'ffffffff00000000')
    .map((hex) => Buffer.from(hex, 'hex')),
);

it('has what was added and nothing else', () => {
  fc.assert(
    fc.property(fc.array(digest, { maxLength: 60 }), fc.array(digest, { maxLength: 60 }), (added, others) => {
      const table = createDigestTable(added.length);
      table.add(Buffer.concat(added));
      const names = new Set(added.map((one) => Buffer.from(one).toString('hex')));
      for (const one of [...added, ...others]) expect(table.has(Buffer.from(one))).toBe(names.has(Buffer.from(one).toString('hex')));
    }),
  );
});

it('refuses more than there is room for instead of searching without end', () => {
  expect(() => createDigestTable(4).add(randomBytes(8 * 100))).toThrow(RangeError);
});

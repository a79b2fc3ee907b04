import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { combineParts, startChecksum } from '../../src/local/store/checksums.ts';
import { type CrcName, combineCrc, crcs } from '../../src/local/store/crc.ts';

const names: CrcName[] = ['CRC32', 'CRC32C', 'CRC64NVME'];

function crcOf(name: CrcName, ...pieces: Uint8Array[]): bigint {
  const crc = crcs[name].create();
  for (const piece of pieces) crc.update(piece);
  return crc.value();
}

describe('the CRCs', () => {
  it('give the published check values', () => {
    const check = Buffer.from('123456789');
    expect(crcOf('CRC32', check)).toBe(0xcbf43926n);
    expect(crcOf('CRC32C', check)).toBe(0xe3069283n);
    expect(crcOf('CRC64NVME', check)).toBe(0xae8b14860a799888n);
  });

  it('do not depend on how the bytes come', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(fc.uint8Array({ maxLength: 50 })), (name, pieces) => {
        expect(crcOf(name, ...pieces)).toBe(crcOf(name, Buffer.concat(pieces)));
      }),
    );
  });

  it('of a whole follow from those of its parts', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 300 }),
        (name, first, second) => {
          const combined = combineCrc(name, crcOf(name, first), crcOf(name, second), second.length);
          expect(combined).toBe(crcOf(name, Buffer.concat([first, second])));
        },
      ),
    );
  });
});

describe('the hashes', () => {
  it('of parts make a composite checksum that tells their number', () => {
    const parts = ['a', 'b'].map((text) => {
      const stream = startChecksum('SHA256');
      stream.update(Buffer.from(text));
      return { value: stream.value(), size: 1 };
    });
    const digests = parts.map((part) => Buffer.from(part.value, 'base64'));
    const expected = `${createHash('sha256').update(Buffer.concat(digests)).digest('base64')}-2`;
    expect(combineParts('SHA256', 'COMPOSITE', parts)).toEqual({ algorithm: 'SHA256', type: 'COMPOSITE', value: expected });
    expect(() => combineParts('SHA256', 'FULL_OBJECT', parts)).toThrow('cannot be used');
  });
});

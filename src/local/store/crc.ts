import { crc32 as zlibCrc32 } from 'node:zlib';

/** A running cyclic redundancy check; `value` is the check of all bytes so far, as an unsigned number. */
type Crc = { update(bytes: Uint8Array): void; value(): bigint };

type CrcKind = { bits: 32 | 64; polynomial: bigint; create: () => Crc };

/** The three CRCs that S3 knows: width and reflected polynomial (S3 user guide, "Checking object integrity"). */
export const crcs = {
  CRC32: { bits: 32, polynomial: 0xedb88320n, create: crc32 },
  CRC32C: { bits: 32, polynomial: 0x82f63b78n, create: crc32c },
  CRC64NVME: { bits: 64, polynomial: 0x9a6c9329ac4bc9b5n, create: crc64nvme },
} as const satisfies Record<string, CrcKind>;

/** The name of a CRC that S3 knows. */
export type CrcName = keyof typeof crcs;

/** The CRC of two runs of bytes, one behind the other, from the CRC of each and the length of the second in bytes. */
export function combineCrc(name: CrcName, first: bigint, second: bigint, secondLength: number): bigint {
  const { bits, polynomial } = crcs[name];
  // Appending n zero bytes multiplies by x^(8n) modulo the polynomial; the initial and final inversions cancel out.
  return multiply(first, shiftBy(BigInt(secondLength) * 8n, bits, polynomial), bits, polynomial) ^ second;
}

function shiftBy(zeroBits: bigint, bits: number, polynomial: bigint): bigint {
  const one = 1n << BigInt(bits - 1);
  let [result, base] = [one, one >> 1n];
  for (let left = zeroBits; left > 0n; left >>= 1n) {
    if (left & 1n) result = multiply(result, base, bits, polynomial);
    base = multiply(base, base, bits, polynomial);
  }
  return result;
}

// Polynomials with reflected bits: the top bit is x^0.
function multiply(left: bigint, right: bigint, bits: number, polynomial: bigint): bigint {
  let [product, factor] = [0n, right];
  for (let bit = 1n << BigInt(bits - 1); bit > 0n; bit >>= 1n) {
    if (left & bit) product ^= factor;
    factor = factor & 1n ? (factor >> 1n) ^ polynomial : factor >> 1n;
  }
  return product;
}

function crc32(): Crc {
  let crc = 0;
  return {
    update(bytes) {
      crc = zlibCrc32(bytes, crc);
    },
    value: () => BigInt(crc),
  };
}

function crc32c(): Crc {
  const table = table32(0x82f63b78);
  let crc = 0xffffffff;
  return {
    update(bytes) {
      let value = crc;
      for (let index = 0; index < bytes.length; index += 1) value = at(table, (value ^ at(bytes, index)) & 255) ^ (value >>> 8);
      crc = value;
    },
    value: () => BigInt((crc ^ 0xffffffff) >>> 0),
  };
}

function crc64nvme(): Crc {
  // BigInt arithmetic per byte would be a hundred times slower: the register is held as two halves of 32 bits.
  const { high, low } = table64();
  let [top, bottom] = [0xffffffff, 0xffffffff];
  return {
    update(bytes) {
      let [h, l] = [top, bottom];
      for (let index = 0; index < bytes.length; index += 1) {
        const slot = (l ^ at(bytes, index)) & 255;
        l = ((l >>> 8) | (h << 24)) ^ at(low, slot);
        h = (h >>> 8) ^ at(high, slot);
      }
      [top, bottom] = [h, l];
    },
    value: () => (BigInt(~top >>> 0) << 32n) | BigInt(~bottom >>> 0),
  };
}

let castagnoli: Uint32Array | undefined;

function table32(polynomial: number): Uint32Array {
  castagnoli ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    return value;
  });
  return castagnoli;
}

let nvme: { high: Uint32Array; low: Uint32Array } | undefined;

function table64(): { high: Uint32Array; low: Uint32Array } {
  if (nvme) return nvme;
  const made = { high: new Uint32Array(256), low: new Uint32Array(256) };
  for (let byte = 0; byte < 256; byte += 1) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) value = value & 1n ? (value >> 1n) ^ crcs.CRC64NVME.polynomial : value >> 1n;
    made.high[byte] = Number(value >> 32n);
    made.low[byte] = Number(value & 0xffffffffn);
  }
  nvme = made;
  return made;
}

function at(bytes: Uint8Array | Uint32Array, index: number): number {
  return bytes[index] ?? 0;
}

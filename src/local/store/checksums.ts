import { createHash } from 'node:crypto';
import { type CrcName, combineCrc, crcs } from './crc.ts';
import { S3Error } from './s3-error.ts';

/** The checksum algorithms of S3, as `x-amz-checksum-algorithm` spells them. */
export const checksumAlgorithms = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
/** One of S3's checksum algorithms. */
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

/** A checksum as S3 shows it: base64, for a composite one followed by `-` and the number of parts. */
export type Checksum = { algorithm: ChecksumAlgorithm; value: string; type: 'FULL_OBJECT' | 'COMPOSITE' };

/** A running checksum; `value` is base64. */
export type ChecksumStream = { algorithm: ChecksumAlgorithm; update(bytes: Uint8Array): void; value(): string };

/** Starts a checksum. */
export function startChecksum(algorithm: ChecksumAlgorithm): ChecksumStream {
  if (algorithm === 'SHA1' || algorithm === 'SHA256') {
    const digest = createHash(algorithm);
    return {
      algorithm,
      update: (bytes) => {
        digest.update(bytes);
      },
      value: () => digest.digest('base64'),
    };
  }
  const crc = crcs[algorithm].create();
  return { algorithm, update: crc.update, value: () => encode(crc.value(), crcs[algorithm].bits) };
}

/** The header that carries a checksum, `x-amz-checksum-crc32`. */
export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`;
}

/** Reads an algorithm's name in any case. Throws S3Error InvalidRequest for another name. */
export function readAlgorithm(name: string): ChecksumAlgorithm {
  const found = checksumAlgorithms.find((algorithm) => algorithm === name.toUpperCase());
  if (!found)
    throw new S3Error(
      'InvalidRequest',
      `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${checksumAlgorithms.join(', ')}]`,
    );
  return found;
}

/** The one checksum that a request's headers carry or (in `x-amz-trailer`) announce; its value when it is already there. */
export function announcedChecksum(headers: Record<string, string>): { algorithm: ChecksumAlgorithm; value?: string } | undefined {
  const found = checksumAlgorithms.filter((algorithm) => headers[checksumHeader(algorithm)] !== undefined);
  if (found.length > 1)
    throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.');
  const [algorithm] = found;
  if (algorithm) {
    const value = headers[checksumHeader(algorithm)] ?? '';
    if (!isChecksumValue(algorithm, value))
      throw new S3Error('InvalidRequest', `Value for ${checksumHeader(algorithm)} header is invalid.`);
    return { algorithm, value };
  }
  const trailer = headers['x-amz-trailer']?.trim().toLowerCase();
  if (trailer === undefined) return undefined;
  const announced = checksumAlgorithms.find((name) => checksumHeader(name) === trailer);
  if (!announced) throw new S3Error('InvalidRequest', 'The value specified in the x-amz-trailer header is not supported');
  return { algorithm: announced };
}

/** The checksum of a whole made of parts, from the checksums and sizes of the parts. */
export function combineParts(algorithm: ChecksumAlgorithm, type: Checksum['type'], parts: { value: string; size: number }[]): Checksum {
  if (type === 'COMPOSITE') {
    const stream = startChecksum(algorithm);
    for (const part of parts) stream.update(Buffer.from(part.value, 'base64'));
    return { algorithm, type, value: `${stream.value()}-${parts.length}` };
  }
  if (algorithm === 'SHA1' || algorithm === 'SHA256')
    throw new S3Error(
      'InvalidRequest',
      `The FULL_OBJECT checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    );
  const name: CrcName = algorithm;
  let whole = 0n;
  for (const part of parts) whole = combineCrc(name, whole, decode(part.value), part.size);
  return { algorithm, type, value: encode(whole, crcs[name].bits) };
}

const lengths: Record<ChecksumAlgorithm, number> = { CRC32: 4, CRC32C: 4, CRC64NVME: 8, SHA1: 20, SHA256: 32 };

function isChecksumValue(algorithm: ChecksumAlgorithm, value: string): boolean {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(value) && Buffer.from(value, 'base64').length === lengths[algorithm];
}

function encode(value: bigint, bits: number): string {
  return Buffer.from(value.toString(16).padStart(bits / 4, '0'), 'hex').toString('base64');
}

function decode(value: string): bigint {
  return BigInt(`0x${Buffer.from(value, 'base64').toString('hex')}`);
}

import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Blobs, StagedBody } from './blobs.ts';
import { announcedChecksum, type Checksum, type ChecksumStream, checksumHeader, startChecksum } from './checksums.ts';
import { type ChunkDecoder, createChunkDecoder } from './chunked-body.ts';
import { S3Error } from './s3-error.ts';
import type { PayloadProtection } from './sigv4.ts';

/** A body that arrived whole and matched every hash, checksum and length that was said about it. */
export type ReceivedBody = { staged: StagedBody; md5: Buffer; checksum: Checksum | undefined };

/** The largest body of one request: 5 GiB (S3 user guide, "Uploading objects"). */
const MAX_BODY_BYTES = 5 * 1024 ** 3;

type Source = { req: IncomingMessage; headers: Record<string, string>; payload: PayloadProtection };

/**
 * Streams an object's or part's body to the blobs, verifying on the way. Memory use does not depend on the size.
 * `algorithm`: a checksum to compute even when the client sent none. Throws S3Error (BadDigest, IncompleteBody,
 * XAmzContentSHA256Mismatch, …) with nothing kept.
 */
export async function receiveBody(source: Source, blobs: Blobs, algorithm?: Checksum['algorithm']): Promise<ReceivedBody> {
  const expected = expectedLength(source);
  const sink = blobs.sink();
  const check = startChecks(source, algorithm);
  try {
    await pump(
      source,
      expected,
      (data) => {
        check.update(data);
        return sink.write(data);
      },
      check.finish,
    );
    return { staged: await sink.finish(), md5: check.md5(), checksum: check.checksum() };
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** Reads a small body (an XML or JSON document) whole and verified. Throws S3Error MaxMessageLengthExceeded beyond `limit` bytes. */
export async function receiveText(source: Source, limit: number): Promise<{ text: string; digested: boolean }> {
  const pieces: Buffer[] = [];
  let size = 0;
  const check = startChecks(source, undefined);
  await pump(
    source,
    undefined,
    (data) => {
      size += data.length;
      if (size > limit) throw new S3Error('MaxMessageLengthExceeded', `Your request was too big: expected at most ${limit} bytes.`);
      check.update(data);
      pieces.push(data);
      return undefined;
    },
    check.finish,
  );
  return {
    text: Buffer.concat(pieces).toString('utf8'),
    digested: source.headers['content-md5'] !== undefined || check.checksum() !== undefined,
  };
}

function expectedLength({ headers, payload }: Source): number {
  const chunked = payload.kind === 'chunks';
  const text = chunked ? headers['x-amz-decoded-content-length'] : headers['content-length'];
  if (!chunked && headers['transfer-encoding'] !== undefined) {
    throw new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented: Transfer-Encoding');
  }
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw new S3Error('MissingContentLength');
  const length = Number(text);
  if (length > MAX_BODY_BYTES) {
    throw new S3Error('EntityTooLarge', undefined, { details: { ProposedSize: text, MaxSizeAllowed: String(MAX_BODY_BYTES) } });
  }
  return length;
}

type Checks = {
  update(data: Buffer): void;
  /** Compares everything at the end; throws S3Error on the first difference. */
  finish(trailers: Record<string, string>): void;
  md5(): Buffer;
  checksum(): Checksum | undefined;
};

function startChecks({ headers, payload }: Source, extra: Checksum['algorithm'] | undefined): Checks {
  const announced = announcedChecksum(headers);
  const wantedMd5 = readContentMd5(headers['content-md5']);
  const md5: Hash = createHash('md5');
  const sha256 = payload.kind === 'hash' ? createHash('sha256') : undefined;
  const algorithm = announced?.algorithm ?? extra;
  const stream: ChecksumStream | undefined = algorithm && startChecksum(algorithm);
  let md5Value = Buffer.alloc(0);
  let checksum: Checksum | undefined;

  return {
    update(data) {
      md5.update(data);
      sha256?.update(data);
      stream?.update(data);
    },
    finish(trailers) {
      md5Value = md5.digest();
      if (payload.kind === 'hash' && sha256?.digest('hex') !== payload.sha256) throw new S3Error('XAmzContentSHA256Mismatch');
      if (wantedMd5 && !wantedMd5.equals(md5Value))
        throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.');
      if (!stream) return;
      const value = stream.value();
      if (announced) {
        const header = checksumHeader(announced.algorithm);
        const claimed = announced.value ?? trailers[header];
        if (claimed === undefined) throw new S3Error('InvalidRequest', `The trailing header ${header} was announced but did not come.`);
        if (claimed !== value)
          throw new S3Error('BadDigest', `The ${announced.algorithm} you specified did not match the calculated checksum.`);
      }
      checksum = { algorithm: stream.algorithm, value, type: 'FULL_OBJECT' };
    },
    md5: () => md5Value,
    checksum: () => checksum,
  };
}

function readContentMd5(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  const value = Buffer.from(text, 'base64');
  if (value.length !== 16) throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.');
  return value;
}

async function pump(
  { req, payload }: Source,
  expected: number | undefined,
  onData: (data: Buffer) => Promise<void> | undefined,
  onEnd: (trailers: Record<string, string>) => void,
): Promise<void> {
  const decoder: ChunkDecoder | undefined = payload.kind === 'chunks' ? createChunkDecoder(payload) : undefined;
  let size = 0;
  try {
    for await (const bytes of req.iterator({ destroyOnReturn: false })) {
      for (const data of decoder ? decoder.push(bytes) : [bytes]) {
        size += data.length;
        if (expected !== undefined && size > expected)
          throw new S3Error('IncompleteBody', `The body is longer than the ${expected} bytes announced.`);
        const wait = onData(data);
        if (wait !== undefined) await wait;
      }
    }
  } catch (error) {
    // A client that still sends reads the answer only when all it sends was read.
    if (!req.complete) req.resume();
    // The client went away in the middle: nobody reads the answer, but what was received must be dropped.
    if (req.errored && !(error instanceof S3Error)) throw new S3Error('IncompleteBody', 'The connection ended before the body did.');
    throw error;
  }
  const trailers = decoder?.finish() ?? {};
  if (expected !== undefined && size !== expected)
    throw new S3Error('IncompleteBody', `The body has ${size} bytes, expected the ${expected} announced.`);
  onEnd(trailers);
}

import { createHash, createHmac, type Hash, hash } from 'node:crypto';
import { sameText } from './credentials.ts';
import { S3Error } from './s3-error.ts';
import type { ChunkSigning } from './sigv4.ts';

/** Takes `aws-chunked` framing apart: data, chunk signatures and trailing headers. */
export type ChunkDecoder = {
  /** Feeds bytes from the wire; returns the data among them. Throws S3Error when framing or a chunk's signature is wrong. */
  push(bytes: Buffer): Buffer[];
  /** To be called at the end of the wire's bytes. Throws S3Error IncompleteBody when the last chunk or the trailer is missing. */
  finish(): Record<string, string>;
};

const EMPTY_SHA256 = hash('sha256', '', 'hex');
// A size line is at most 16 hex digits, `;chunk-signature=` and 64 more; a trailer holds one checksum and one signature.
const MAX_LINE_BYTES = 4096;
const CRLF = Buffer.from('\r\n');

type State = 'size' | 'data' | 'data-end' | 'trailer' | 'done';

/** Makes a decoder for one body. With `signing` every chunk and the trailer must be signed. */
export function createChunkDecoder(options: { trailer: boolean; signing: ChunkSigning | undefined }): ChunkDecoder {
  const { signing } = options;
  const trailers: [string, string][] = [];
  let state: State = 'size';
  let line: Buffer = Buffer.alloc(0);
  let left = 0;
  let previous = signing?.seed ?? '';
  let claimed = '';
  let digest: Hash | undefined;

  function takeLine(bytes: Buffer): { text?: string; rest: Buffer } {
    const joined = line.length > 0 ? Buffer.concat([line, bytes]) : bytes;
    const end = joined.indexOf(CRLF);
    if (end < 0) {
      if (joined.length > MAX_LINE_BYTES) throw new S3Error('InvalidRequest', 'The aws-chunked body has a chunk header that does not end.');
      line = Buffer.from(joined);
      return { rest: Buffer.alloc(0) };
    }
    line = Buffer.alloc(0);
    return { text: joined.toString('latin1', 0, end), rest: joined.subarray(end + 2) };
  }

  function startChunk(text: string): void {
    const match = /^([0-9a-f]{1,13})(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(text);
    if (!match?.[1])
      throw new S3Error('InvalidRequest', `The aws-chunked body has the chunk header ${JSON.stringify(text.slice(0, 100))}.`);
    left = Number.parseInt(match[1], 16);
    claimed = match[2] ?? '';
    if (signing) {
      if (!claimed) throw new S3Error('SignatureDoesNotMatch', 'A chunk of the body carries no chunk-signature.');
      digest = createHash('sha256');
    }
    if (left > 0) {
      state = 'data';
      return;
    }
    checkChunk();
    // The last chunk is followed by trailing headers (perhaps none) and one empty line.
    state = 'trailer';
  }

  function checkChunk(): void {
    if (!signing || !digest) return;
    checkSignature(
      `AWS4-HMAC-SHA256-PAYLOAD\n${signing.date}\n${signing.scope}\n${previous}\n${EMPTY_SHA256}\n${digest.digest('hex')}`,
      claimed,
    );
  }

  function checkSignature(text: string, given: string): void {
    if (!signing) return;
    const signature = createHmac('sha256', signing.key).update(text).digest('hex');
    if (!sameText(signature, given.toLowerCase()))
      throw new S3Error('SignatureDoesNotMatch', 'The signature of a chunk of the body does not match.');
    previous = signature;
  }

  function endTrailer(): void {
    state = 'done';
    if (!signing || !options.trailer) return;
    const given = trailers.find(([name]) => name === 'x-amz-trailer-signature')?.[1] ?? '';
    const signed = trailers.filter(([name]) => name !== 'x-amz-trailer-signature').map(([name, value]) => `${name}:${value}\n`);
    checkSignature(
      `AWS4-HMAC-SHA256-TRAILER\n${signing.date}\n${signing.scope}\n${previous}\n${hash('sha256', signed.join(''), 'hex')}`,
      given,
    );
  }

  function takeTrailer(text: string): void {
    if (text === '') {
      endTrailer();
      return;
    }
    const colon = text.indexOf(':');
    if (colon < 1 || trailers.length > 10) throw new S3Error('InvalidRequest', 'The aws-chunked body has a malformed trailing header.');
    trailers.push([text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()]);
  }

  function takeData(bytes: Buffer, data: Buffer[]): Buffer {
    const piece = bytes.subarray(0, left);
    digest?.update(piece);
    data.push(piece);
    left -= piece.length;
    if (left === 0) {
      checkChunk();
      state = 'data-end';
    }
    return bytes.subarray(piece.length);
  }

  return {
    push(bytes) {
      const data: Buffer[] = [];
      let rest = bytes;
      while (rest.length > 0 && state !== 'done') {
        if (state === 'data') {
          rest = takeData(rest, data);
          continue;
        }
        const taken = takeLine(rest);
        rest = taken.rest;
        if (taken.text === undefined) break;
        if (state === 'size') startChunk(taken.text);
        else if (state === 'trailer') takeTrailer(taken.text);
        else if (taken.text === '') state = 'size';
        else throw new S3Error('InvalidRequest', 'A chunk of the aws-chunked body is longer than its header says.');
      }
      return data;
    },
    finish() {
      // Some clients leave out the very last empty line when there is nothing in the trailer.
      if (state === 'trailer' && line.length === 0 && !options.trailer) endTrailer();
      if (state !== 'done') throw new S3Error('IncompleteBody', 'The aws-chunked body ended before its last chunk.');
      return Object.fromEntries(trailers);
    },
  };
}

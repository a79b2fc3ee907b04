import { createSecretKey } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createChunkDecoder } from '../../src/local/store/chunked-body.ts';
import { isLoopbackOrigin, readHost } from '../../src/local/store/host.ts';
import { parseXml, renderXml } from '../../src/local/store/xml.ts';
import { sign, signedChunks, unsignedChunks } from './raw-request.ts';

/** Feeds bytes in pieces cut at the given places. */
function decode(decoder: ReturnType<typeof createChunkDecoder>, bytes: Buffer, cuts: number[]) {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const data: Buffer[] = [];
  for (const [index, from] of places.entries()) data.push(...decoder.push(bytes.subarray(from, places[index + 1] ?? bytes.length)));
  return { data: Buffer.concat(data), trailers: decoder.finish() };
}

const bodies = fc.array(
  fc.uint8Array({ minLength: 1, maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 5 },
);
const cuts = fc.array(fc.nat(), { maxLength: 12 });

describe('aws-chunked framing', () => {
  it('is read the same however the network cuts it', () => {
    fc.assert(
      fc.property(bodies, cuts, (chunks, at) => {
        const framed = unsignedChunks(chunks, { 'x-amz-checksum-crc32': 'AAAAAA==' });
        const decoded = decode(createChunkDecoder({ trailer: true, signing: undefined }), framed, at);
        expect(decoded).toEqual({ data: Buffer.concat(chunks), trailers: { 'x-amz-checksum-crc32': 'AAAAAA==' } });
      }),
    );
  });

  it('is verified chunk by chunk when signed: any flipped bit is noticed', () => {
    const signed = sign('http://localhost', { path: '/' });
    const signing = { key: createSecretKey(signed.key), date: signed.date, scope: signed.scope, seed: signed.signature };
    fc.assert(
      fc.property(bodies, cuts, fc.nat(), fc.integer({ min: 0, max: 7 }), (chunks, at, place, bit) => {
        const trailers = { 'x-amz-checksum-crc32': 'AAAAAA==' };
        const framed = signedChunks(signed, chunks, trailers);
        expect(decode(createChunkDecoder({ trailer: true, signing }), framed, at).data).toEqual(Buffer.concat(chunks));
        const flipped = Buffer.from(framed);
        const index = place % framed.length;
        flipped[index] = (flipped[index] ?? 0) ^ (1 << bit);
        const read = () => decode(createChunkDecoder({ trailer: true, signing }), flipped, at);
        let outcome: unknown;
        try {
          outcome = read();
        } catch (error) {
          expect((error as Error).name).toBe('S3Error');
          return;
        }
        // What is still accepted says the same: a hex digit or a header's name in the other case, a blank that is trimmed.
        expect(outcome).toMatchObject({ data: Buffer.concat(chunks) });
      }),
    );
  });

  it('does not hold endless header lines in memory', () => {
    const decoder = createChunkDecoder({ trailer: true, signing: undefined });
    expect(() => {
      for (let n = 0; n < 10; n += 1) decoder.push(Buffer.alloc(1000, '0'));
    }).toThrow('does not end');
  });
});

describe('the Host header', () => {
  it('is a name of this machine, or refused', () => {
    for (const host of ['127.0.0.1', '127.0.0.1:80', 'localhost:1', 'LOCALHOST', '[::1]:80', 's3.localhost', 'sqs.localhost:9']) {
      expect([host, readHost(host)]).toEqual([host, { loopback: true }]);
    }
    for (const host of [
      '',
      undefined,
      'evil.example',
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      '10.0.0.1',
      '[::2]',
      'a b',
      'localhost:x',
      'xlocalhost',
    ]) {
      expect([host, readHost(host)]).toEqual([host, { loopback: false }]);
    }
  });

  it('may name a bucket, with dots too', () => {
    expect(readHost('my.bucket.s3.localhost:1')).toEqual({ loopback: true, bucket: 'my.bucket' });
    expect(readHost('my.bucket.localhost')).toEqual({ loopback: true, bucket: 'my.bucket' });
  });

  it('of an Origin is judged the same', () => {
    expect(['http://localhost:3000', 'https://127.0.0.1', 'http://[::1]:1'].map(isLoopbackOrigin)).toEqual([true, true, true]);
    expect(['null', 'https://evil.example', 'http://localhost.evil', 'file://', 'http://localhost/x'].map(isLoopbackOrigin)).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('XML', () => {
  it('carries any text there and back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (text) => {
        fc.pre(text.isWellFormed() && text.trim() !== '');
        expect(parseXml(renderXml('Root', { Text: text }))).toEqual({ Root: { Text: text } });
      }),
    );
  });
});

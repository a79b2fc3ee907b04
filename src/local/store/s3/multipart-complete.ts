import { createHash } from 'node:crypto';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { type Checksum, checksumAlgorithms, combineParts } from '../checksums.ts';
import { S3Error } from '../s3-error.ts';
import type { Part, Upload } from '../uploads.ts';
import { renderXml } from '../xml.ts';
import { writePrecondition } from './conditions.ts';
import { type Answer, bucketOf, param, readXmlBody, type S3Context } from './context.ts';
import { checksumElements } from './object-headers.ts';

const Listed = Type.Object({
  PartNumber: Type.String({ pattern: '^\\s*[0-9]{1,5}\\s*$' }),
  ETag: Type.String(),
  ...Object.fromEntries(checksumAlgorithms.map((algorithm) => [`Checksum${algorithm}`, Type.Optional(Type.String())])),
});
const document = Compile(Type.Object({ CompleteMultipartUpload: Type.Object({ Part: Type.Union([Listed, Type.Array(Listed)]) }) }));

// S3 user guide, "Amazon S3 multipart upload limits": parts of at least 5 MiB, the last one of any size; at most 10,000.
const MIN_PART_BYTES = 5 * 1024 * 1024;
// 10,000 parts with etag and checksum are about 2 MB of XML.
const MAX_BODY = 4 * 1024 * 1024;

/** POST ?uploadId: makes the object out of the parts named, in one transaction with its event. Asking again gives the same answer. */
export async function completeUpload(context: S3Context): Promise<Answer> {
  const { services, headers, key, requester } = context;
  const id = param(context, 'uploadId') ?? '';
  const wanted = readParts(await readXmlBody(context, { limit: MAX_BODY }));
  const bucket = bucketOf(context);
  const remembered = services.uploads.recall(bucket, key, id);
  if (remembered !== undefined) return { status: 200, body: remembered };
  const upload = services.uploads.get(bucket, key, id);
  const parts = chooseParts(services.uploads.parts(upload, 0, -1), wanted);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  checkTotal(headers['x-amz-mp-object-size'], size);
  const checksum = wholeChecksum(upload, parts, headers);
  const etag = `${createHash('md5')
    .update(Buffer.concat(parts.map((part) => Buffer.from(part.etag, 'hex'))))
    .digest('hex')}-${parts.length}`;
  const body = renderResult(context, etag, checksum);
  const { versionId } = services.objects.put(
    bucket,
    {
      key,
      body: { segments: parts.flatMap((part) => part.segments) },
      etag,
      size,
      attributes: { ...upload.attributes, parts: parts.map((part) => part.size), ...(checksum && { checksum }) },
    },
    {
      event: 'ObjectCreated:CompleteMultipartUpload',
      requester,
      precondition: writePrecondition(headers),
      also() {
        services.uploads.drop(upload);
        services.uploads.remember(bucket, upload, body);
      },
    },
  );
  return { status: 200, headers: { ...(versionId !== undefined && { 'x-amz-version-id': versionId }) }, body };
}

function renderResult({ bucketName, key, headers }: S3Context, etag: string, checksum: Checksum | undefined): string {
  return renderXml('CompleteMultipartUploadResult', {
    '@xmlns': 'http://s3.amazonaws.com/doc/2006-03-01/',
    Location: `http://${headers['host']}/${bucketName}/${key}`,
    Bucket: bucketName,
    Key: key,
    ETag: `"${etag}"`,
    ...checksumElements(checksum),
    ChecksumType: checksum?.type,
  });
}

type WantedPart = { number: number; etag: string; checksum: Map<string, string> };

function readParts(parsed: unknown): WantedPart[] {
  if (!document.Check(parsed)) throw new S3Error('MalformedXML');
  const { Part } = parsed.CompleteMultipartUpload;
  return (Array.isArray(Part) ? Part : [Part]).map((entry) => ({
    number: Number(entry.PartNumber),
    etag: entry.ETag.trim().replace(/^"(.*)"$/, '$1'),
    checksum: new Map(Object.entries(entry).filter(([name]) => name.startsWith('Checksum'))),
  }));
}

function chooseParts(held: Part[], wanted: WantedPart[]): Part[] {
  const byNumber = new Map(held.map((part) => [part.number, part]));
  const chosen: Part[] = [];
  let before = 0;
  for (const { number, etag, checksum } of wanted) {
    if (number <= before) throw new S3Error('InvalidPartOrder');
    before = number;
    const part = byNumber.get(number);
    const claimed = part?.checksum && checksum.get(`Checksum${part.checksum.algorithm}`);
    if (!part || part.etag !== etag || (claimed !== undefined && claimed !== part.checksum?.value)) {
      throw new S3Error('InvalidPart', undefined, { details: { PartNumber: String(number), ETag: etag } });
    }
    chosen.push(part);
  }
  const small = chosen.slice(0, -1).find((part) => part.size < MIN_PART_BYTES);
  if (small) {
    throw new S3Error('EntityTooSmall', undefined, {
      details: {
        PartNumber: String(small.number),
        ETag: small.etag,
        ProposedSize: String(small.size),
        MinSizeAllowed: String(MIN_PART_BYTES),
      },
    });
  }
  return chosen;
}

function checkTotal(text: string | undefined, size: number): void {
  if (text === undefined || Number(text) === size) return;
  throw new S3Error('InvalidRequest', `The provided 'x-amz-mp-object-size' header value ${text} does not match what was computed: ${size}`);
}

function wholeChecksum(upload: Upload, parts: Part[], headers: Record<string, string>): Checksum | undefined {
  const { algorithm, checksumType } = upload;
  if (!algorithm || !checksumType) return undefined;
  const checksum = combineParts(
    algorithm,
    checksumType,
    parts.map((part) => ({ value: part.checksum?.value ?? '', size: part.size })),
  );
  const claimed = headers[`x-amz-checksum-${algorithm.toLowerCase()}`];
  // A composite claim may come with or without the number of parts.
  if (claimed !== undefined && claimed !== checksum.value && claimed !== checksum.value.split('-')[0]) {
    throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
  }
  return checksum;
}

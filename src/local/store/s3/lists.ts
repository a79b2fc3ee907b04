import { ACCOUNT_ID } from '../credentials.ts';
import type { ListedVersion, Page } from '../listing.ts';
import { S3Error } from '../s3-error.ts';
import { readVersionId } from '../version-id.ts';
import { renderXml, type XmlElement } from '../xml.ts';
import { type Answer, bucketOf, param, type S3Context } from './context.ts';
import { readCount, urlEncoder } from './list-parameters.ts';

const XMLNS = 'http://s3.amazonaws.com/doc/2006-03-01/';
const OWNER = { ID: ACCOUNT_ID, DisplayName: 'autofiles-local' };

type Encode = (text: string) => string;

/** GET of a bucket: ListObjectsV2, or the older ListObjects without `list-type=2`. */
export function listObjects(context: S3Context): Answer {
  const type = param(context, 'list-type');
  if (type === undefined) return listObjectsV1(context);
  if (type === '2') return listObjectsV2(context);
  throw new S3Error('InvalidArgument', 'Invalid List Type specified in Request', {
    details: { ArgumentName: 'list-type', ArgumentValue: type },
  });
}

function listObjectsV2(context: S3Context): Answer {
  const { services, bucketName } = context;
  const encode = urlEncoder(context);
  const options = commonOptions(context, 'max-keys');
  const token = param(context, 'continuation-token');
  const startAfter = param(context, 'start-after');
  const after = token === undefined ? startAfter : readToken(token);
  const page = services.listing.objects(bucketOf(context), { ...options, after: after === undefined ? undefined : { key: after } });
  const withOwner = param(context, 'fetch-owner') === 'true';
  return document('ListBucketResult', {
    Name: bucketName,
    Prefix: encode(options.prefix),
    Delimiter: shown(options.delimiter, encode),
    MaxKeys: options.max,
    EncodingType: param(context, 'encoding-type'),
    KeyCount: page.entries.length + page.prefixes.length,
    IsTruncated: page.truncated,
    ContinuationToken: token,
    NextContinuationToken: page.truncated && page.last ? writeToken(page.last.key) : undefined,
    StartAfter: startAfter === undefined ? undefined : encode(startAfter),
    Contents: page.entries.map((entry) => objectElement(entry, encode, withOwner)),
    CommonPrefixes: prefixElements(page, encode),
  });
}

function listObjectsV1(context: S3Context): Answer {
  const { services, bucketName } = context;
  const encode = urlEncoder(context);
  const options = commonOptions(context, 'max-keys');
  const marker = param(context, 'marker') ?? '';
  const page = services.listing.objects(bucketOf(context), { ...options, after: marker === '' ? undefined : { key: marker } });
  return document('ListBucketResult', {
    Name: bucketName,
    Prefix: encode(options.prefix),
    Marker: encode(marker),
    // Sent with a delimiter only; without one the last key is the next marker (S3 API reference, ListObjects).
    NextMarker: page.truncated && options.delimiter !== '' && page.last ? encode(page.last.key) : undefined,
    Delimiter: shown(options.delimiter, encode),
    MaxKeys: options.max,
    EncodingType: param(context, 'encoding-type'),
    IsTruncated: page.truncated,
    Contents: page.entries.map((entry) => objectElement(entry, encode, true)),
    CommonPrefixes: prefixElements(page, encode),
  });
}

/** GET ?versions: all versions and delete markers, newest first within a key. */
export function listVersions(context: S3Context): Answer {
  const { services, bucketName } = context;
  const encode = urlEncoder(context);
  const bucket = bucketOf(context);
  const options = commonOptions(context, 'max-keys');
  const keyMarker = param(context, 'key-marker') ?? '';
  const versionMarker = param(context, 'version-id-marker') ?? '';
  const after = keyMarker === '' ? undefined : { key: keyMarker, id: markerId(context, keyMarker, versionMarker) };
  const page = services.listing.versions(bucket, { ...options, after });
  const last = page.truncated ? page.last : undefined;
  const lastEntry = last?.id === undefined ? undefined : page.entries.at(-1);
  return document('ListVersionsResult', {
    Name: bucketName,
    Prefix: encode(options.prefix),
    KeyMarker: encode(keyMarker),
    VersionIdMarker: versionMarker,
    NextKeyMarker: last && encode(last.key),
    NextVersionIdMarker: last && (lastEntry?.version ?? ''),
    Delimiter: shown(options.delimiter, encode),
    MaxKeys: options.max,
    EncodingType: param(context, 'encoding-type'),
    IsTruncated: page.truncated,
    Version: page.entries
      .filter((entry) => !entry.marker)
      .map((entry) => ({ ...versionElement(entry, encode), ...contentElements(entry) })),
    DeleteMarker: page.entries.filter((entry) => entry.marker).map((entry) => versionElement(entry, encode)),
    CommonPrefixes: prefixElements(page, encode),
  });
}

function markerId({ services, bucketName }: S3Context, key: string, versionMarker: string): number | undefined {
  if (versionMarker === '') return undefined;
  // The version itself may be gone by now; its number is in its id.
  const id =
    versionMarker === 'null' ? services.objects.find(services.buckets.get(bucketName), key, 'null')?.id : readVersionId(versionMarker);
  if (id === undefined && versionMarker !== 'null')
    throw new S3Error('InvalidArgument', 'Invalid version id specified', {
      details: { ArgumentName: 'version-id-marker', ArgumentValue: versionMarker },
    });
  return id;
}

function commonOptions(context: S3Context, count: string): { prefix: string; delimiter: string; max: number } {
  return { prefix: param(context, 'prefix') ?? '', delimiter: param(context, 'delimiter') ?? '', max: readCount(context, count) };
}

function document(root: string, content: XmlElement): Answer {
  return { status: 200, body: renderXml(root, { '@xmlns': XMLNS, ...content }) };
}

function shown(delimiter: string, encode: Encode): string | undefined {
  return delimiter === '' ? undefined : encode(delimiter);
}

function objectElement(entry: ListedVersion, encode: Encode, withOwner: boolean): XmlElement {
  return {
    Key: encode(entry.key),
    LastModified: new Date(entry.modified).toISOString(),
    ...contentElements(entry),
    ...(withOwner && { Owner: OWNER }),
  };
}

function versionElement(entry: ListedVersion, encode: Encode): XmlElement {
  return {
    Key: encode(entry.key),
    VersionId: entry.version,
    IsLatest: entry.current,
    LastModified: new Date(entry.modified).toISOString(),
    Owner: OWNER,
  };
}

function contentElements(entry: ListedVersion): XmlElement {
  return {
    ETag: `"${entry.etag}"`,
    ChecksumAlgorithm: entry.checksum?.algorithm,
    ChecksumType: entry.checksum?.type,
    Size: entry.size,
    StorageClass: entry.storageClass ?? 'STANDARD',
  };
}

function prefixElements(page: Page<ListedVersion>, encode: Encode): XmlElement[] {
  return page.prefixes.map((prefix) => ({ Prefix: encode(prefix) }));
}

// A continuation token is the key to go on behind, in a form that clients take for opaque.
function writeToken(key: string): string {
  return Buffer.from(`1${key}`).toString('base64');
}

function readToken(token: string): string {
  const text = Buffer.from(token, 'base64').toString('utf8');
  if (text.startsWith('1') && Buffer.from(text).toString('base64') === token) return text.slice(1);
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', { details: { ArgumentName: 'continuation-token' } });
}

import { type Checksum, checksumHeader } from '../checksums.ts';
import type { ObjectAttributes, ObjectVersion } from '../objects.ts';
import { S3Error } from '../s3-error.ts';

// Headers kept with an object and given back with it.
const KEPT = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
  'x-amz-storage-class',
  'x-amz-website-redirect-location',
];

const STORAGE_CLASSES = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'DEEP_ARCHIVE',
  'GLACIER_IR',
  'EXPRESS_ONEZONE',
];

const META = 'x-amz-meta-';
/** AWS' limit for user metadata: the sum of the UTF-8 bytes of names (without prefix) and values. */
const MAX_METADATA_BYTES = 2048;

// A form's fields may hold what no header can: control characters, and names that are no tokens (RFC 9110, 5.6.2). Such an object could never be read.
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is the test for them.
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;
const TOKEN = /^[\w!#$%&'*+.^`|~-]*$/;

/** What a request's headers say is to be kept with the object. Throws S3Error InvalidArgument, MetadataTooLarge, InvalidStorageClass, NotImplemented. */
export function readAttributes(headers: Record<string, string>): ObjectAttributes {
  refuseUnsupported(headers);
  const kept: Record<string, string> = {};
  for (const name of KEPT) {
    const value = name === 'content-encoding' ? withoutAwsChunked(headers[name]) : headers[name];
    if (value === undefined) continue;
    if (CONTROL.test(value)) throw new S3Error('InvalidArgument', `${name} must have no control characters.`);
    kept[name] = value;
  }
  const storageClass = kept['x-amz-storage-class'];
  if (storageClass !== undefined && !STORAGE_CLASSES.includes(storageClass)) throw new S3Error('InvalidStorageClass');
  if (storageClass === 'STANDARD') delete kept['x-amz-storage-class'];
  kept['content-type'] ??= 'binary/octet-stream';
  return { headers: kept, metadata: readMetadata(headers) };
}

function readMetadata(headers: Record<string, string>): Record<string, string> {
  // Without a prototype any name is just a name.
  const metadata: Record<string, string> = Object.create(null);
  let size = 0;
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith(META)) continue;
    const name = header.slice(META.length);
    if (!TOKEN.test(name)) throw new S3Error('InvalidArgument', `${header} is no name that a header can have.`);
    metadata[name] = value.trim();
    size += Buffer.byteLength(name) + Buffer.byteLength(value.trim());
  }
  if (size > MAX_METADATA_BYTES) {
    throw new S3Error('MetadataTooLarge', undefined, { details: { Size: String(size), MaxSizeAllowed: String(MAX_METADATA_BYTES) } });
  }
  return metadata;
}

// Nothing that changes what is stored, or who may read it, is ever ignored in silence.
const UNSUPPORTED = /^x-amz-(?:copy-source-server-side-|object-lock-|server-side-encryption-|tagging$|grant-|write-offset-bytes$|rename-)/;
const ACLS = ['private', 'bucket-owner-full-control'];

function refuseUnsupported(headers: Record<string, string>): void {
  for (const name of Object.keys(headers)) {
    if (UNSUPPORTED.test(name))
      throw new S3Error('NotImplemented', `The header ${name} implies functionality that this local store does not have.`);
  }
  const encryption = headers['x-amz-server-side-encryption'];
  if (encryption !== undefined && encryption !== 'AES256') {
    throw new S3Error(
      'NotImplemented',
      `x-amz-server-side-encryption: ${encryption} implies functionality that this local store does not have.`,
    );
  }
  const acl = headers['x-amz-acl'];
  if (acl !== undefined && !ACLS.includes(acl)) throw new S3Error('AccessControlListNotSupported');
}

function withoutAwsChunked(encoding: string | undefined): string | undefined {
  const left = encoding
    ?.split(',')
    .map((part) => part.trim())
    .filter((part) => part !== 'aws-chunked' && part !== '');
  return left && left.length > 0 ? left.join(',') : undefined;
}

/** The headers of an answer that shows an object. `versioned`: whether the bucket ever had versions. */
export function objectHeaders(object: ObjectVersion, versioned: boolean): Record<string, string> {
  const { attributes } = object;
  const headers: Record<string, string> = {
    ...Object.fromEntries(Object.entries(attributes.headers).map(([name, value]) => [name, headerBytes(value)])),
    'accept-ranges': 'bytes',
    etag: `"${object.etag}"`,
    'last-modified': httpDate(object.modified),
  };
  for (const [name, value] of Object.entries(attributes.metadata)) headers[META + name] = headerText(value);
  if (versioned) headers['x-amz-version-id'] = object.version;
  return headers;
}

/** The header of a checksum, with its type. */
export function checksumHeaders(checksum: Checksum | undefined): Record<string, string> {
  if (!checksum) return {};
  return { [checksumHeader(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type };
}

/** The element of a checksum in an XML document. */
export function checksumElements(checksum: Checksum | undefined): Record<string, string> {
  return checksum ? { [`Checksum${checksum.algorithm}`]: checksum.value } : {};
}

/** A moment as HTTP headers spell it, in whole seconds. */
export function httpDate(time: number): string {
  return new Date(time).toUTCString();
}

// The reverse of how requests are read (http-request.ts): Node writes each character as one byte, so UTF-8 goes out byte by byte.
function headerBytes(value: string): string {
  return Buffer.from(value).toString('latin1');
}

function headerText(value: string): string {
  // S3 gives values beyond ASCII back in the encoding of RFC 2047 (S3 user guide, "User-defined object metadata").
  if (/^[\t\x20-\x7e]*$/.test(value)) return value;
  return `=?UTF-8?B?${Buffer.from(value).toString('base64')}?=`;
}

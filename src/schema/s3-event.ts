// What arrives in the queue, whoever sent it: plain S3, S3 through SNS, EventBridge, MinIO's webhook and Ceph's
// notifications become one list of created objects (s3sqs.md §2.1, §2.8).
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { nestsDeeperThan } from './json-nesting.ts';

/** Bytes of UTF-8; an SQS message has at most 1 MiB. */
export const MAX_EVENT_BYTES = 1_048_576;

/** No sender nests deeper than 7; JSON.parse takes a quarter of a second for a megabyte of brackets. */
const MAX_EVENT_DEPTH = 64;

export interface ObjectCreated {
  readonly bucket: string;
  /** Decoded: as clients name it. */
  readonly key: string;
  /** Absent for a bucket that is not versioned. */
  readonly versionId?: string;
  /** Without quotes. */
  readonly etag?: string;
  /** Bytes. */
  readonly size?: number;
  /** Orders the events of one key; hexadecimal digits. */
  readonly sequencer?: string;
  /** Without the `s3:` that some senders write: `ObjectCreated:Put`. */
  readonly eventName: string;
  /** Milliseconds since 1970. */
  readonly time?: number;
  readonly region?: string;
}

interface SkippedRecord {
  readonly reason: string;
}

export type ParsedEvents =
  | { readonly kind: 'events'; readonly events: readonly ObjectCreated[]; readonly skipped: readonly SkippedRecord[] }
  | { readonly kind: 'test' }
  | { readonly kind: 'invalid'; readonly fault: string };

// Unknown members are allowed everywhere, and those that we can do without are read leniently (Unknown): a
// notification of a later minor version must still be understood.
const Optional = Type.Optional(Type.Unknown());
const Bucket = Type.Object({ name: Type.String({ minLength: 1 }) });
const S3Message = Compile(Type.Object({ Records: Type.Array(Type.Unknown()) }));
const TestMessage = Compile(Type.Object({ Event: Type.Literal('s3:TestEvent') }));
const SnsMessage = Compile(Type.Object({ Type: Type.String(), TopicArn: Type.String(), Message: Type.String() }));
const S3Record = Type.Object({
  eventVersion: Type.String(),
  eventSource: Type.String(),
  eventName: Type.String(),
  eventTime: Optional,
  awsRegion: Optional,
  s3: Type.Object({
    bucket: Bucket,
    object: Type.Object({ key: Type.String({ minLength: 1 }), versionId: Optional, eTag: Optional, size: Optional, sequencer: Optional }),
  }),
});
const S3RecordCheck = Compile(S3Record);
const BridgeMessage = Type.Object({
  'detail-type': Type.String(),
  source: Type.String(),
  time: Optional,
  region: Optional,
  detail: Type.Object({
    bucket: Bucket,
    object: Type.Object({
      key: Type.String({ minLength: 1 }),
      'version-id': Optional,
      etag: Optional,
      size: Optional,
      sequencer: Optional,
    }),
    reason: Optional,
  }),
});
const BridgeCheck = Compile(BridgeMessage);
const BridgeShape = Compile(Type.Object({ 'detail-type': Type.String(), detail: Type.Unknown() }));

/** EventBridge's `reason` in the words of S3 notifications. */
const REASONS: ReadonlyMap<unknown, string> = new Map([
  ['PutObject', 'Put'],
  ['POST Object', 'Post'],
  ['CopyObject', 'Copy'],
  ['CompleteMultipartUpload', 'CompleteMultipartUpload'],
]);

/**
 * Reads the body of a queue message. A record that is no creation, or that we cannot read, is skipped with a reason
 * and never takes the others with it; `invalid` says that the body as a whole is no notification. Never throws.
 */
export function parseEvents(body: string): ParsedEvents {
  if (isTooLarge(body)) return invalid(`found more than ${MAX_EVENT_BYTES} bytes, expected an S3 notification of at most that size`);
  return readMessage(body, 'the message');
}

function isTooLarge(body: string): boolean {
  return body.length > MAX_EVENT_BYTES || new TextEncoder().encode(body).length > MAX_EVENT_BYTES;
}

function readMessage(body: string, where: string): ParsedEvents {
  if (nestsDeeperThan(body, MAX_EVENT_DEPTH))
    return invalid(`${where}: found JSON nested deeper than ${MAX_EVENT_DEPTH} levels, expected an S3 notification`);
  let message: unknown;
  try {
    message = JSON.parse(body);
  } catch (error) {
    return invalid(`${where}: found no JSON (${error instanceof Error ? error.message : String(error)}), expected an S3 notification`);
  }
  if (TestMessage.Check(message)) return { kind: 'test' };
  if (S3Message.Check(message)) return collect(message.Records.map((record, at) => readRecord(record, `Records[${at}]`)));
  if (BridgeShape.Check(message)) return collect([readBridge(message)]);
  // One level only: SNS does not wrap itself.
  if (SnsMessage.Check(message) && where === 'the message') {
    if (message.Type !== 'Notification')
      return invalid(`${where}: found an SNS message of type ${quote(message.Type)}, expected Notification`);
    return readMessage(message.Message, 'Message of the SNS notification');
  }
  return invalid(
    `${where}: found ${describe(message)}, expected an S3 notification with Records, an EventBridge event or an SNS notification of one`,
  );
}

function collect(read: readonly (ObjectCreated | SkippedRecord)[]): ParsedEvents {
  const events: ObjectCreated[] = [];
  const skipped: SkippedRecord[] = [];
  for (const one of read) {
    if ('reason' in one) skipped.push(one);
    else events.push(one);
  }
  return { kind: 'events', events, skipped };
}

function readRecord(record: unknown, where: string): ObjectCreated | SkippedRecord {
  if (!S3RecordCheck.Check(record)) {
    const [first] = S3RecordCheck.Errors(record);
    return { reason: `${where}: not an S3 record: ${first?.instancePath ?? ''} ${first?.message ?? ''}`.trimEnd() };
  }
  if (!/(^|:)s3$/.test(record.eventSource)) return { reason: `${where}: not from S3: the event source is ${quote(record.eventSource)}` };
  // Minor versions add members only (S3 User Guide, event message structure).
  if (!/^2(\.|$)/.test(record.eventVersion)) return { reason: `${where}: event version ${quote(record.eventVersion)}, expected 2.x` };
  const eventName = record.eventName.replace(/^s3:/, '');
  if (!eventName.startsWith('ObjectCreated:')) return { reason: `${where}: not a creation: ${clip(eventName)}` };
  const { bucket, object } = record.s3;
  const key = decodeKey(object.key);
  if (key === undefined) return { reason: `${where}: the key ${quote(object.key)} is not form-url-encoded` };
  return created({
    bucket: bucket.name,
    key,
    eventName,
    versionId: object.versionId,
    etag: object.eTag,
    size: object.size,
    sequencer: object.sequencer,
    time: record.eventTime,
    region: record.awsRegion,
  });
}

function readBridge(message: unknown): ObjectCreated | SkippedRecord {
  const where = 'EventBridge event';
  if (!BridgeCheck.Check(message)) {
    const [first] = BridgeCheck.Errors(message);
    return { reason: `${where}: not an S3 event: ${first?.instancePath ?? ''} ${first?.message ?? ''}`.trimEnd() };
  }
  if (message.source !== 'aws.s3') return { reason: `${where}: not from S3: the source is ${quote(message.source)}` };
  if (message['detail-type'] !== 'Object Created') return { reason: `${where}: not a creation: ${clip(message['detail-type'])}` };
  const { bucket, object, reason } = message.detail;
  return created({
    bucket: bucket.name,
    // EventBridge does not encode keys.
    key: object.key,
    eventName: `ObjectCreated:${REASONS.get(reason) ?? 'Put'}`,
    versionId: object['version-id'],
    etag: object.etag,
    size: object.size,
    sequencer: object.sequencer,
    time: message.time,
    region: message.region,
  });
}

/** Keeps of the optional members those that are what they should be. */
function created(from: {
  bucket: string;
  key: string;
  eventName: string;
  versionId: unknown;
  etag: unknown;
  size: unknown;
  sequencer: unknown;
  time: unknown;
  region: unknown;
}): ObjectCreated {
  const time = typeof from.time === 'string' ? Date.parse(from.time) : Number.NaN;
  const etag = typeof from.etag === 'string' ? from.etag.replace(/^"(.*)"$/, '$1') : '';
  return {
    bucket: from.bucket,
    key: from.key,
    eventName: from.eventName,
    // MinIO writes an empty version id for a bucket that is not versioned.
    ...(isText(from.versionId) && { versionId: from.versionId }),
    ...(etag !== '' && { etag }),
    ...(typeof from.size === 'number' && Number.isSafeInteger(from.size) && from.size >= 0 && { size: from.size }),
    ...(isText(from.sequencer) && { sequencer: from.sequencer }),
    ...(Number.isFinite(time) && { time }),
    ...(isText(from.region) && { region: from.region }),
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** S3 encodes keys as HTML forms do: `red flower.jpg` is `red+flower.jpg`. Undefined for a broken escape. */
function decodeKey(key: string): string | undefined {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    // The caller names the key that is broken.
    return undefined;
  }
}

function invalid(fault: string): ParsedEvents {
  return { kind: 'invalid', fault };
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value === null || typeof value !== 'object') return value === null ? 'null' : `a ${typeof value}`;
  const names = Object.keys(value);
  return names.length === 0 ? 'an empty object' : `an object with ${names.slice(0, 5).map(clip).join(', ')}`;
}

function quote(value: string): string {
  return JSON.stringify(clip(value));
}

function clip(value: string): string {
  return (value.length > 100 ? `${value.slice(0, 100)}…` : value).toWellFormed();
}

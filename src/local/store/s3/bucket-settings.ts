import type { BucketSetting } from '../buckets.ts';
import { readCorsRules } from '../cors.ts';
import { receiveText } from '../receive-body.ts';
import { S3Error, type S3ErrorCode } from '../s3-error.ts';
import { parseXml, renderXml } from '../xml.ts';
import { type Answer, authorize, bucketOf, param, type S3Context } from './context.ts';

/** A document that a bucket keeps: how it is called in errors, its root element (none: JSON), its limit in bytes. */
type SettingKind = {
  kind: BucketSetting;
  missing: S3ErrorCode;
  root?: string;
  limit: number;
  putStatus: number;
  /** Whether a document of this kind says only what the store obeys. */
  check?: (text: string) => boolean;
};

const kinds = {
  lifecycle: {
    kind: 'lifecycle',
    missing: 'NoSuchLifecycleConfiguration',
    root: 'LifecycleConfiguration',
    limit: 512 * 1024,
    putStatus: 200,
  },
  publicAccessBlock: {
    kind: 'publicAccessBlock',
    missing: 'NoSuchPublicAccessBlockConfiguration',
    root: 'PublicAccessBlockConfiguration',
    limit: 16 * 1024,
    putStatus: 200,
  },
  // AWS' limit for a CORS configuration is 64 KB. The store obeys this one (cors.ts).
  cors: {
    kind: 'cors',
    missing: 'NoSuchCORSConfiguration',
    root: 'CORSConfiguration',
    limit: 64 * 1024,
    putStatus: 200,
    check: (text) => readCorsRules(text) !== undefined,
  },
  // AWS' limit for a bucket policy is 20 KB.
  policy: { kind: 'policy', missing: 'NoSuchBucketPolicy', limit: 20 * 1024, putStatus: 204 },
} as const satisfies Record<string, SettingKind>;

type Kind = keyof typeof kinds;

/** GET of a setting: the document as it was put. */
export function getSetting(kind: Kind): (context: S3Context) => Answer {
  return (context) => {
    const rule: SettingKind = kinds[kind];
    const body = context.services.buckets.setting(bucketOf(context), rule.kind);
    if (body === undefined) throw new S3Error(rule.missing, undefined, { details: { BucketName: context.bucketName } });
    return { status: 200, headers: { 'content-type': rule.root ? 'application/xml' : 'application/json' }, body: Buffer.from(body) };
  };
}

/** PUT of a setting: kept when it is a document of the right kind. The local store acts on CORS rules alone. */
export function putSetting(kind: Kind): (context: S3Context) => Promise<Answer> {
  return async (context) => {
    const rule: SettingKind = kinds[kind];
    // refused before its body comes
    bucketOf(context);
    context.welcomeBody();
    const { text } = await receiveText(context, rule.limit);
    if (rule.root ? !isDocument(text, rule.root) || rule.check?.(text) === false : !isPolicy(text))
      throw new S3Error(rule.root ? 'MalformedXML' : 'MalformedPolicy');
    context.services.buckets.setSetting(bucketOf(context), rule.kind, text);
    return { status: rule.putStatus };
  };
}

/** DELETE of a setting; there being none is a success. */
export function deleteSetting(kind: Kind): (context: S3Context) => Answer {
  return (context) => {
    context.services.buckets.setSetting(bucketOf(context), kinds[kind].kind, undefined);
    return { status: 204 };
  };
}

function isDocument(text: string, root: string): boolean {
  const parsed = parseXml(text);
  return parsed instanceof Object && root in parsed;
}

function isPolicy(text: string): boolean {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed instanceof Object && 'Statement' in parsed;
  } catch {
    return false;
  }
}

/** GET ?tagging of an object: objects here have no tags, and writing them is refused. */
export function getObjectTagging(context: S3Context): Answer {
  const bucket = bucketOf(context);
  const versionId = param(context, 'versionId');
  authorize(
    context.credential,
    versionId === undefined ? 's3:GetObjectTagging' : 's3:GetObjectVersionTagging',
    `${bucket.name}/${context.key}`,
  );
  const object = context.services.objects.find(bucket, context.key, versionId);
  if (!object || object.marker)
    throw new S3Error(versionId === undefined ? 'NoSuchKey' : 'NoSuchVersion', undefined, { details: { Key: context.key } });
  return {
    status: 200,
    headers: { ...(bucket.versioning !== undefined && { 'x-amz-version-id': object.version }) },
    body: renderXml('Tagging', { '@xmlns': 'http://s3.amazonaws.com/doc/2006-03-01/', TagSet: '' }),
  };
}

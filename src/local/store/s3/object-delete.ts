import { setImmediate } from 'node:timers/promises';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { S3Error } from '../s3-error.ts';
import { renderXml, type XmlElement } from '../xml.ts';
import { writePrecondition } from './conditions.ts';
import { type Answer, authorize, bucketOf, param, readXmlBody, type S3Context } from './context.ts';

const Named = Type.Object(
  { Key: Type.String({ minLength: 1 }), VersionId: Type.Optional(Type.String()), ETag: Type.Optional(Type.String()) },
  { additionalProperties: true },
);
const document = Compile(
  Type.Object({
    Delete: Type.Object({ Object: Type.Union([Named, Type.Array(Named, { maxItems: 1000 })]), Quiet: Type.Optional(Type.String()) }),
  }),
);
// 1,000 keys of 1,024 bytes, at worst written as character numbers.
const MAX_BODY = 8 * 1024 * 1024;
// Between batches of a long list others get their turn.
const BATCH = 100;

/** DELETE of an object: a delete marker, or one version for good. Deleting what is not there is a success, as on AWS. */
export function deleteObject(context: S3Context): Answer {
  const { services, key, requester, headers } = context;
  const bucket = bucketOf(context);
  const versionId = param(context, 'versionId');
  authorize(context.credential, actionFor(versionId), `${bucket.name}/${key}`);
  const removed = services.objects.remove(bucket, key, requester, { versionId, precondition: writePrecondition(headers) });
  return {
    status: 204,
    headers: {
      ...(removed.deleteMarker && { 'x-amz-delete-marker': 'true' }),
      ...(removed.versionId !== undefined && { 'x-amz-version-id': removed.versionId }),
    },
  };
}

/** POST ?delete: up to 1,000 deletions, each with its own result. */
export async function deleteObjects(context: S3Context): Promise<Answer> {
  // refused before its body comes
  bucketOf(context);
  const parsed = await readXmlBody(context, { limit: MAX_BODY, digestRequired: true });
  let bucket = bucketOf(context);
  if (!document.Check(parsed)) throw new S3Error('MalformedXML');
  const { Object: objects, Quiet: quiet } = parsed.Delete;
  const deleted: XmlElement[] = [];
  const errors: XmlElement[] = [];
  for (const [index, target] of (Array.isArray(objects) ? objects : [objects]).entries()) {
    if (index % BATCH === BATCH - 1) {
      await setImmediate();
      bucket = bucketOf(context);
    }
    const { Key: key, VersionId: versionId } = target;
    try {
      authorize(context.credential, actionFor(versionId), `${bucket.name}/${key}`);
      const condition = target.ETag === undefined ? undefined : writePrecondition({ 'if-match': target.ETag });
      const removed = context.services.objects.remove(bucket, key, context.requester, { versionId, precondition: condition });
      deleted.push({
        Key: key,
        VersionId: versionId,
        ...(removed.deleteMarker && { DeleteMarker: true, DeleteMarkerVersionId: removed.versionId }),
      });
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      errors.push({ Key: key, VersionId: versionId, Code: error.code, Message: error.message });
    }
  }
  const shown = quiet?.trim().toLowerCase() === 'true' ? [] : deleted;
  return {
    status: 200,
    body: renderXml('DeleteResult', { '@xmlns': 'http://s3.amazonaws.com/doc/2006-03-01/', Deleted: shown, Error: errors }),
  };
}

function actionFor(versionId: string | undefined): string {
  return versionId === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion';
}

import { S3Error } from '../s3-error.ts';
import { createBucket, deleteBucket, getLocation, getVersioning, headBucket, listBuckets, putVersioning } from './bucket-operations.ts';
import { deleteSetting, getObjectTagging, getSetting, putSetting } from './bucket-settings.ts';
import { type Answer, authorize, type S3Context } from './context.ts';
import { listObjects, listVersions } from './lists.ts';
import { abortUpload, createUpload, listParts, listUploads, uploadPart } from './multipart.ts';
import { completeUpload } from './multipart-complete.ts';
import { getNotification, putNotification } from './notification.ts';
import { copyObject, uploadPartCopy } from './object-copy.ts';
import { deleteObject, deleteObjects } from './object-delete.ts';
import { getObject, headObject } from './object-read.ts';
import { putObject } from './object-write.ts';

/** One operation of S3: how a request for it looks, what right it needs, what does it. */
type Route = {
  method: string;
  about: 'service' | 'bucket' | 'object';
  /** The query parameter that makes a request this operation's; without one it is the plain method. */
  subresource?: string;
  /** Further query parameters that the operation knows. Any other is answered 501. */
  params?: string[];
  /** The request header that makes a request this operation's. */
  header?: string;
  /** The right that is asked for before the operation starts; operations without one ask themselves. */
  action?: string;
  run: (context: S3Context) => Answer | Promise<Answer>;
};

const RESPONSE_PARAMS = ['content-type', 'content-language', 'expires', 'cache-control', 'content-disposition', 'content-encoding'].map(
  (name) => `response-${name}`,
);

const LIST_PARAMS = ['prefix', 'delimiter', 'encoding-type'];
const READ_PARAMS = ['versionId', 'partNumber', ...RESPONSE_PARAMS];

const serviceRoutes: Route[] = [
  { method: 'GET', about: 'service', params: ['max-buckets', 'continuation-token', 'prefix', 'bucket-region'], run: listBuckets },
];

const bucketRoutes: Route[] = [
  { method: 'PUT', about: 'bucket', action: 's3:CreateBucket', run: createBucket },
  { method: 'HEAD', about: 'bucket', action: 's3:ListBucket', run: headBucket },
  { method: 'DELETE', about: 'bucket', action: 's3:DeleteBucket', run: deleteBucket },
  {
    method: 'GET',
    about: 'bucket',
    params: [...LIST_PARAMS, 'list-type', 'max-keys', 'marker', 'start-after', 'continuation-token', 'fetch-owner'],
    action: 's3:ListBucket',
    run: listObjects,
  },
  {
    method: 'GET',
    about: 'bucket',
    subresource: 'versions',
    params: [...LIST_PARAMS, 'max-keys', 'key-marker', 'version-id-marker'],
    action: 's3:ListBucketVersions',
    run: listVersions,
  },
  {
    method: 'GET',
    about: 'bucket',
    subresource: 'uploads',
    params: [...LIST_PARAMS, 'max-uploads', 'key-marker', 'upload-id-marker'],
    action: 's3:ListBucketMultipartUploads',
    run: listUploads,
  },
  { method: 'POST', about: 'bucket', subresource: 'delete', run: deleteObjects },
  { method: 'GET', about: 'bucket', subresource: 'location', action: 's3:GetBucketLocation', run: getLocation },
  { method: 'GET', about: 'bucket', subresource: 'versioning', action: 's3:GetBucketVersioning', run: getVersioning },
  { method: 'PUT', about: 'bucket', subresource: 'versioning', action: 's3:PutBucketVersioning', run: putVersioning },
  { method: 'GET', about: 'bucket', subresource: 'notification', action: 's3:GetBucketNotification', run: getNotification },
  { method: 'PUT', about: 'bucket', subresource: 'notification', action: 's3:PutBucketNotification', run: putNotification },
  { method: 'GET', about: 'bucket', subresource: 'lifecycle', action: 's3:GetLifecycleConfiguration', run: getSetting('lifecycle') },
  { method: 'PUT', about: 'bucket', subresource: 'lifecycle', action: 's3:PutLifecycleConfiguration', run: putSetting('lifecycle') },
  { method: 'DELETE', about: 'bucket', subresource: 'lifecycle', action: 's3:PutLifecycleConfiguration', run: deleteSetting('lifecycle') },
  { method: 'GET', about: 'bucket', subresource: 'cors', action: 's3:GetBucketCORS', run: getSetting('cors') },
  { method: 'PUT', about: 'bucket', subresource: 'cors', action: 's3:PutBucketCORS', run: putSetting('cors') },
  { method: 'DELETE', about: 'bucket', subresource: 'cors', action: 's3:PutBucketCORS', run: deleteSetting('cors') },
  { method: 'GET', about: 'bucket', subresource: 'policy', action: 's3:GetBucketPolicy', run: getSetting('policy') },
  { method: 'PUT', about: 'bucket', subresource: 'policy', action: 's3:PutBucketPolicy', run: putSetting('policy') },
  { method: 'DELETE', about: 'bucket', subresource: 'policy', action: 's3:DeleteBucketPolicy', run: deleteSetting('policy') },
  {
    method: 'GET',
    about: 'bucket',
    subresource: 'publicAccessBlock',
    action: 's3:GetBucketPublicAccessBlock',
    run: getSetting('publicAccessBlock'),
  },
  {
    method: 'PUT',
    about: 'bucket',
    subresource: 'publicAccessBlock',
    action: 's3:PutBucketPublicAccessBlock',
    run: putSetting('publicAccessBlock'),
  },
  {
    method: 'DELETE',
    about: 'bucket',
    subresource: 'publicAccessBlock',
    action: 's3:PutBucketPublicAccessBlock',
    run: deleteSetting('publicAccessBlock'),
  },
];

const objectRoutes: Route[] = [
  { method: 'GET', about: 'object', params: READ_PARAMS, run: getObject },
  { method: 'HEAD', about: 'object', params: READ_PARAMS, run: headObject },
  { method: 'PUT', about: 'object', action: 's3:PutObject', run: putObject },
  { method: 'PUT', about: 'object', header: 'x-amz-copy-source', action: 's3:PutObject', run: copyObject },
  { method: 'DELETE', about: 'object', params: ['versionId'], run: deleteObject },
  { method: 'GET', about: 'object', subresource: 'tagging', params: ['versionId'], run: getObjectTagging },
  { method: 'POST', about: 'object', subresource: 'uploads', action: 's3:PutObject', run: createUpload },
  { method: 'PUT', about: 'object', subresource: 'uploadId', params: ['partNumber'], action: 's3:PutObject', run: uploadPart },
  {
    method: 'PUT',
    about: 'object',
    subresource: 'uploadId',
    params: ['partNumber'],
    header: 'x-amz-copy-source',
    action: 's3:PutObject',
    run: uploadPartCopy,
  },
  { method: 'POST', about: 'object', subresource: 'uploadId', action: 's3:PutObject', run: completeUpload },
  { method: 'DELETE', about: 'object', subresource: 'uploadId', action: 's3:AbortMultipartUpload', run: abortUpload },
  {
    method: 'GET',
    about: 'object',
    subresource: 'uploadId',
    params: ['max-parts', 'part-number-marker', 'encoding-type'],
    action: 's3:ListMultipartUploadParts',
    run: listParts,
  },
];

const routes = { service: serviceRoutes, bucket: bucketRoutes, object: objectRoutes };

/** Finds and does the operation that a verified request asks for. Throws S3Error NotImplemented when the store has none. */
export async function runS3(context: S3Context): Promise<Answer> {
  const route = findRoute(context);
  if (route.action)
    authorize(context.credential, route.action, route.about === 'object' ? `${context.bucketName}/${context.key}` : context.bucketName);
  return await route.run(context);
}

function findRoute({ method, bucketName, key, query, headers }: S3Context): Route {
  const about = bucketName === '' ? 'service' : key === '' ? 'bucket' : 'object';
  const params = Object.keys(query).filter((name) => !isSignature(name));
  const candidates = routes[about].filter(
    (route) =>
      route.method === method &&
      (route.subresource === undefined || params.includes(route.subresource)) &&
      (route.header === undefined || headers[route.header] !== undefined),
  );
  // The most particular operation wins; then every parameter must be one that it knows, so that none falls through.
  const [best] = candidates.sort((left, right) => weight(right) - weight(left));
  if (!best)
    throw new S3Error(
      'NotImplemented',
      `${method} of ${about === 'object' ? 'an object' : `a ${about}`} is not implemented by this local store.`,
    );
  const known = [best.subresource, ...(best.params ?? [])];
  const unknown = params.find((name) => !known.includes(name));
  if (unknown === undefined) return best;
  throw new S3Error(
    'NotImplemented',
    `${method} with the query parameter ${JSON.stringify(unknown)} is not implemented by this local store.`,
  );
}

function weight(route: Route): number {
  return (route.subresource === undefined ? 0 : 2) + (route.header === undefined ? 0 : 1);
}

// Parameters of the signature itself, headers hoisted into a presigned address, and the SDK's own note of the operation's name.
function isSignature(name: string): boolean {
  return /^x-amz-/i.test(name) || name === 'x-id';
}

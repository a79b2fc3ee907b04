import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { ACCOUNT_ID } from '../credentials.ts';
import { S3Error } from '../s3-error.ts';
import { renderXml } from '../xml.ts';
import { type Answer, bucketOf, mayDo, param, readXmlBody, type S3Context } from './context.ts';
import { readCount } from './list-parameters.ts';

const XMLNS = 'http://s3.amazonaws.com/doc/2006-03-01/';
const location = Compile(
  Type.Object({
    CreateBucketConfiguration: Type.Union([Type.String(), Type.Object({ LocationConstraint: Type.Optional(Type.String()) })]),
  }),
);
const versioning = Compile(
  Type.Object({
    VersioningConfiguration: Type.Object({
      Status: Type.Union([Type.Literal('Enabled'), Type.Literal('Suspended')]),
      MfaDelete: Type.Optional(Type.Literal('Disabled')),
    }),
  }),
);
const SMALL = 64 * 1024;

/** GET /: the buckets that the credential may see, in pages when `max-buckets` asks for them. */
export function listBuckets(context: S3Context): Answer {
  const { services, credential } = context;
  const prefix = param(context, 'prefix') ?? '';
  const token = param(context, 'continuation-token');
  const after = token === undefined ? '' : Buffer.from(token, 'base64').toString('utf8');
  const max = param(context, 'max-buckets') === undefined ? Number.POSITIVE_INFINITY : readCount(context, 'max-buckets');
  const mine = services.buckets
    .list()
    .filter(({ name }) => name > after && name.startsWith(prefix))
    .filter(({ name }) => mayDo(credential, 's3:ListBucket', name) || mayDo(credential, 's3:ListAllMyBuckets', name));
  const page = mine.slice(0, max);
  const last = page.at(-1);
  const body = renderXml('ListAllMyBucketsResult', {
    '@xmlns': XMLNS,
    Owner: { ID: ACCOUNT_ID, DisplayName: 'autofiles-local' },
    Buckets: { Bucket: page.map(({ name, created }) => ({ Name: name, CreationDate: new Date(created).toISOString() })) },
    ContinuationToken: mine.length > page.length && last ? Buffer.from(last.name).toString('base64') : undefined,
    Prefix: prefix === '' ? undefined : prefix,
  });
  return { status: 200, body };
}

/** PUT of a bucket. */
export async function createBucket(context: S3Context): Promise<Answer> {
  const { services, headers, bucketName } = context;
  if (headers['x-amz-acl'] !== undefined && headers['x-amz-acl'] !== 'private') throw new S3Error('AccessControlListNotSupported');
  if (headers['x-amz-bucket-object-lock-enabled'] !== undefined)
    throw new S3Error('NotImplemented', 'This local store has no object lock.');
  if (headers['content-length'] !== undefined && headers['content-length'] !== '0')
    checkLocation(await readXmlBody(context, { limit: SMALL }), services.region);
  const known = services.buckets.find(bucketName);
  // As S3 in us-east-1: making one's own bucket again is a success there, an error elsewhere.
  if (!known || services.region !== 'us-east-1') services.buckets.create(bucketName);
  return { status: 200, headers: { location: `/${bucketName}` } };
}

function checkLocation(parsed: unknown, region: string): void {
  if (!location.Check(parsed)) throw new S3Error('MalformedXML');
  const { CreateBucketConfiguration: configuration } = parsed;
  const wanted = (typeof configuration === 'string' ? undefined : configuration.LocationConstraint) ?? 'us-east-1';
  if (wanted === region) return;
  throw new S3Error(
    'IllegalLocationConstraintException',
    `The ${wanted} location constraint is incompatible with this store, which plays the region ${region}.`,
  );
}

/** HEAD of a bucket. */
export function headBucket(context: S3Context): Answer {
  bucketOf(context);
  return { status: 200, headers: { 'x-amz-bucket-region': context.services.region, 'x-amz-access-point-alias': 'false' } };
}

/** DELETE of a bucket, which must be empty. */
export function deleteBucket(context: S3Context): Answer {
  const { buckets, uploads } = context.services;
  const bucket = bucketOf(context);
  buckets.remove(bucket, () => uploads.dropAll(bucket));
  return { status: 204 };
}

/** GET ?location. */
export function getLocation(context: S3Context): Answer {
  bucketOf(context);
  const { region } = context.services;
  // us-east-1 is spelled as nothing (S3 API reference, GetBucketLocation).
  return { status: 200, body: renderXml('LocationConstraint', { '@xmlns': XMLNS, '#text': region === 'us-east-1' ? '' : region }) };
}

/** GET ?versioning. */
export function getVersioning(context: S3Context): Answer {
  return { status: 200, body: renderXml('VersioningConfiguration', { '@xmlns': XMLNS, Status: bucketOf(context).versioning }) };
}

/** PUT ?versioning. */
export async function putVersioning(context: S3Context): Promise<Answer> {
  // refused before its body comes
  bucketOf(context);
  const parsed = await readXmlBody(context, { limit: SMALL });
  if (!versioning.Check(parsed)) throw new S3Error('MalformedXML');
  context.services.buckets.setVersioning(bucketOf(context), parsed.VersioningConfiguration.Status);
  return { status: 200 };
}

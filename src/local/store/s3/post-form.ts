// POST of a form: a browser's upload, signed by the policy inside the form (S3 API reference, "POST Object" and "POST policy").
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Busboy, type BusboyFileStream, type BusboyHeaders, type BusboyInstance } from '@fastify/busboy';
import type { Requester } from '../events.ts';
import { S3Error } from '../s3-error.ts';
import type { Verifier } from '../sigv4.ts';
import { renderXml } from '../xml.ts';
import { type Answer, authorize, refuseLongKey, type S3Services } from './context.ts';
import { readAttributes } from './object-headers.ts';
import { checkPolicy, type FormFields, sizesOf } from './post-policy.ts';

/** AWS allows 20 KB of a form before the file. */
const MAX_FIELDS_BYTES = 20_480;
const MAX_FIELDS = 100;

export interface PostForm {
  readonly services: S3Services;
  readonly verifier: Verifier;
  readonly req: IncomingMessage;
  readonly bucketName: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly requester: Omit<Requester, 'principalId'>;
  readonly welcomeBody: () => void;
}

/** Stores the file of the form under the key of the form. Throws S3Error; nothing is kept then. */
export async function postForm(form: PostForm): Promise<Answer> {
  const { services, verifier, req, bucketName, headers, requester } = form;
  const parser = parserOf({ ...req.headers, 'content-type': headers['content-type'] ?? '' });
  form.welcomeBody();
  let file: BusboyFileStream | undefined;
  try {
    const found = await fieldsBeforeFile(req, parser);
    const { fields, filename } = found;
    file = found.file;
    const key = (fields.get('key') ?? '').replace(/\$\{filename\}/g, () => filename);
    if (key === '') throw new S3Error('InvalidArgument', 'Bucket POST must contain a field named "key". It must come before the file.');
    const credential = await verifier.verifyForm({
      algorithm: fields.get('x-amz-algorithm') ?? '',
      credential: fields.get('x-amz-credential') ?? '',
      date: fields.get('x-amz-date') ?? '',
      sessionToken: fields.get('x-amz-security-token'),
      policy: fields.get('policy') ?? '',
      signature: fields.get('x-amz-signature') ?? '',
    });
    refuseLongKey(key);
    const policy = checkPolicy(fields, { bucket: bucketName, now: services.now() });
    authorize(credential, 's3:PutObject', `${bucketName}/${key}`);
    // refused before its file comes
    services.buckets.get(bucketName);
    const attributes = readAttributes(asHeaders(fields));
    const { staged, etag } = await receiveFile(services, file, sizesOf(policy));
    let versionId: string | undefined;
    try {
      ({ versionId } = services.objects.put(
        // it may have gone while the file came
        services.buckets.get(bucketName),
        { key, body: { staged }, etag, size: staged.size, attributes },
        { event: 'ObjectCreated:Post', requester: { ...requester, principalId: credential.userId }, precondition: undefined },
      ));
    } catch (error) {
      await services.blobs.discard(staged);
      throw error;
    }
    return success(fields, {
      bucket: bucketName,
      key,
      etag,
      versionId,
      location: `http://${headers['host']}/${bucketName}/${encodeURIComponent(key)}`,
    });
  } finally {
    // what is left of the form is read and dropped, so that the answer is read by a client that still sends
    file?.resume();
    if (!req.complete) req.resume();
  }
}

function parserOf(headers: BusboyHeaders): BusboyInstance {
  try {
    return new Busboy({
      headers,
      limits: { fieldSize: MAX_FIELDS_BYTES, fields: MAX_FIELDS, files: 1, parts: MAX_FIELDS + 1 },
      // a text field may come with a content type, but only the field `file` is the file
      isPartAFile: (name) => name === 'file',
      preservePath: true,
    });
  } catch {
    // a form without a boundary
    throw new S3Error('MalformedPOSTRequest');
  }
}

/** Everything before the file; S3 ignores fields that come after it. */
async function fieldsBeforeFile(
  req: IncomingMessage,
  parser: BusboyInstance,
): Promise<{ fields: FormFields; file: BusboyFileStream; filename: string }> {
  const fields = new Map<string, string>();
  return await new Promise((resolve, reject) => {
    let size = 0;
    let file: BusboyFileStream | undefined;
    const fail = (error: S3Error) => {
      req.unpipe(parser);
      reject(error);
      // whoever reads it hears of it, also when that begins later
      file?.destroy(error);
    };
    parser.on('field', (name, value, _nameTruncated, valueTruncated) => {
      size += Buffer.byteLength(name) + Buffer.byteLength(value);
      if (size > MAX_FIELDS_BYTES || valueTruncated)
        fail(
          new S3Error('MaxMessageLengthExceeded', `Your POST request fields preceding the upload file exceeded ${MAX_FIELDS_BYTES} bytes.`),
        );
      else fields.set(name.toLowerCase(), value);
    });
    parser.on('file', (_name, found, filename) => {
      file = found;
      // a form that ends in its file: busboy tells of it when nobody may listen yet, or not any more
      found.on('error', (error: Error) => found.destroy(error));
      resolve({ fields, file: found, filename: filename ?? '' });
    });
    parser.once('finish', () =>
      fail(new S3Error('InvalidArgument', 'POST requires exactly one file upload per request: found none. The field is named "file".')),
    );
    parser.on('error', () => fail(new S3Error('MalformedPOSTRequest')));
    req.once('aborted', () => fail(new S3Error('IncompleteBody', 'The connection ended before the form did.')));
    req.pipe(parser);
  });
}

async function receiveFile(services: S3Services, file: BusboyFileStream, sizes: { least: number; most: number }) {
  const sink = services.blobs.sink();
  const md5 = createHash('md5');
  let size = 0;
  try {
    for await (const chunk of file.iterator({ destroyOnReturn: false })) {
      // busboy's streams are binary
      const data = chunk as Buffer;
      size += data.length;
      if (size > sizes.most)
        throw new S3Error('EntityTooLarge', undefined, { details: { ProposedSize: String(size), MaxSizeAllowed: String(sizes.most) } });
      md5.update(data);
      const wait = sink.write(data);
      if (wait !== undefined) await wait;
    }
    if (size < sizes.least)
      throw new S3Error('EntityTooSmall', undefined, { details: { ProposedSize: String(size), MinSizeAllowed: String(sizes.least) } });
    return { staged: await sink.finish(), etag: md5.digest('hex') };
  } catch (error) {
    await sink.abort();
    // a fault of the disk is none of the client's
    if (error instanceof S3Error || file.errored === null) throw error;
    throw new S3Error('IncompleteBody', 'The form ended in the middle of the file.');
  }
}

/** Fields of the form that say what a PUT says in headers. */
function asHeaders(fields: FormFields): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of fields) {
    if (name.startsWith('x-amz-meta-') || name === 'x-amz-storage-class') headers[name] = value;
    else if (/^(cache-control|content-(type|disposition|encoding|language)|expires)$/.test(name)) headers[name] = value;
  }
  return headers;
}

function success(
  fields: FormFields,
  stored: { bucket: string; key: string; etag: string; versionId: string | undefined; location: string },
): Answer {
  const headers = {
    etag: `"${stored.etag}"`,
    location: stored.location,
    ...(stored.versionId === undefined ? {} : { 'x-amz-version-id': stored.versionId }),
  };
  const redirect = fields.get('success_action_redirect') ?? fields.get('redirect');
  if (redirect !== undefined && URL.canParse(redirect)) {
    const url = new URL(redirect);
    for (const [name, value] of Object.entries({ bucket: stored.bucket, key: stored.key, etag: headers.etag }))
      url.searchParams.set(name, value);
    return { status: 303, headers: { ...headers, location: url.href } };
  }
  const status = fields.get('success_action_status');
  if (status === '200') return { status: 200, headers };
  if (status !== '201') return { status: 204, headers };
  const body = renderXml('PostResponse', { Location: stored.location, Bucket: stored.bucket, Key: stored.key, ETag: headers.etag });
  return { status: 201, headers, body };
}

import { announcedChecksum, readAlgorithm } from '../checksums.ts';
import { receiveBody } from '../receive-body.ts';
import { writePrecondition } from './conditions.ts';
import { type Answer, bucketOf, type S3Context } from './context.ts';
import { checksumHeaders, readAttributes } from './object-headers.ts';

/** PUT of an object. */
export async function putObject(context: S3Context): Promise<Answer> {
  const { services, headers, key, requester } = context;
  const bucket = bucketOf(context);
  const attributes = readAttributes(headers);
  const precondition = writePrecondition(headers);
  // Asked before the body comes, and once more in the write's own transaction.
  precondition?.(visible(services.objects.find(bucket, key)));
  const algorithm = headers['x-amz-sdk-checksum-algorithm'] ?? headers['x-amz-checksum-algorithm'];
  context.welcomeBody();
  const { staged, md5, checksum } = await receiveBody(
    context,
    services.blobs,
    algorithm && !announcedChecksum(headers) ? readAlgorithm(algorithm) : undefined,
  );
  const etag = md5.toString('hex');
  try {
    const { versionId } = services.objects.put(
      // The bucket may have been removed while the body came.
      bucketOf(context),
      { key, body: { staged }, etag, size: staged.size, attributes: checksum ? { ...attributes, checksum } : attributes },
      { event: 'ObjectCreated:Put', requester, precondition },
    );
    return {
      status: 200,
      headers: { etag: `"${etag}"`, ...checksumHeaders(checksum), ...(versionId !== undefined && { 'x-amz-version-id': versionId }) },
    };
  } catch (error) {
    await services.blobs.discard(staged);
    throw error;
  }
}

function visible<T extends { marker: boolean }>(version: T | undefined): T | undefined {
  return version?.marker ? undefined : version;
}

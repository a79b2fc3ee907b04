// A store with a bucket that has versions and one that has none, and a client of it. Whoever imports this has them opened before its tests and closed after them.
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect } from 'vitest';
import { runStore, type TestStore } from './running-store.ts';

/** The bucket that has versions. */
export const VERSIONED = 'versioned-bucket';
/** The one that has none. */
export const PLAIN = 'plain-bucket';
/** The store. */
export let test: TestStore;
/** A client of it. */
export let s3: S3Client;

beforeAll(async () => {
  test = await runStore();
  s3 = test.s3();
  for (const bucket of [VERSIONED, PLAIN]) await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  await setVersioning('Enabled');
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

/** Starts the store anew, and a client of it. */
export async function restart(): Promise<void> {
  await test.restart();
  s3 = test.s3();
}

/** Has a bucket keep versions, or no more. */
export const setVersioning = (status: 'Enabled' | 'Suspended', bucket = VERSIONED) =>
  s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: status } }));
/** Writes an object. */
export const put = (key: string, body: string | Buffer = 'body', more: Partial<PutObjectCommandInput> = {}, bucket = VERSIONED) =>
  s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...more }));
/** Reads one. */
export const text = async (key: string, versionId?: string, bucket = VERSIONED) => {
  const got = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId }));
  return await got.Body?.transformToString();
};
/** Deletes one, or one version of it. */
export const remove = (key: string, versionId?: string, bucket = VERSIONED) =>
  s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId }));
/** Status and name of the error of a call. */
export const fails = (call: Promise<unknown>) =>
  call.then(
    () => 'succeeded',
    (error: { name: string; $metadata?: { httpStatusCode?: number } }) => `${error.$metadata?.httpStatusCode} ${error.name}`,
  );

import { CreateBucketCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3';
import type { TestStore } from '../store/running-store.ts';

/** Makes a versioned bucket in a test's store; one that is there already is left as it is. */
export async function createBucket(store: TestStore, bucket: string): Promise<void> {
  const s3 = store.s3();
  try {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  } catch (error) {
    if (!(error instanceof Error && error.name === 'BucketAlreadyOwnedByYou')) throw error;
  }
  await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }));
}

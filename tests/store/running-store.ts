import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { SQSClient } from '@aws-sdk/client-sqs';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { type RunningStore, type StoreDeps, startStore } from '../../src/local/store/start-store.ts';

export type Keys = { accessKeyId: string; secretAccessKey: string; sessionToken?: string };

/** The root credential of test stores. */
export const root: Keys = { accessKeyId: 'AKIAROOT', secretAccessKey: 'root-secret' };

/** A store of its own for one test file, with clients for it. */
export type TestStore = {
  store: RunningStore;
  dir: string;
  endpoint: string;
  /** What the store reported as its own fault; tests expect it empty. */
  faults: unknown[];
  /** Moves the store's clock. */
  clock: { offsetMs: number };
  s3(keys?: Keys): S3Client;
  sqs(keys?: Keys): SQSClient;
  sts(keys?: Keys): STSClient;
  /** Stops and starts the store on the same folder. */
  restart(): Promise<void>;
  close(): Promise<void>;
};

/** Starts a store in this process, on a free port and a temporary folder. */
export async function runStore(options: Partial<StoreDeps> = {}): Promise<TestStore> {
  const dir = await mkdtemp(join(tmpdir(), 'autofiles-store-'));
  const clock = { offsetMs: 0 };
  const faults: unknown[] = [];
  const clients: { destroy(): void }[] = [];
  const deps: StoreDeps = {
    dir,
    port: 0,
    region: 'us-east-1',
    root,
    now: () => Date.now() + clock.offsetMs,
    random: Math.random,
    randomBytes,
    id: randomUUID,
    onError: (error) => faults.push(error),
    ...options,
  };
  let store = await startStore(deps);
  const settings = (keys: Keys) => ({ endpoint: store.endpoint, region: deps.region, credentials: keys, maxAttempts: 1 });
  const kept = <C extends { destroy(): void }>(client: C): C => {
    clients.push(client);
    return client;
  };
  return {
    get store() {
      return store;
    },
    get endpoint() {
      return store.endpoint;
    },
    dir,
    clock,
    faults,
    s3: (keys = root) => kept(new S3Client({ ...settings(keys), forcePathStyle: true })),
    sqs: (keys = root) => kept(new SQSClient(settings(keys))),
    sts: (keys = root) => kept(new STSClient(settings(keys))),
    async restart() {
      await store.close();
      store = await startStore({ ...deps, port: store.port });
    },
    async close() {
      for (const client of clients) client.destroy();
      await store.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** The rights that the add-on gives to a tenant on its bucket. */
export function tenantPolicy(bucket: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: ['s3:ListBucket', 's3:ListBucketVersions', 's3:GetBucketLocation', 's3:ListBucketMultipartUploads'],
        Resource: `arn:aws:s3:::${bucket}`,
      },
      {
        Effect: 'Allow',
        Action: [
          's3:GetObject',
          's3:GetObjectVersion',
          's3:PutObject',
          's3:DeleteObject',
          's3:DeleteObjectVersion',
          's3:AbortMultipartUpload',
          's3:ListMultipartUploadParts',
          's3:GetObjectTagging',
          's3:PutObjectTagging',
        ],
        Resource: `arn:aws:s3:::${bucket}/*`,
      },
    ],
  });
}

/** Makes a session with the given policy. */
export async function openSession(sts: STSClient, policy: string, seconds = 3600): Promise<Required<Keys>> {
  const { Credentials: made } = await sts.send(
    new AssumeRoleCommand({
      RoleArn: 'arn:aws:iam::000000000000:role/tenant',
      RoleSessionName: 'test',
      Policy: policy,
      DurationSeconds: seconds,
    }),
  );
  if (!made?.AccessKeyId || !made.SecretAccessKey || !made.SessionToken) throw new Error('AssumeRole gave no credentials');
  return { accessKeyId: made.AccessKeyId, secretAccessKey: made.SecretAccessKey, sessionToken: made.SessionToken };
}

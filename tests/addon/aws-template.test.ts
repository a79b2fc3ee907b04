// deploy/aws/autofiles.yaml against the code: every AWS call that src/clients makes is allowed, and nothing that it does not make.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bucketPolicy } from '../../src/clients/sts.ts';
import { putOff } from '../../src/processors/put-off.ts';
import { readConfig } from '../../src/schema/config.ts';
import { ACCOUNT, allows, denies, readTemplate, type Statement, type Template } from './aws-policies.ts';

const ROOT = join(import.meta.dirname, '../..');
const template = readTemplate(await readFile(join(ROOT, 'deploy/aws/autofiles.yaml'), 'utf8'), {
  ArchiveBucketName: 'acme-archive',
  QueueName: 'autofiles-events',
  AlarmTopicArn: '',
});
const properties = (id: string): Record<string, unknown> => template.Resources[id]?.Properties ?? {};
const statementsOf = (document: unknown): Statement[] => (document as { Statement: Statement[] }).Statement;
const engine = statementsOf(properties('EnginePolicy')['PolicyDocument']);
const [tenantPolicy] = properties('TenantRole')['Policies'] as { PolicyDocument: unknown }[];
const tenant = statementsOf(tenantPolicy?.PolicyDocument);

const bucket = 'arn:aws:s3:::ld-private-0b5c1f0e';
const objects = `${bucket}/in/file.json`;
const archive = 'arn:aws:s3:::acme-archive';
const archived = `${archive}/runs/1.json`;
const queue = `arn:aws:sqs:us-east-1:${ACCOUNT}:autofiles-events`;
const dead = `${queue}-dead`;
const role = `arn:aws:iam::${ACCOUNT}:role/autofiles-events-tenant`;
const user = `arn:aws:iam::${ACCOUNT}:user/autofiles-events-engine`;

/** The IAM actions that a call of the SDK needs, and on what (Service Authorization Reference). */
const NEEDS: Readonly<Record<string, readonly (readonly [action: string, ...resources: string[]])[]>> = {
  AbortMultipartUpload: [['s3:AbortMultipartUpload', objects]],
  CreateBucket: [['s3:CreateBucket', bucket, archive]],
  DeleteBucket: [['s3:DeleteBucket', bucket]],
  DeleteObject: [
    ['s3:DeleteObject', objects],
    ['s3:DeleteObjectVersion', objects],
  ],
  DeleteObjects: [
    ['s3:DeleteObject', objects],
    ['s3:DeleteObjectVersion', objects],
  ],
  GetBucketVersioning: [['s3:GetBucketVersioning', bucket, archive]],
  GetObject: [
    ['s3:GetObject', objects, archived],
    ['s3:GetObjectVersion', objects, archived],
  ],
  // without the right to list, a missing object is 403 and cannot be told from one that is forbidden
  HeadObject: [
    ['s3:GetObject', objects, archived],
    ['s3:GetObjectVersion', objects, archived],
    ['s3:ListBucket', bucket, archive],
  ],
  ListObjectsV2: [['s3:ListBucket', bucket, archive]],
  ListMultipartUploads: [['s3:ListBucketMultipartUploads', bucket]],
  ListObjectVersions: [['s3:ListBucketVersions', bucket, archive]],
  PutBucketCors: [['s3:PutBucketCORS', bucket]],
  PutBucketLifecycleConfiguration: [['s3:PutLifecycleConfiguration', bucket]],
  PutBucketNotificationConfiguration: [['s3:PutBucketNotification', bucket]],
  PutBucketPolicy: [['s3:PutBucketPolicy', bucket]],
  PutBucketVersioning: [['s3:PutBucketVersioning', bucket, archive]],
  PutObject: [['s3:PutObject', objects, archived]],
  PutPublicAccessBlock: [['s3:PutBucketPublicAccessBlock', bucket]],
  GetQueueUrl: [['sqs:GetQueueUrl', queue, dead]],
  GetQueueAttributes: [['sqs:GetQueueAttributes', queue, dead]],
  ReceiveMessage: [['sqs:ReceiveMessage', queue]],
  DeleteMessageBatch: [['sqs:DeleteMessage', queue]],
  ChangeMessageVisibilityBatch: [['sqs:ChangeMessageVisibility', queue]],
  // only where there is no queue yet; this template makes it
  CreateQueue: [],
  AssumeRole: [['sts:AssumeRole', role]],
  // needs no right
  GetCallerIdentity: [],
  // only without AUTOFILES_TENANT_ROLE_ARN, which this template gives
  GetFederationToken: [],
};

async function callsOfTheCode(): Promise<string[]> {
  const files = (await readdir(join(ROOT, 'src'), { recursive: true })).filter((name) => name.endsWith('.ts'));
  const texts = await Promise.all(files.map((name) => readFile(join(ROOT, 'src', name), 'utf8')));
  const made = texts
    .filter((text) => /from '@aws-sdk\/client-/.test(text))
    .flatMap((text) => [...text.matchAll(/new (\w+)Command\(/g)].map(([, name = '']) => name));
  // the receive is sqs-consumer's
  return [...new Set([...made, 'ReceiveMessage'])].toSorted();
}

describe('the CloudFormation template', () => {
  it('allows the engine each call that the code makes, on what it makes it', async () => {
    const calls = await callsOfTheCode();
    expect(calls).toEqual(Object.keys(NEEDS).toSorted());
    const missing = Object.values(NEEDS)
      .flat()
      .flatMap(([action, ...resources]) => resources.map((resource) => ({ action, resource })))
      .filter((request) => !allows(engine, request));
    expect(missing).toEqual([]);
  });

  it('allows the engine nothing that no call needs', () => {
    const needed = new Set(
      Object.values(NEEDS)
        .flat()
        .map(([action]) => action),
    );
    expect(engine.flatMap(({ Action }) => Action).filter((action) => !needed.has(action))).toEqual([]);
    for (const [action, resource] of [
      ['s3:GetObject', 'arn:aws:s3:::somebody-elses/file'],
      ['s3:DeleteObject', archived],
      ['s3:DeleteBucket', archive],
      ['s3:PutBucketPolicy', archive],
      ['sqs:SendMessage', queue],
      ['sqs:PurgeQueue', queue],
      ['sts:AssumeRole', `arn:aws:iam::${ACCOUNT}:role/admin`],
      ['iam:CreateUser', user],
    ] as const)
      expect({ action, resource, allowed: allows(engine, { action, resource }) }).toEqual({ action, resource, allowed: false });
  });

  it("gives the tenants' role exactly what a session's own policy narrows to one bucket", () => {
    const session = statementsOf(JSON.parse(bucketPolicy('ld-private-0b5c1f0e', 'us-east-1')));
    const actions = (statements: readonly Statement[]) => statements.flatMap(({ Action }) => Action).toSorted();
    expect(actions(tenant)).toEqual(actions(session));
    for (const { Action, Resource } of session)
      for (const action of Action)
        expect({ action, allowed: allows(tenant, { action, resource: String(Resource).replace('*', 'file') }) }).toEqual({
          action,
          allowed: true,
        });
    expect(allows(tenant, { action: 's3:GetObject', resource: archived })).toBe(false);
    expect(properties('TenantRole')['MaxSessionDuration']).toBe(43_200);
  });

  it('lets the engine alone assume that role, as a user, whose sessions may last twelve hours', () => {
    const trust = statementsOf(properties('TenantRole')['AssumeRolePolicyDocument']);
    const ask = (AWS: string) => allows(trust, { principal: { AWS }, action: 'sts:AssumeRole', resource: role });
    expect([ask(user), ask(`arn:aws:iam::${ACCOUNT}:user/somebody`), ask('*')]).toEqual([true, false, false]);
    expect(template.Resources['EngineUser']?.Type).toBe('AWS::IAM::User');
  });

  it("takes events of this account's tenant buckets alone, over TLS", () => {
    const statements = statementsOf(properties('EventQueuePolicy')['PolicyDocument']);
    const send = (context: Record<string, string>, Service = 's3.amazonaws.com') =>
      allows(statements, { principal: { Service }, action: 'sqs:SendMessage', resource: queue, context });
    const good = { 'aws:SourceArn': bucket, 'aws:SourceAccount': ACCOUNT, 'aws:SecureTransport': 'true' };
    expect(send(good)).toBe(true);
    expect(send({ ...good, 'aws:SourceAccount': '999999999999' })).toBe(false);
    expect(send({ ...good, 'aws:SourceArn': 'arn:aws:s3:::other-bucket' })).toBe(false);
    expect(send({ ...good, 'aws:SecureTransport': 'false' })).toBe(false);
    expect(send(good, 'sns.amazonaws.com')).toBe(false);
    expect(send({ 'aws:SourceArn': bucket, 'aws:SecureTransport': 'true' })).toBe(false);
  });

  it('keeps events for 14 days, and sets aside what kills its readers', () => {
    expect(properties('EventQueue')).toMatchObject({
      MessageRetentionPeriod: 1_209_600,
      ReceiveMessageWaitTimeSeconds: 20,
      SqsManagedSseEnabled: true,
      RedrivePolicy: { deadLetterTargetArn: dead, maxReceiveCount: 1_000 },
    });
    expect(properties('EventQueue')).not.toHaveProperty('FifoQueue');
    expect(properties('DeadLetterQueue')).toMatchObject({
      MessageRetentionPeriod: 1_209_600,
      RedriveAllowPolicy: { redrivePermission: 'byQueue', sourceQueueArns: [queue] },
    });
    const age = ['EventsWaitAlarm', 'DeadLettersAlarm'].map((id) => properties(id)['Dimensions']);
    expect(age).toEqual([[{ Name: 'QueueName', Value: 'autofiles-events' }], [{ Name: 'QueueName', Value: 'autofiles-events-dead' }]]);
  });

  it('tells when events are received and handed back, which the age of the oldest does not', () => {
    const alarm = properties('EventsHandedBackAlarm');
    const [math, ...metrics] = alarm['Metrics'] as { Id: string; Expression?: string; ReturnData: boolean; MetricStat?: object }[];
    expect(metrics).toEqual(
      ['NumberOfMessagesReceived', 'NumberOfMessagesDeleted'].map((MetricName, i) => ({
        Id: ['received', 'deleted'][i],
        MetricStat: {
          Metric: { Namespace: 'AWS/SQS', MetricName, Dimensions: [{ Name: 'QueueName', Value: 'autofiles-events' }] },
          Period: 300,
          Stat: 'Sum',
        },
        ReturnData: false,
      })),
    );
    // of metric math as much as the expression has
    const js = math?.Expression?.replaceAll(/FILL\((\w+), 0\)/g, '($1 ?? 0)')
      .replace(' AND ', ' && ')
      .replace(/^IF\((.*), 1, 0\)$/, '($1) ? 1 : 0');
    const at = new Function('received', 'deleted', `return ${js}`) as (received?: number, deleted?: number) => number;
    expect([at(12, 0), at(12, undefined), at(12, 3), at(0, 0), at(undefined, undefined), at(undefined, 2)]).toEqual([1, 1, 0, 0, 0, 0]);
    expect(math?.ReturnData).toBe(true);
    expect(alarm).toMatchObject({ Threshold: 0, ComparisonOperator: 'GreaterThanThreshold', TreatMissingData: 'notBreaching' });
    // a message that was put off often comes back every 25 minutes: often enough in what is looked at, which is a day at most
    const [periods, needed] = [Number(alarm['EvaluationPeriods']), Number(alarm['DatapointsToAlarm'])];
    expect((periods * 300) / putOff(1_000)).toBeGreaterThan(needed + 1);
    expect(periods * 300).toBeLessThanOrEqual(86_400);
  });

  it('keeps the archive private, versioned, for the engine alone, also when the stack goes', () => {
    for (const kept of ['ArchiveBucket', 'ArchiveBucketPolicy'])
      expect(template.Resources[kept], kept).toMatchObject({ DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' });
    expect(properties('ArchiveBucket')).toMatchObject({
      VersioningConfiguration: { Status: 'Enabled' },
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        IgnorePublicAcls: true,
        BlockPublicPolicy: true,
        RestrictPublicBuckets: true,
      },
      OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
    });
    const statements = statementsOf(properties('ArchiveBucketPolicy')['PolicyDocument']);
    const read = (context: Record<string, string>) => denies(statements, { action: 's3:GetObject', resource: archived, context });
    const tls = { 'aws:SecureTransport': 'true' };
    expect(read({ ...tls, 'aws:PrincipalArn': user })).toBe(false);
    expect(read({ ...tls, 'aws:PrincipalArn': role })).toBe(true);
    expect(read({ 'aws:SecureTransport': 'false', 'aws:PrincipalArn': user })).toBe(true);
  });

  it('has no statement that is not looked at here', () => {
    const all = (one: Template) => [...JSON.stringify(one).matchAll(/"Sid":"(\w+)"/g)].map(([, sid]) => sid);
    expect(all(template)).toEqual([
      ...['TenantBucketsSend', 'TlsOnly', 'TlsOnly', 'EngineOnly'],
      ...['Events', 'DeadLetters', 'TenantBuckets', 'TenantObjects', 'ArchiveBucketItself', 'Archive', 'TenantCredentials'],
      ...['Buckets', 'Objects'],
    ]);
  });

  it('puts out what the engine is configured by, in values that it takes', () => {
    const outputs = Object.values(template.Outputs).filter(({ Description }) => /^AUTOFILES_\w+$/.test(Description));
    const env = Object.fromEntries(
      outputs.map(({ Description, Value }) => [
        Description,
        Description === 'AUTOFILES_QUEUE_URL' ? `https://sqs.us-east-1.amazonaws.com/${ACCOUNT}/${Value}` : Value,
      ]),
    );
    const config = readConfig({ ...env, REDIS_URL: 'redis://127.0.0.1', AUTOFILES_MASTER_KEY: Buffer.alloc(32).toString('base64') });
    expect(config).toMatchObject({
      archiveBucket: 'acme-archive',
      queueName: 'autofiles-events',
      region: 'us-east-1',
      addon: { tenantRoleArn: role },
    });
  });
});

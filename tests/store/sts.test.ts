import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { AssumeRoleCommand, type AssumeRoleCommandInput, GetCallerIdentityCommand, GetFederationTokenCommand } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sendSigned } from './raw-request.ts';
import { runStore, type TestStore, tenantPolicy } from './running-store.ts';

let test: TestStore;

beforeAll(async () => {
  test = await runStore();
  await test.s3().send(new CreateBucketCommand({ Bucket: 'sts-bucket' }));
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

const role: AssumeRoleCommandInput = {
  RoleArn: 'arn:aws:iam::000000000000:role/ld/tenant',
  RoleSessionName: 'resource-1',
  Policy: tenantPolicy('sts-bucket'),
};
const fails = (call: Promise<unknown>) =>
  call.then(
    () => 'succeeded',
    (error: { name: string }) => error.name,
  );
const keysOf = (
  made: { AccessKeyId?: string | undefined; SecretAccessKey?: string | undefined; SessionToken?: string | undefined } | undefined,
) => ({
  accessKeyId: made?.AccessKeyId ?? '',
  secretAccessKey: made?.SecretAccessKey ?? '',
  sessionToken: made?.SessionToken ?? '',
});

it('makes sessions with the fields that AWS gives, never the same twice', async () => {
  const one = await test.sts().send(new AssumeRoleCommand({ ...role, DurationSeconds: 43_200 }));
  const two = await test.sts().send(new AssumeRoleCommand(role));
  expect(one.Credentials?.AccessKeyId).toMatch(/^ASIA[A-Z2-7]{16}$/);
  expect(one.Credentials?.SecretAccessKey).toHaveLength(40);
  expect(one.AssumedRoleUser?.Arn).toBe('arn:aws:sts::000000000000:assumed-role/tenant/resource-1');
  expect(one.PackedPolicySize).toBeGreaterThan(0);
  const hours = ((one.Credentials?.Expiration?.getTime() ?? 0) - Date.now()) / 3_600_000;
  expect(hours).toBeGreaterThan(11.9);
  expect(hours).toBeLessThanOrEqual(12);
  for (const field of ['AccessKeyId', 'SecretAccessKey', 'SessionToken'] as const)
    expect(one.Credentials?.[field]).not.toBe(two.Credentials?.[field]);
});

it('says who a credential is', async () => {
  const { Credentials: made } = await test
    .sts()
    .send(new GetFederationTokenCommand({ Name: 'somebody', Policy: tenantPolicy('sts-bucket') }));
  expect(await test.sts(keysOf(made)).send(new GetCallerIdentityCommand({}))).toMatchObject({
    Account: '000000000000',
    Arn: 'arn:aws:sts::000000000000:federated-user/somebody',
    UserId: '000000000000:somebody',
  });
  expect((await test.sts().send(new GetCallerIdentityCommand({}))).Arn).toBe('arn:aws:iam::000000000000:root');
});

it('gives a federated session without a policy no right at all', async () => {
  const { Credentials: made } = await test.sts().send(new GetFederationTokenCommand({ Name: 'nobody' }));
  const answer = await sendSigned(test.endpoint, { path: '/sts-bucket', query: 'list-type=2', keys: keysOf(made) });
  expect([answer.status, answer.code]).toEqual([403, 'AccessDenied']);
});

it('keeps sessions across a restart', async () => {
  const { Credentials: made } = await test.sts().send(new AssumeRoleCommand(role));
  await test.restart();
  const answer = await sendSigned(test.endpoint, { path: '/sts-bucket', query: 'list-type=2', keys: keysOf(made) });
  expect(answer.status).toBe(200);
});

it('refuses what it cannot keep: durations, names, policies', async () => {
  const sts = test.sts();
  const refused: [string, Partial<AssumeRoleCommandInput>][] = [
    ['ValidationError', { DurationSeconds: 899 }],
    ['ValidationError', { DurationSeconds: 43_201 }],
    ['ValidationError', { RoleArn: 'tenant' }],
    ['ValidationError', { RoleSessionName: 'a b' }],
    ['ValidationError', { Policy: undefined }],
    ['MalformedPolicyDocumentException', { Policy: 'not json' }],
    ['MalformedPolicyDocumentException', { Policy: `${' '.repeat(2000)}${tenantPolicy('sts-bucket')}` }],
    [
      'MalformedPolicyDocumentException',
      { Policy: JSON.stringify({ Statement: [{ Effect: 'Allow', NotAction: 's3:*', Resource: '*' }] }) },
    ],
    [
      'MalformedPolicyDocumentException',
      {
        Policy: JSON.stringify({
          Statement: [{ Effect: 'Allow', Action: 's3:*', Resource: '*', Condition: { Bool: { 'aws:SecureTransport': 'true' } } }],
        }),
      },
    ],
  ];
  for (const [name, change] of refused)
    expect([change, await fails(sts.send(new AssumeRoleCommand({ ...role, ...change })))]).toEqual([change, name]);
  expect(await fails(sts.send(new GetFederationTokenCommand({ Name: 'x' })))).toBe('ValidationError');
});

it('tells a client of the SQS query protocol what it may use instead', async () => {
  const answer = await sendSigned(test.endpoint, {
    method: 'POST',
    path: '/',
    service: 'sts',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'Action=ReceiveMessage&Version=2012-11-05',
  });
  expect([answer.status, answer.code]).toEqual([400, 'InvalidAction']);
  expect(answer.text).toContain('JSON protocol');
});

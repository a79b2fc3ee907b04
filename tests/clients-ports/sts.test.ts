// Credentials for one bucket: which call is made, with which policy and name, and what an error is taken for.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { bucketPolicy, createCredentialIssuer, sessionName } from '../../src/clients/sts.ts';

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

const CREDENTIALS =
  '<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>shh</SecretAccessKey><SessionToken>token</SessionToken><Expiration>2026-11-29T08:00:00Z</Expiration></Credentials>';
const ok = (action: string, inner = CREDENTIALS) => ({
  status: 200,
  body: `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result>${inner}</${action}Result></${action}Response>`,
});
const refused = (status: number, code: string) => ({
  status,
  body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>no</Message></Error></ErrorResponse>`,
});

async function setup(answer: () => { status: number; body: string }, roleArn?: string) {
  const seen: URLSearchParams[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    seen.push(new URLSearchParams(Buffer.concat(chunks).toString('utf8')));
    const { status, body } = answer();
    response.writeHead(status, { 'content-type': 'text/xml' });
    response.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = createCredentialIssuer({
    // an AddressInfo for a TCP server
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    ...(roleArn === undefined ? {} : { roleArn }),
  });
  closers.push(async () => {
    issuer.close();
    server.closeAllConnections();
    const closed = once(server, 'close');
    server.close();
    await closed;
  });
  return { issuer, seen };
}

const BUCKET = 'ld-private-01234567-89ab-cdef-0123-456789abcdef';
const EXPECTED = {
  accessKeyId: 'ASIAEXAMPLE',
  secretAccessKey: 'shh',
  sessionToken: 'token',
  expiresAt: Date.parse('2026-11-29T08:00:00Z'),
};

describe('forBucket', () => {
  it('asks GetFederationToken without a role, for the bucket alone', async () => {
    const { issuer, seen } = await setup(() => ok('GetFederationToken'));
    expect(await issuer.forBucket(BUCKET, 'line-d clear/41822', 43_200)).toEqual(EXPECTED);
    expect(Object.fromEntries(seen[0] ?? [])).toMatchObject({
      Action: 'GetFederationToken',
      Name: 'line-d-clear-41822',
      DurationSeconds: '43200',
      Policy: bucketPolicy(BUCKET, 'us-east-1'),
    });
  });

  it('assumes the role when there is one', async () => {
    const { issuer, seen } = await setup(() => ok('AssumeRole'), 'arn:aws:iam::000000000000:role/tenant');
    expect(await issuer.forBucket(BUCKET, 'resource', 3_600)).toEqual(EXPECTED);
    expect(Object.fromEntries(seen[0] ?? [])).toMatchObject({
      Action: 'AssumeRole',
      RoleArn: 'arn:aws:iam::000000000000:role/tenant',
      RoleSessionName: 'resource',
      Policy: bucketPolicy(BUCKET, 'us-east-1'),
    });
  });

  it.each([
    [403, 'AccessDenied'],
    [400, 'ValidationError'],
    [400, 'PackedPolicyTooLarge'],
  ])('%d %s is config_invalid and says what is needed', async (status, code) => {
    const { issuer } = await setup(() => refused(status, code));
    await expect(issuer.forBucket(BUCKET, 'x1', 900)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(new RegExp(`${code}.*sts:GetFederationToken`)),
    });
  });

  it.each([
    [503, 'ServiceUnavailable'],
    [400, 'Throttling'],
  ])('%d %s is an outage', async (status, code) => {
    const { issuer } = await setup(() => refused(status, code));
    await expect(issuer.forBucket(BUCKET, 'x1', 900)).rejects.toMatchObject({ code: 's3_unavailable' });
  });

  it('an answer without credentials is an outage', async () => {
    const { issuer } = await setup(() => ok('GetFederationToken', ''));
    await expect(issuer.forBucket(BUCKET, 'x1', 900)).rejects.toMatchObject({ code: 's3_unavailable' });
  });

  it.each(['*', 'ld-private-*', 'a/b', '', 'UPPER'])('refuses to make a policy for %j, and asks nobody', async (bucket) => {
    const { issuer, seen } = await setup(() => ok('GetFederationToken'));
    await expect(issuer.forBucket(bucket, 'x1', 900)).rejects.toMatchObject({ code: 'config_invalid' });
    expect(seen).toEqual([]);
  });
});

describe('the session policy', () => {
  it('is short enough for STS, names the bucket and nothing else, and does not let its configuration be changed', () => {
    const policy = bucketPolicy('a'.repeat(63), 'us-gov-west-1');
    expect(policy.length).toBeLessThanOrEqual(2_048);
    const resources = [...policy.matchAll(/arn:[^"]+/g)].map(([arn]) => arn);
    expect(resources).toEqual([`arn:aws-us-gov:s3:::${'a'.repeat(63)}`, `arn:aws-us-gov:s3:::${'a'.repeat(63)}/*`]);
    expect(policy).not.toMatch(/s3:\*|PutBucket|DeleteBucket|Acl/);
  });
});

describe('the session name', () => {
  it('is always in the grammar of STS, whatever the resource is called', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ maxLength: 100 }), fc.constantFrom('', 'ü', '日本語', '\u{1f600}'.repeat(40), '\u0000')),
        fc.constantFrom(32, 64),
        (name, limit) => {
          const clean = sessionName(name, limit);
          expect(clean).toMatch(/^[\w+=,.@-]+$/);
          expect(clean.length).toBeGreaterThanOrEqual(2);
          expect(clean.length).toBeLessThanOrEqual(limit);
        },
      ),
    );
  });

  it('keeps two long names apart', () => {
    expect(sessionName(`${'a'.repeat(60)}1`, 32)).not.toBe(sessionName(`${'a'.repeat(60)}2`, 32));
  });
});

// Credentials for one bucket, from STS.
import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { AssumeRoleCommand, GetFederationTokenCommand, STSClient } from '@aws-sdk/client-sts';
import { Failure } from '../schema/failures.ts';
import { AGENT_OPTIONS, type AwsAccess, awsCall, awsEndpoint, clientConfig } from './aws-call.ts';
import type { CredentialIssuer } from './ports.ts';

/** Characters of a federated user's name (GetFederationToken); a role session's may have 64. */
const FEDERATED_NAME_LIMIT = 32;
const SESSION_NAME_LIMIT = 64;
/** Characters of an inline session policy; a longer one is refused by STS. */
const POLICY_LIMIT = 2_048;

/**
 * Issues session credentials that reach one bucket and nothing else: by AssumeRole when `roleArn` is given, else by
 * GetFederationToken, which wants the long-term keys of an IAM user. AssumeRole takes 900 s up to the role's maximum (12 h at most, 1 h when
 * the caller's own keys come from a role), GetFederationToken 900 s to 36 h; STS refuses other lengths.
 * Throws Failure `config_invalid` when STS refuses the call and `s3_unavailable` when it does not answer.
 */
export function createCredentialIssuer(access: AwsAccess & { readonly roleArn?: string }): CredentialIssuer & { close(): void } {
  const agents = { httpAgent: new HttpAgent(AGENT_OPTIONS), httpsAgent: new HttpsAgent(AGENT_OPTIONS) };
  const client = new STSClient({ ...clientConfig(access, agents), endpoint: access.endpoint ?? awsEndpoint('sts', access.region) });
  const { roleArn } = access;
  const action = roleArn === undefined ? 'GetFederationToken' : 'AssumeRole';

  return {
    forBucket: (bucket, name, seconds, options = {}) =>
      awsCall(
        's3_unavailable',
        `STS ${action} for ${bucket}`,
        options,
        async (abortSignal) => {
          const policy = bucketPolicy(bucket, access.region);
          const command = { DurationSeconds: seconds, Policy: policy };
          const output =
            roleArn === undefined
              ? await client.send(new GetFederationTokenCommand({ ...command, Name: sessionName(name, FEDERATED_NAME_LIMIT) }), {
                  abortSignal,
                })
              : await client.send(
                  new AssumeRoleCommand({ ...command, RoleArn: roleArn, RoleSessionName: sessionName(name, SESSION_NAME_LIMIT) }),
                  { abortSignal },
                );
          const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = output.Credentials ?? {};
          if (!AccessKeyId || !SecretAccessKey || !SessionToken || Expiration === undefined) {
            throw new Failure(
              's3_unavailable',
              `STS ${action} for ${bucket} answered without credentials; is ${client.config.region} an STS?`,
            );
          }
          return {
            accessKeyId: AccessKeyId,
            secretAccessKey: SecretAccessKey,
            sessionToken: SessionToken,
            expiresAt: Expiration.getTime(),
          };
        },
        ({ code, status }, cause) => {
          if (status === undefined || status < 400 || status >= 500 || status === 429 || code.startsWith('Throttl')) return undefined;
          const how =
            roleArn === undefined
              ? 'The engine needs the keys of an IAM user that may call sts:GetFederationToken, or set a role to assume.'
              : `The engine's keys must be allowed to assume ${roleArn}, whose maximum session duration must be at least ${seconds} s.`;
          throw new Failure('config_invalid', `STS ${action} for ${bucket} (${seconds} s): HTTP ${status} ${code}. ${how}`, { cause });
        },
      ),
    close() {
      client.destroy();
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}

/**
 * The session policy for one bucket: list it, read, write and delete its objects, finish or abort its uploads; not its
 * configuration. Throws Failure `config_invalid` for a name that is no bucket's (a `*` in it would open others).
 */
export function bucketPolicy(bucket: string, region: string): string {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw new Failure(
      'config_invalid',
      `${JSON.stringify(bucket)} is not a bucket name (3–63 of a–z 0–9 . -), so no policy can be made for it.`,
    );
  }
  const arn = `arn:${partitionOf(region)}:s3:::${bucket}`;
  const policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: ['s3:ListBucket', 's3:ListBucketVersions', 's3:GetBucketLocation', 's3:ListBucketMultipartUploads'],
        Resource: arn,
      },
      {
        Effect: 'Allow',
        Action: [
          's3:GetObject',
          's3:GetObjectVersion',
          's3:PutObject',
          's3:DeleteObject',
          's3:AbortMultipartUpload',
          's3:ListMultipartUploadParts',
          's3:GetObjectTagging',
          's3:PutObjectTagging',
        ],
        Resource: `${arn}/*`,
      },
    ],
  });
  if (policy.length > POLICY_LIMIT) throw new Failure('internal', `The session policy has ${policy.length} of ${POLICY_LIMIT} characters.`);
  return policy;
}

/**
 * A name in the grammar of STS (letters, digits, `_+=,.@-`, 2 characters up to `limit`). One that is too long keeps its
 * beginning and ends in eight digits of its hash, so that two long names stay two names in CloudTrail.
 */
export function sessionName(name: string, limit: number): string {
  const clean = name.replace(/[^\w+=,.@-]/g, '-').padEnd(2, '-');
  if (clean.length <= limit) return clean;
  return `${clean.slice(0, limit - 9)}-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
}

function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}

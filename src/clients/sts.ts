// Credentials for one bucket, from STS.
import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { AssumeRoleCommand, GetCallerIdentityCommand, GetFederationTokenCommand, STSClient } from '@aws-sdk/client-sts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { CallerIdentity } from './addon-ports.ts';
import { AGENT_OPTIONS, type AwsAccess, awsCall, awsEndpoint, clientConfig } from './aws-call.ts';
import type { CallOptions, CredentialIssuer } from './ports.ts';

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
export function createCredentialIssuer(access: AwsAccess & { readonly roleArn?: string }): CredentialIssuer & {
  /** Who the engine's own keys are. Throws Failure `config_invalid` for keys that are not valid, `sts_unavailable`. */
  identity(options?: CallOptions): Promise<CallerIdentity>;
  close(): void;
} {
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
          const chained = roleArn !== undefined && /DurationSeconds|role chaining/i.test(messageOf(cause));
          const how = chained
            ? "The engine's own keys come from an assumed role, and a role that is assumed from a role gets one hour at most (role chaining). Give the engine the long-term keys of an IAM user."
            : roleArn === undefined
              ? 'The engine needs the keys of an IAM user that may call sts:GetFederationToken, or set a role to assume.'
              : `The engine's keys must be allowed to assume ${roleArn}, whose maximum session duration must be at least ${seconds} s.`;
          throw new Failure('config_invalid', `STS ${action} for ${bucket} (${seconds} s): HTTP ${status} ${code}. ${how}`, { cause });
        },
      ),
    identity: (options = {}) =>
      awsCall(
        'sts_unavailable',
        'STS GetCallerIdentity',
        options,
        async (abortSignal) => {
          const { Account = '', Arn = '' } = await client.send(new GetCallerIdentityCommand({}), { abortSignal });
          // bucket policies know a session of a role by the role's ARN, whose path is not told here
          const role = /^arn:([^:]+):sts::(\d+):assumed-role\/([^/]+)\//.exec(Arn);
          return {
            account: Account,
            arn: role === null ? Arn : `arn:${role[1]}:iam::${role[2]}:role/*${role[3]}`,
            chained: role !== null,
          };
        },
        ({ code, status }, cause) => {
          if (status !== 403 && status !== 401) return undefined;
          throw new Failure('config_invalid', `STS GetCallerIdentity: HTTP ${status} ${code}. The engine's AWS keys are not valid.`, {
            cause,
          });
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
  const arn = bucketArn(bucket, region);
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

/** The ARN of a bucket in the region's partition. */
export function bucketArn(bucket: string, region: string): string {
  return `arn:${partitionOf(region)}:s3:::${bucket}`;
}

function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}

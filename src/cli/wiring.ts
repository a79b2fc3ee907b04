// Turns the configuration into the services of a process; the one place where engine and clients meet.
import { randomBytes, randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import type { AwsAccess } from '../clients/aws-call.ts';
import { createDynoPlatform } from '../clients/heroku.ts';
import { createObjectStore } from '../clients/s3.ts';
import { createBucketAdmin } from '../clients/s3-bucket-admin.ts';
import { createFileAccess } from '../clients/s3-files.ts';
import { createEventQueue } from '../clients/sqs.ts';
import { createCredentialIssuer } from '../clients/sts.ts';
import { connect } from '../queues/connection.ts';
import { createSealer } from '../queues/secrets.ts';
import type { Config } from '../schema/config.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { parseTaskId } from '../schema/ids.ts';
import type { Log } from '../schema/log.ts';
import { createRedactor } from '../schema/redaction.ts';

/** A task's id names its run: a search for the run finds every line about it. */
function withRun(fields: Record<string, unknown>): Record<string, unknown> {
  const { taskId } = fields;
  if (typeof taskId !== 'string' || 'runId' in fields) return fields;
  return { runId: parseTaskId(taskId)?.runId, ...fields };
}

/** The process's logger: JSON lines on stdout, one a fact, with everything secret taken out (src/schema/redaction.ts). */
export function createLog(config: Pick<Config, 'logLevel'> & Partial<Config>, name: string) {
  const redactor = createRedactor([
    config.masterKey,
    config.apiToken,
    config.herokuToken,
    config.metricsToken,
    config.credentials?.secretAccessKey,
    config.redis !== undefined && 'url' in config.redis ? decodeURIComponent(URL.parse(config.redis.url)?.password ?? '') : undefined,
  ]);
  return pino({
    name,
    level: config.logLevel,
    base: { name, pid: process.pid },
    formatters: { log: (fields) => redactor.fields(withRun(fields)) },
    hooks: {
      logMethod(args, method) {
        const [fields, message, ...rest] = args;
        method.apply(this, [fields, typeof message === 'string' ? redactor.text(message) : message, ...rest]);
      },
    },
  });
}

/**
 * The connection with which a process begins. It waits for Redis however long that takes, and says why: once in each words, since it tries every
 * two seconds.
 */
export function connectFirst(redis: Config['redis'], log: Log): Redis {
  const said = new Set<string>();
  return connect(redis, (cause) => {
    const error = messageOf(cause);
    if (said.has(error)) return;
    said.add(error);
    log.warn({ error }, 'redis connection');
  });
}

/** Where an AWS service of a configuration is, and who calls it. */
function awsAccess(config: Config, endpoint: string | undefined): AwsAccess {
  return {
    region: config.region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
  };
}

/** What people do with the files of buckets. */
export function createFiles(config: Config) {
  return createFileAccess({ ...awsAccess(config, config.s3Endpoint), now: Date.now });
}

/** The object store alone, for a process that needs none of the others. */
export function createStores(config: Config) {
  return { store: createObjectStore(awsAccess(config, config.s3Endpoint)) };
}

/** Where a web process takes Heroku's events, with the secrets that sign them. `base`: its URL; undefined: nobody reaches it from outside. */
export function hookParts(base: string | undefined) {
  if (base === undefined) return {};
  return { hooks: { url: new URL('/heroku/webhooks', base).href, secret: () => randomBytes(32).toString('base64url') } };
}

/** The event queue of a configuration, by its URL, else found, or made, by its name. Throws what the queue service throws; Failure not_found for a URL. */
export async function queueArnOf(
  config: Pick<Config, 'queueUrl' | 'queueName'>,
  queue: Pick<ReturnType<typeof createEventQueue>, 'create' | 'describe'>,
): Promise<string> {
  const { queueUrl: url, queueName } = config;
  return (await (url === undefined ? queue.create(queueName) : queue.describe({ url }))).arn;
}

/** The outside services of a configuration. */
export function createClients(config: Config) {
  const access = (endpoint: string | undefined) => awsAccess(config, endpoint);
  return {
    store: createObjectStore(access(config.s3Endpoint)),
    queue: createEventQueue({ ...access(config.sqsEndpoint), now: Date.now }),
    issuer: createCredentialIssuer({
      ...access(config.stsEndpoint),
      ...(config.addon.tenantRoleArn === undefined ? {} : { roleArn: config.addon.tenantRoleArn }),
    }),
    buckets: createBucketAdmin(access(config.s3Endpoint)),
    platform: createDynoPlatform({
      baseUrl: config.herokuApiUrl,
      token: () => {
        if (config.herokuToken === undefined)
          throw new Failure('config_invalid', 'AUTOFILES_HEROKU_TOKEN: found nothing, expected a token that may start dynos.');
        return config.herokuToken;
      },
      userAgent: 'autofiles',
      now: Date.now,
    }),
    sealer: createSealerOf(config),
    now: Date.now,
    monotonic: () => performance.now(),
    random: Math.random,
    id: randomUUID,
  };
}

/** Seals by the current master key, opens by those of before, too. */
export function createSealerOf(config: Config) {
  const keyOf = (text: string) => Buffer.from(text, 'base64');
  return createSealer(keyOf(config.masterKey), config.addon.previousMasterKeys.map(keyOf));
}

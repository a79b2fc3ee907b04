// Turns the configuration into the services of a process; the one place where engine and clients meet.
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type { AwsAccess } from '../clients/aws-call.ts';
import { createDynoPlatform } from '../clients/heroku.ts';
import { createObjectStore } from '../clients/s3.ts';
import { createEventQueue } from '../clients/sqs.ts';
import { createCredentialIssuer } from '../clients/sts.ts';
import { createSealer } from '../queues/secrets.ts';
import type { Config } from '../schema/config.ts';
import { Failure } from '../schema/failures.ts';

/** Names of log fields that may hold a secret, wherever they stand. */
const SECRETS = ['token', 'authorization', 'secretAccessKey', 'sessionToken', 'password', 'masterKey', 'env'];

export function createLog(config: Pick<Config, 'logLevel'>, name: string) {
  return pino({
    name,
    level: config.logLevel,
    base: { name, pid: process.pid },
    redact: { paths: SECRETS.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
  });
}

/** The outside services of a configuration. */
export function createClients(config: Config) {
  const access = (endpoint: string | undefined): AwsAccess => ({
    region: config.region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
  });
  const rateLimit = new Set<(remaining: number) => void>();
  return {
    /** Calls back whenever the platform tells how many calls are left. */
    onRateLimit: (listener: (remaining: number) => void) => {
      rateLimit.add(listener);
    },
    store: createObjectStore(access(config.s3Endpoint)),
    queue: createEventQueue({ ...access(config.sqsEndpoint), now: Date.now }),
    issuer: createCredentialIssuer(access(config.stsEndpoint)),
    platform: createDynoPlatform({
      baseUrl: config.herokuApiUrl,
      token: () => {
        if (config.herokuToken === undefined)
          throw new Failure('config_invalid', 'AUTOFILES_HEROKU_TOKEN: found nothing, expected a token that may start dynos.');
        return config.herokuToken;
      },
      userAgent: 'autofiles',
      onRateLimit: (remaining) => {
        for (const listener of rateLimit) listener(remaining);
      },
      now: Date.now,
    }),
    sealer: createSealer(Buffer.from(config.masterKey, 'base64')),
    now: Date.now,
    monotonic: () => performance.now(),
    random: Math.random,
    id: randomUUID,
  };
}

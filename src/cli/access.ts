// How a command finds the cloud it talks to: its own environment first, then `.autofiles/env` of the app's folder.
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { createObjectStore } from '../clients/s3.ts';
import { createBucketReader } from '../clients/s3-reader.ts';
import { Failure } from '../schema/failures.ts';
import { createApi } from './api-client.ts';
import { parseEnv } from './env-format.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The variables of a running cloud. `app` names the app's folder; without it the current folder and its parents are
 * looked through, and last the example app that `npm start` runs.
 */
export async function findAccess(given: NodeJS.ProcessEnv, app: string | undefined, fallback: string): Promise<Variables> {
  // an empty variable is an unset one
  const env: Variables = Object.fromEntries(Object.entries(given).filter(([, value]) => value?.trim() !== ''));
  if (app === undefined && env['AUTOFILES_URL'] !== undefined && env['AUTOFILES_TOKEN'] !== undefined) return env;
  const folders = app !== undefined ? [resolve(app)] : [...parents(process.cwd()), fallback];
  for (const folder of folders) {
    const text = await readFile(join(folder, '.autofiles', 'env'), 'utf8').catch(() => undefined);
    if (text !== undefined) return { ...env, ...parseEnv(text) };
  }
  throw new Failure(
    'not_running',
    `Found no .autofiles/env in ${folders.at(0)} or above. Start it with \`autofiles start\` or \`npm start\`, or name the app's folder with --app DIR.`,
  );
}

function parents(folder: string): string[] {
  const up = dirname(folder);
  return up === folder ? [folder] : [folder, ...parents(up)];
}

export function apiOf(variables: Variables) {
  return createApi({ url: need(variables, 'AUTOFILES_URL'), token: need(variables, 'AUTOFILES_TOKEN') });
}

/** Where the Heroku Platform API of the app is. */
export function herokuOf(variables: Variables) {
  return { host: need(variables, 'HEROKU_HOST'), token: need(variables, 'HEROKU_API_KEY'), app: need(variables, 'HEROKU_APP') };
}

/**
 * The app's own bucket, to be read for as long as it takes: the credentials are those of the service at this moment, asked for again before they end.
 */
export async function readerOf(variables: Variables) {
  const api = apiOf(variables);
  const { bucket, region } = await api.resource();
  const endpoint = variables['AWS_ENDPOINT_URL_S3'];
  const reader = createBucketReader({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    credentials: async () => {
      const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken, Expiration } = await api.credentials();
      return { accessKeyId, secretAccessKey, sessionToken, expiration: new Date(Expiration) };
    },
  });
  return { reader, bucket };
}

/** The app's own bucket with the app's own credentials. */
export function bucketOf(variables: Variables) {
  const endpoint = variables['AWS_ENDPOINT_URL_S3'];
  return {
    bucket: need(variables, 'LD_S3_BUCKET'),
    store: createObjectStore({
      region: variables['LD_REGION'] ?? 'us-east-1',
      ...(endpoint === undefined ? {} : { endpoint }),
      credentials: {
        accessKeyId: need(variables, 'LD_AWS_ACCESS_KEY_ID'),
        secretAccessKey: need(variables, 'LD_AWS_SECRET_ACCESS_KEY'),
        sessionToken: need(variables, 'LD_AWS_SESSION_TOKEN'),
      },
    }),
  };
}

/**
 * The app's own bucket to write to: with the app's own credentials where the variables have them, as in `.autofiles/env`, else with those that the
 * service gives at this moment, so that AUTOFILES_URL and AUTOFILES_TOKEN are enough. AWS_ENDPOINT_URL_S3 where S3 is not AWS' own.
 */
export async function writableBucketOf(variables: Variables): Promise<ReturnType<typeof bucketOf>> {
  if (variables['LD_S3_BUCKET'] !== undefined) return bucketOf(variables);
  const api = apiOf(variables);
  const [{ bucket, region }, credentials] = await Promise.all([api.resource(), api.credentials()]);
  return bucketOf({
    ...variables,
    LD_S3_BUCKET: bucket,
    LD_REGION: region,
    LD_AWS_ACCESS_KEY_ID: credentials.AccessKeyId,
    LD_AWS_SECRET_ACCESS_KEY: credentials.SecretAccessKey,
    LD_AWS_SESSION_TOKEN: credentials.Token,
  });
}

function need(variables: Variables, name: string): string {
  const value = variables[name];
  if (value === undefined || value === '')
    throw new Failure(
      'config_invalid',
      `${name}: found nothing. It stands in .autofiles/env of a running cloud, or comes from \`heroku config\`.`,
    );
  return value;
}

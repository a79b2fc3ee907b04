import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/schema/config.ts';
import { Failure } from '../../src/schema/failures.ts';

const MASTER_KEY = `${'A'.repeat(43)}=`;
const ARCHIVE = { AUTOFILES_ARCHIVE_BUCKET: 'acme-archive' };
const SOCKET = { AUTOFILES_REDIS_SOCKET: '/tmp/redis.sock', AUTOFILES_MASTER_KEY: MASTER_KEY };

function faultsOf(env: Record<string, string | undefined>): string {
  try {
    readConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(Failure);
    if (error instanceof Failure && error.code === 'config_invalid') return error.detail;
    throw error;
  }
  return '';
}

describe('readConfig', () => {
  it('has a default for everything but Redis and the master key', () => {
    expect(readConfig(SOCKET)).toEqual({
      addon: {
        id: 'line-d',
        password: undefined,
        ssoSalt: undefined,
        ssoLegacy: false,
        oauthClientSecret: undefined,
        herokuIdUrl: 'https://id.heroku.com',
        customerOAuth: undefined,
        tenantRoleArn: undefined,
        asyncDeprovision: false,
        publicUrl: undefined,
        operatorPassword: undefined,
        previousMasterKeys: [],
        supportUrl: 'https://help.heroku.com',
      },
      mode: 'local',
      redis: { socket: '/tmp/redis.sock' },
      region: 'us-east-1',
      s3Endpoint: undefined,
      sqsEndpoint: undefined,
      stsEndpoint: undefined,
      credentials: undefined,
      queueUrl: undefined,
      queueName: 'autofiles-events',
      archiveBucket: 'autofiles-archive',
      herokuApiUrl: 'https://api.heroku.com',
      herokuToken: undefined,
      shards: 1,
      httpPort: 8080,
      httpHost: '127.0.0.1',
      apiToken: undefined,
      consumers: 4,
      taskConcurrency: 100,
      graceMs: 2000,
      pollMs: 250,
      hookedMs: 5000,
      adoptMarginMs: 30_000,
      runsPerMinute: 10_000,
      masterKey: MASTER_KEY,
      resource: undefined,
      lockMs: 8000,
      sweepMs: 5000,
      ledgerMs: 60_000,
      lateMs: 30_000,
      launchesPerHour: 1_000_000,
      stallMs: 30_000,
      workerPort: undefined,
      tracing: undefined,
      metricsToken: undefined,
      logLevel: 'info',
      limits: { perResource: 1_000_000, perAddress: 1_000_000, refused: 1_000_000 },
    });
  });

  it('is calmer in production', () => {
    expect(readConfig({ ...SOCKET, ...ARCHIVE, NODE_ENV: 'production' })).toMatchObject({
      mode: 'production',
      httpHost: '0.0.0.0',
      graceMs: 60_000,
      pollMs: 5000,
      hookedMs: 60_000,
      sweepMs: 15_000,
      launchesPerHour: 4050,
      limits: { perResource: 3000, perAddress: 3000, refused: 300 },
    });
  });

  it.each([
    [{ NODE_ENV: 'production' }, 'production'],
    [{ NODE_ENV: 'test' }, 'test'],
    [{ NODE_ENV: 'development' }, 'local'],
    [{ NODE_ENV: 'production', AUTOFILES_MODE: 'local' }, 'local'],
    [{ AUTOFILES_MODE: 'test' }, 'test'],
  ])('for %j has the mode %s', (env, mode) => {
    expect(readConfig({ ...SOCKET, ...ARCHIVE, ...env }).mode).toBe(mode);
  });

  it('reads what is set, blanks around it taken off', () => {
    const env = {
      AUTOFILES_MASTER_KEY: MASTER_KEY,
      REDIS_URL: ' rediss://:secret@host:6380/1\n',
      AUTOFILES_REGION: 'eu-west-1',
      AUTOFILES_S3_ENDPOINT: 'http://127.0.0.1:9000',
      AUTOFILES_ACCESS_KEY_ID: 'AKIA',
      AUTOFILES_SECRET_ACCESS_KEY: 's3cret',
      AUTOFILES_QUEUE_URL: 'https://sqs.eu-west-1.amazonaws.com/1/events',
      HEROKU_API_URL: 'http://127.0.0.1:5001',
      AUTOFILES_HTTP_PORT: '0',
      AUTOFILES_GRACE_MS: '0',
      LOG_LEVEL: 'silent',
    };
    expect(readConfig(env)).toMatchObject({
      redis: { url: 'rediss://:secret@host:6380/1' },
      region: 'eu-west-1',
      s3Endpoint: 'http://127.0.0.1:9000',
      credentials: { accessKeyId: 'AKIA', secretAccessKey: 's3cret' },
      queueUrl: 'https://sqs.eu-west-1.amazonaws.com/1/events',
      herokuApiUrl: 'http://127.0.0.1:5001',
      httpPort: 0,
      graceMs: 0,
      logLevel: 'silent',
    });
  });

  it('listens where Heroku says, unless told otherwise', () => {
    expect(readConfig({ ...SOCKET, PORT: '5000' }).httpPort).toBe(5000);
    expect(readConfig({ ...SOCKET, PORT: '5000', AUTOFILES_HTTP_PORT: '6000' }).httpPort).toBe(6000);
  });

  it('prefers the socket to a REDIS_URL of the shell', () => {
    expect(readConfig({ ...SOCKET, REDIS_URL: 'redis://elsewhere' }).redis).toEqual({ socket: '/tmp/redis.sock' });
  });

  it('needs an archive bucket of its own in production against AWS, where names are global, and nowhere else', () => {
    const production = { ...SOCKET, NODE_ENV: 'production' };
    expect(faultsOf(production)).toBe(
      'AUTOFILES_ARCHIVE_BUCKET: found nothing, expected the name of a bucket of your own, as deploy/aws/autofiles.yaml makes it.',
    );
    expect(faultsOf({ ...production, AUTOFILES_ARCHIVE_BUCKET: 'No Bucket' }).match(/AUTOFILES_ARCHIVE_BUCKET/g)).toHaveLength(1);
    expect(faultsOf({ ...production, ...ARCHIVE })).toBe('');
    expect(readConfig({ ...production, AUTOFILES_S3_ENDPOINT: 'http://127.0.0.1:9000' }).archiveBucket).toBe('autofiles-archive');
  });

  it('takes every variable that is empty for an unset one', () => {
    for (const mode of ['local', 'test', 'production']) {
      const asked = new Set<string>();
      const base: Record<string, string | undefined> = {
        REDIS_URL: 'redis://127.0.0.1',
        ...ARCHIVE,
        AUTOFILES_MASTER_KEY: MASTER_KEY,
        AUTOFILES_MODE: mode,
      };
      const noting = new Proxy(base, {
        get: (target, name) => {
          if (typeof name === 'string') asked.add(name);
          return Reflect.get(target, name);
        },
      });
      const config = readConfig(noting);
      const others = [...asked].filter((name) => !(name in base));
      expect(others.length).toBeGreaterThan(50);
      for (const blank of ['', ' \n'])
        expect(readConfig({ ...Object.fromEntries(others.map((name) => [name, blank])), ...base })).toEqual(config);
    }
  });

  it('takes an empty variable for an unset one', () => {
    expect(readConfig({ ...SOCKET, REDIS_URL: '', AUTOFILES_SHARDS: ' ', AUTOFILES_API_TOKEN: '', AUTOFILES_MODE: '' })).toEqual(
      readConfig(SOCKET),
    );
  });

  it('needs Redis and a master key', () => {
    expect(faultsOf({})).toContain('AUTOFILES_MASTER_KEY: found nothing, expected 32 bytes in base64');
    expect(faultsOf({})).toContain('REDIS_URL: found nothing, expected redis://… or rediss://…, or AUTOFILES_REDIS_SOCKET');
  });

  it('names everything that is wrong at once', () => {
    const detail = faultsOf({
      AUTOFILES_REDIS_SOCKET: 'redis.sock',
      REDIS_URL: 'http://x',
      AUTOFILES_MODE: 'prod',
      AUTOFILES_SHARDS: '0',
      AUTOFILES_POLL_MS: '5s',
      AUTOFILES_S3_ENDPOINT: 'localhost:9000',
      AUTOFILES_ACCESS_KEY_ID: 'AKIA',
      AUTOFILES_QUEUE_NAME: 'events.fifo',
      LOG_LEVEL: 'loud',
    });
    expect(detail.match(/[A-Z0-9_]+(?=: found)/g)).toEqual([
      'AUTOFILES_MODE',
      'AUTOFILES_REDIS_SOCKET',
      'REDIS_URL',
      'AUTOFILES_S3_ENDPOINT',
      'AUTOFILES_SECRET_ACCESS_KEY',
      'AUTOFILES_QUEUE_NAME',
      'AUTOFILES_SHARDS',
      'AUTOFILES_POLL_MS',
      'AUTOFILES_MASTER_KEY',
      'LOG_LEVEL',
    ]);
    expect(detail).toContain('AUTOFILES_SHARDS: found 0, expected a whole number from 1 to 1024.');
    expect(detail).toContain('LOG_LEVEL: found "loud", expected one of fatal, error, warn, info, debug, trace, silent.');
  });

  it('shows no secret', () => {
    const secret = 'hunter2secret';
    const detail = faultsOf({
      REDIS_URL: `http://:${secret}@host`,
      AUTOFILES_REDIS_SOCKET: `redis://:${secret}@host`,
      AUTOFILES_SECRET_ACCESS_KEY: secret,
      AUTOFILES_S3_ENDPOINT: `ftp://u:${secret}@h`,
      AUTOFILES_QUEUE_URL: `u:${secret}@h`,
      HEROKU_API_URL: `${secret} `,
      AUTOFILES_HEROKU_TOKEN: secret,
      AUTOFILES_API_TOKEN: secret,
      AUTOFILES_MASTER_KEY: secret,
    });
    expect(detail).not.toBe('');
    expect(detail).not.toContain(secret);
  });

  it('gives a configuration or a Failure, whatever the environment', () => {
    const name = fc.constantFrom(
      'NODE_ENV',
      'REDIS_URL',
      'AUTOFILES_REDIS_SOCKET',
      'AUTOFILES_MODE',
      'AUTOFILES_SHARDS',
      'PORT',
      'AUTOFILES_S3_ENDPOINT',
      'LOG_LEVEL',
      'HEROKU_API_URL',
    );
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('1', '99999999999', '-1', '1e3', 'http://', 'redis://', '/', 'constructor', 'production'),
    );
    fc.assert(
      fc.property(fc.dictionary(name, value), (env) => {
        const whole = { ...SOCKET, ...env };
        if (faultsOf(whole) === '') expect(readConfig(whole).shards).toBeGreaterThan(0);
      }),
      { numRuns: 2000 },
    );
  });
});

// `autofiles doctor` on a set-up that works, and on each way in which one does not.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ListBucketsCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDoctor } from '../../src/cli/doctor.ts';
import { type ExamineDeps, examine } from '../../src/processors/examine.ts';
import type { Finding } from '../../src/processors/examine-state.ts';
import { readConfig } from '../../src/schema/config.ts';
import { platformWith } from '../dynos/platform.ts';
import { type AddonWorld, startAddonWorld } from './addon-world.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

let world: AddonWorld;
let platform: Awaited<ReturnType<typeof platformWith>>;
let env: Record<string, string>;
let resource: string;

beforeAll(async () => {
  platform = await platformWith({}, { copies: 'plain' });
  world = await startAddonWorld();
  env = {
    ...world.env,
    AUTOFILES_PUBLIC_URL: world.url,
    AUTOFILES_ARCHIVE_BUCKET: 'doctors-archive',
    AUTOFILES_HEROKU_TOKEN: 'secret-token',
    HEROKU_API_URL: platform.base,
  };
  await world.work();
  resource = await world.provisioned();
});
afterAll(async () => {
  await world?.stop();
  await platform?.close();
});

/** Examines with other variables, and with parts put in the place of others. */
async function examined(
  more: Record<string, string> = {},
  parts: Partial<ExamineDeps> = {},
): Promise<Record<string, Omit<Finding, 'step'>>> {
  const { deps, close } = openDoctor(readConfig({ ...env, ...more }));
  try {
    const told: Finding[] = [];
    const findings = await examine({ ...deps, ...parts }, (finding) => told.push(finding), AbortSignal.timeout(60_000));
    expect(told).toEqual(findings);
    return Object.fromEntries(findings.map(({ step, ...finding }) => [step, finding]));
  } finally {
    close();
  }
}

const states = (findings: Record<string, Omit<Finding, 'step'>>) =>
  Object.fromEntries(Object.entries(findings).map(([step, { state }]) => [step, state]));
const buckets = async () => (await world.store.s3().send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name);

describe('the doctor', () => {
  it('finds a set-up that works well, and leaves nothing behind', async () => {
    await examined();
    const before = await buckets();
    const found = await examined();
    expect(states(found)).toEqual({
      Redis: 'ok',
      'AWS keys': 'ok',
      'event queue': 'warning',
      'archive bucket': 'ok',
      "a tenant's bucket": 'ok',
      "a tenant's credentials": 'ok',
      'events of a bucket': 'ok',
      'removing a bucket': 'ok',
      'Heroku token': 'ok',
      'public address': 'ok',
      workers: 'warning',
      resources: 'ok',
    });
    expect(found['event queue']?.fix).toContain('RedrivePolicy');
    expect(found["a tenant's credentials"]?.found).toMatch(/alone, for 12 h/);
    expect(found['Heroku token']?.found).toBe('acts for you@localhost');
    expect(found['public address']?.found).toContain('takes the password of the manifest');
    expect(found['resources']?.found).toContain('1 installed');
    expect(await buckets()).toEqual(before);
  });

  it('says that keys are wrong, and tries nothing that stands on them', async () => {
    const found = await examined({ AUTOFILES_SECRET_ACCESS_KEY: 'not-the-secret' });
    expect(found['AWS keys']).toMatchObject({ state: 'failed', found: expect.stringContaining('keys are not valid') });
    expect(states(found)).toMatchObject({
      Redis: 'ok',
      'event queue': 'skipped',
      'archive bucket': 'skipped',
      "a tenant's bucket": 'skipped',
      'events of a bucket': 'skipped',
      'Heroku token': 'ok',
    });
  });

  it('does not take keys of a role where a role is to be assumed with them', async () => {
    const identity = async () => ({ account: '123456789012', arn: 'arn:aws:iam::123456789012:role/*task', chained: true });
    const found = await examined({ AUTOFILES_TENANT_ROLE_ARN: 'arn:aws:iam::123456789012:role/tenant' }, { identity });
    expect(found['AWS keys']).toMatchObject({ state: 'failed', found: expect.stringContaining('role chaining') });
  });

  it('misses a queue that nobody made, one that is FIFO, and one that forgets early', async () => {
    expect((await examined({ AUTOFILES_QUEUE_NAME: 'never-made' }))['event queue']).toMatchObject({
      state: 'failed',
      found: expect.stringContaining('There is no queue never-made'),
      fix: expect.stringContaining('deploy/aws'),
    });
    const facts = { url: '', arn: 'arn:aws:sqs:us-east-1:1:q', fifo: false, retention: 1_209_600, waiting: 0, setsAside: true };
    const of = async (more: object) => (await examined({}, { queue: async () => ({ ...facts, ...more }) }))['event queue'];
    expect(await of({})).toMatchObject({ state: 'ok' });
    expect(await of({ fifo: true })).toMatchObject({ state: 'failed', fix: expect.stringContaining('standard') });
    expect(await of({ retention: 345_600 })).toMatchObject({ state: 'warning', found: expect.stringContaining('96 h') });
  });

  it("finds credentials that open more than their tenant's bucket", async () => {
    const found = await examined({}, { tenantStore: () => ({ ...world.clients.store, close: () => {} }) });
    expect(found["a tenant's credentials"]).toMatchObject({ state: 'failed', found: 'they also open doctors-archive' });
  });

  it('finds a Redis that drops keys, and one that does not answer', async () => {
    await world.redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      expect((await examined())['Redis']).toMatchObject({ state: 'failed', found: expect.stringContaining('allkeys-lru') });
    } finally {
      await world.redis.config('SET', 'maxmemory-policy', 'noeviction');
    }
    const away = await examined({ AUTOFILES_REDIS_SOCKET: '/nowhere/redis.sock' });
    expect(states(away)).toMatchObject({ Redis: 'failed', workers: 'skipped', resources: 'skipped', 'archive bucket': 'ok' });
  });

  it('finds a token that Heroku does not take, and an address that is somebody else’s or has another password', async () => {
    expect((await examined({ AUTOFILES_HEROKU_TOKEN: 'an-old-token' }))['Heroku token']).toMatchObject({
      state: 'failed',
      fix: expect.stringContaining('authorizations:create'),
    });
    const address = async (more: Record<string, string>) => (await examined(more))['public address'];
    expect(await address({ AUTOFILES_PUBLIC_URL: world.store.endpoint })).toMatchObject({
      state: 'failed',
      found: expect.stringContaining('expected 401'),
    });
    expect(await address({ AUTOFILES_ADDON_PASSWORD: 'another-password' })).toMatchObject({
      state: 'failed',
      found: expect.stringContaining('found HTTP 401, expected 404'),
    });
    expect(await address({ AUTOFILES_PUBLIC_URL: '' })).toMatchObject({ state: 'warning' });
  });

  it('names the resources that cannot be served, and why', async () => {
    const late = await examined({}, { now: () => Date.now() + 11 * 3_600_000 });
    expect(late['resources']).toMatchObject({
      state: 'failed',
      found: expect.stringMatching(new RegExp(`^1 of 1: ${resource} .*credentials end`)),
    });
    await world.resources.change(resource, { set: { permission: 'none' } });
    const without = await examined({ AUTOFILES_HEROKU_TOKEN: '' });
    expect(without['resources']?.found).toContain("has nobody's leave to start dynos");
    await world.resources.change(resource, { set: { permission: 'partner' } });
  });

  it('is a command: a line for each step, exit status 1 when one failed', async () => {
    const run = promisify(execFile);
    const cli = (more: Record<string, string>) =>
      run(process.execPath, [MAIN, 'doctor'], { env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env, ...more } }).then(
        ({ stdout }) => ({ status: 0, stdout }),
        (error: { code: number; stdout: string }) => ({ status: error.code, stdout: error.stdout }),
      );
    const well = await cli({});
    expect(well).toMatchObject({ status: 0, stdout: expect.stringMatching(/^✓ Redis +answers[\s\S]*^✓ resources +1 installed/m) });
    const ill = await cli({ AUTOFILES_HEROKU_TOKEN: 'an-old-token' });
    expect(ill).toMatchObject({ status: 1, stdout: expect.stringMatching(/^✗ Heroku token .*\n +→ Make a new one/m) });
  });
});

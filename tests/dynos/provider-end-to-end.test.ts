// Both sides of the Partner API as they are: the local platform plays Heroku, and the add-on is our own web process and worker with a real store and Redis.
import { HeadBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Provider } from '../../src/local/dynos/addons/providers.ts';
import { type AddonWorld, startAddonWorld } from '../addon/addon-world.ts';
import { eventually, platformWith } from './platform.ts';

const vars = ['LD_AWS_ACCESS_KEY_ID', 'LD_AWS_SECRET_ACCESS_KEY', 'LD_AWS_SESSION_TOKEN', 'LD_REGION', 'LD_S3_BUCKET'];

describe('the add-on on the local platform', () => {
  let world: AddonWorld;
  let platform: Awaited<ReturnType<typeof platformWith>>;
  // Where the add-on answers is known only when both sides run.
  const provider: Provider = {
    id: 'line-d',
    name: 'line^d',
    password: 'super-secret-password',
    ssoSalt: '2f97bfa52ca102f8874716e2eb1d3b4920ad0be4',
    clientSecret: 'oauth-client-secret',
    prefix: 'LD',
    configVars: vars,
    requires: [],
    baseUrl: '',
    ssoUrl: undefined,
    plans: [
      { name: 'free', humanName: 'Free', description: '', cents: 0, default: true },
      { name: 'basic', humanName: 'Basic', description: '', cents: 1_500, default: false },
    ],
    permissions: new Set(['dynos']),
  };
  beforeAll(async () => {
    platform = await platformWith({ Procfile: 'web: sleep 600\n' }, { copies: 'plain', providers: [provider] });
    world = await startAddonWorld({ env: { HEROKU_API_URL: platform.base, HEROKU_ID_URL: platform.base } });
    provider.baseUrl = `${world.url}/heroku/resources`;
    await world.work();
  });
  afterAll(async () => {
    await world?.stop();
    await platform?.close();
  });

  it('is provisioned over the wire, changes its plan, and leaves nothing when it is destroyed', async () => {
    const made = await platform.json<{ id: string; state: string; name: string }>('POST', '/apps/myapp/addons', {
      plan: { name: 'line-d' },
    });
    expect(made).toMatchObject({ state: 'provisioning', name: expect.stringMatching(/^line-d-/) });
    const addon = () => platform.json<{ state: string; config_vars: string[] }>('GET', `/addons/${made.id}`);
    await eventually('it is provisioned', async () => (await addon()).state === 'provisioned');
    expect((await addon()).config_vars.toSorted()).toEqual(vars);
    const config = await platform.json<Record<string, string>>('GET', '/apps/myapp/config-vars');
    const log = (await platform.logs({ dyno: 'api' })).join('\n');
    expect(log).toContain(`@ref:${made.name} completed provisioning, setting`);
    expect(log).toContain('Release v2 created by user line-d@addons.heroku.com');

    const s3 = new S3Client({
      endpoint: world.store.endpoint,
      region: config['LD_REGION'] ?? '',
      forcePathStyle: true,
      credentials: {
        accessKeyId: config['LD_AWS_ACCESS_KEY_ID'] ?? '',
        secretAccessKey: config['LD_AWS_SECRET_ACCESS_KEY'] ?? '',
        sessionToken: config['LD_AWS_SESSION_TOKEN'] ?? '',
      },
    });
    try {
      const bucket = config['LD_S3_BUCKET'] ?? '';
      expect(bucket).toBe(`ld-private-${made.id}`);
      expect((await s3.send(new ListObjectsV2Command({ Bucket: bucket }))).KeyCount).toBe(0);
      expect(await platform.json('PATCH', `/apps/myapp/addons/${made.name}`, { plan: { name: 'line-d:basic' } })).toMatchObject({
        plan: { name: 'line-d:basic' },
      });
      const gone = await platform.json<{ state: string }>('DELETE', `/apps/myapp/addons/${made.id}`, { force: false });
      expect(gone.state).toMatch(/^deprovision(ed|ing)$/);
      await eventually('it is gone', async () => (await platform.call('GET', `/addons/${made.id}`)).status === 404);
      expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({});
      await eventually('its credentials are dead and its bucket is gone', async () => {
        const denied = await s3.send(new ListObjectsV2Command({ Bucket: bucket })).then(
          () => false,
          () => true,
        );
        const missing = await world.store
          .s3()
          .send(new HeadBucketCommand({ Bucket: bucket }))
          .then(
            () => false,
            () => true,
          );
        return denied && missing;
      });
    } finally {
      s3.destroy();
    }
    expect(platform.reports).toEqual([]);
  });
});

// Both sides of the Partner API as they are: the local platform plays Heroku, and the add-on is our own web process and worker with a real store and Redis.
import { HeadBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AddonWorld, startAddonWorld } from '../addon/addon-world.ts';
import { eventually, platformWith } from './platform.ts';
import { lineD } from './provider.ts';

describe('the add-on on the local platform', () => {
  let world: AddonWorld;
  let platform: Awaited<ReturnType<typeof platformWith>>;
  const provider = lineD();
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
    expect((await addon()).config_vars.toSorted()).toEqual(provider.configVars);
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

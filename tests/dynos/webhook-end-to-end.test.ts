// Heroku's events on the local platform, with our own web process and worker: what they tell is known without a look at the dyno list.
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runIdOf } from '../../src/queues/identity.ts';
import { readRun } from '../../src/queues/views.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { isFinal } from '../../src/schema/run-view.ts';
import { type AddonWorld, startAddonWorld } from '../addon/addon-world.ts';
import { eventually, platformWith } from './platform.ts';
import { lineD } from './provider.ts';

/** Longer than any test: nothing is known by polling. */
const NEVER = '3600000';

let world: AddonWorld;
let platform: Awaited<ReturnType<typeof platformWith>>;
const provider = lineD();

beforeAll(async () => {
  platform = await platformWith({ Procfile: 'web: sleep 600\n' }, { copies: 'plain', providers: [provider] });
  world = await startAddonWorld({
    env: { HEROKU_API_URL: platform.base, HEROKU_ID_URL: platform.base, AUTOFILES_POLL_MS: NEVER, AUTOFILES_GRACE_MS: '50' },
  });
  provider.baseUrl = `${world.url}/heroku/resources`;
  world.workerProcess('');
});
afterAll(async () => {
  await world?.stop();
  await platform?.close();
});

/** Uploads a workflow as the customer does; the run when it has ended. */
async function ran(bucket: string, run: unknown): Promise<RunView> {
  const key = 'in/workflow.json';
  const { VersionId } = await world.store
    .s3()
    .send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: JSON.stringify({ run }), Metadata: { ld_run: 'true' } }));
  const runId = runIdOf({ bucket, key, versionId: VersionId ?? '' }, 1);
  return await eventually('the run ends', async () => {
    const view = await readRun(world.redis, runId);
    return view !== undefined && isFinal(view.state) && view;
  });
}

it('tell that a dyno is up and that it has ended', async () => {
  const { id } = await platform.json<{ id: string }>('POST', '/apps/myapp/addons', { plan: { name: 'line-d' } });
  await eventually('it is provisioned', async () => (await world.resources.stateOf(id)) === 'provisioned');
  const bucket = `ld-private-${id}`;

  const ended = await ran(bucket, [{ cmd: 'exit 3', timeout: 600, retries: 0 }]);
  expect(ended).toMatchObject({ state: 'failed', steps: [{ tasks: [{ error: { code: 'exited_without_output' } }] }] });
  expect(ended.history.map(({ what }) => what)).toContain('exited');

  const up = await ran(bucket, [
    { cmd: 'sleep 0.2', timeout: 600, no_output: true },
    { cmd: 'true', timeout: 600, no_output: true },
  ]);
  expect(up.state).toBe('succeeded');

  // created, up, complete, gone: of three dynos
  await eventually('every event was taken', async () => {
    const deliveries = await platform.json<{ status: string }[]>('GET', `/addons/${id}/webhook-deliveries`);
    return deliveries.length === 12 && deliveries.every(({ status }) => status === 'succeeded');
  });
  expect(platform.reports).toEqual([]);
});

// Heroku's events of dynos at `/heroku/webhooks`: who is believed, and what comes of it.
import { createHmac, randomUUID } from 'node:crypto';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { herokuHooksRoutes } from '../../src/http/heroku-hooks-routes.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createResourceJobs } from '../../src/queues/resource-jobs.ts';
import { refOf } from '../../src/queues/run-record.ts';
import { createRuns, type Runs } from '../../src/queues/runs.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { readRun } from '../../src/queues/views.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { withMarker } from '../../src/schema/command.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, startAddonWorld } from './addon-world.ts';

let world: AddonWorld;
let runs: Runs;
let uuid: string;
let other: string;

beforeAll(async () => {
  // few: what is refused here closes nothing
  world = await startAddonWorld({ env: { AUTOFILES_REFUSED_PER_ADDRESS: '3' } });
  runs = createRuns({ redis: world.redis });
  await world.work();
  [uuid, other] = await Promise.all([world.provisioned(), world.provisioned()]);
});
afterAll(async () => await world?.stop());

/** A run of one task that is at its launch; `launched` records the answer. */
async function launching(options: { resource?: string; noOutput?: boolean } = {}) {
  const resource = options.resource ?? uuid;
  const runId = seedId(randomUUID());
  const workflow = { title: 'one', run: [{ cmd: 'work', no_output: options.noOutput === true }] };
  await seedRuns(world.redis, [{ runId, resource, workflow }]);
  await world.redis.hset(shardKeys(0).run(runId), 'state', 'running');
  const parsed = parseWorkflow(JSON.stringify(workflow));
  const task = parsed.ok ? parsed.plan.steps[0]?.tasks[0] : undefined;
  const ref = refOf(`${runId}.0.0`);
  if (task === undefined || ref === undefined) throw new Error('no task');
  const common = { ref, task, resource, token: 't', first: true, adoptAfter: 60_000, grace: 60_000, budget: 'granted' as const };
  expect((await runs.enter(common)).action).toBe('launch');
  const dyno = { id: randomUUID(), name: 'run.1234' };
  return {
    runId,
    taskId: ref.id,
    dyno,
    command: withMarker('work', ref.id, 1),
    launched: async () =>
      await runs.launched({ ref, resource, attempt: 1, timeout: 60, noOutput: task.no_output, dyno, up: false, adopted: false }),
    record: async () => await world.redis.hgetall(shardKeys(0).run(runId)),
    /** What was recorded since the intent. */
    history: async () => (await readRun(world.redis, runId))?.history.slice(2).map(({ what }) => what),
  };
}
type Launching = Awaited<ReturnType<typeof launching>>;

function event(of: Pick<Launching, 'dyno' | 'command'>, state: string, more: { action?: string; app?: string; id?: string } = {}) {
  const app = world.heroku.addon(uuid);
  return {
    id: more.id ?? randomUUID(),
    action: more.action ?? 'update',
    actor: { id: randomUUID(), email: 'line-d@addons.heroku.com' },
    data: {
      ...of.dyno,
      attach_url: null,
      command: of.command,
      state,
      size: 'Basic',
      type: 'run',
      app: { id: more.app ?? app.appId, name: `app-${app.name}` },
      release: { id: randomUUID(), version: 3 },
    },
    previous_data: {},
    resource: 'dyno',
    sequence: null,
    version: 'application/vnd.heroku+json; version=3',
    webhook_metadata: { attempt: { id: randomUUID() }, event: { include: 'api:dyno' } },
  };
}
const secretOf = (id: string) => world.heroku.addon(id).hooks[0]?.secret ?? '';
const sign = (body: string, secret: string) => createHmac('sha256', secret).update(body).digest('base64');

/** Sends as Heroku does. */
async function tell(body: unknown, options: { resource?: string; secret?: string; signature?: string } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const signature = options.signature ?? sign(text, options.secret ?? secretOf(uuid));
  return await world.call('POST', `/heroku/webhooks?resource=${options.resource ?? uuid}`, text, {
    authorization: '',
    'heroku-webhook-hmac-sha256': signature,
  });
}

test('the hook is asked for once, with an address and a secret of the resource’s own', async () => {
  const { uuid: id, body } = world.heroku.create();
  const provisioned = () => until('provisioned', async () => (await world.resources.stateOf(id)) === 'provisioned');
  expect((await world.call('POST', '/heroku/resources', body)).status).toBe(202);
  await provisioned();
  const { hooks } = world.heroku.addon(id);
  expect(hooks).toMatchObject([{ url: `${world.url}/heroku/webhooks?resource=${id}`, include: ['api:dyno'] }]);
  const secret = secretOf(id);
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect(secret).not.toBe(secretOf(uuid));
  // a job that died behind it asks again: the webhook is changed, not doubled
  await until('its job is over', async () => (await world.redis.keys(`{af:addon}:*:provision-${id}`)).length === 0);
  await world.resources.change(id, { set: { state: 'provisioning' } });
  const jobs = createResourceJobs({ connection: world.redis, onError: () => {} });
  await jobs.add({ kind: 'provision', resource: id });
  await provisioned();
  await jobs.close();
  expect(hooks).toHaveLength(1);
  expect(secretOf(id)).toBe(secret);
  expect(world.heroku.calls.filter(({ method, path }) => method === 'PATCH' && path.startsWith(`/addons/${id}/webhooks/`))).toHaveLength(1);
});

describe('an event', () => {
  test('tells that a dyno is up and that it has ended, at once', async () => {
    const one = await launching();
    await one.launched();
    expect((await tell(event(one, 'starting', { action: 'create' }))).status).toBe(204);
    expect((await tell(event(one, 'up'))).status).toBe(204);
    expect(await one.history()).toEqual(['launched', 'up']);
    expect((await tell(event(one, 'complete'))).status).toBe(204);
    expect(await one.history()).toEqual(['launched', 'up', 'exited']);
    expect((await tell(event(one, 'complete', { action: 'destroy' }))).status).toBe(204);
    expect(await one.history()).toHaveLength(3);
  });

  test('makes the dyno list be looked at rarely', async () => {
    const watch = createWatch({ redis: world.redis, shard: 0 });
    const one = await launching({ resource: other });
    await one.launched();
    expect(await watch.hooked(other)).toBe(false);
    const app = world.heroku.addon(other).appId;
    expect((await tell(event(one, 'up', { app }), { resource: other, secret: secretOf(other) })).status).toBe(204);
    expect(await watch.hooked(other)).toBe(true);
  });

  test('settles a task without output when it is up', async () => {
    const one = await launching({ noOutput: true });
    await one.launched();
    await tell(event(one, 'up'));
    expect((await one.record())['o:0.0']).toMatch(/^\d+\|$/);
  });

  test('that overtakes the answer to the launch is not lost, and the answer changes nothing', async () => {
    const one = await launching();
    await tell(event(one, 'complete', { action: 'destroy' }));
    expect(await one.launched()).toBe('ok');
    await tell(event(one, 'up'));
    await tell(event(one, 'starting', { action: 'create' }));
    expect(await one.history()).toEqual(['launched', 'exited']);
    expect((await one.record())['p:0.0']).toBe('await');
  });

  test('of a dyno that crashed and is gone says that it crashed', async () => {
    const one = await launching();
    await one.launched();
    await tell(event(one, 'crashed', { action: 'destroy' }));
    expect((await one.record())['x:0.0']).toMatch(/\|crashed$/);
  });

  test('that comes again, in a copy or later under another id, changes nothing', async () => {
    const one = await launching();
    await one.launched();
    const end = event(one, 'complete');
    const answers = await Promise.all([tell(end), tell(end), tell(end)]);
    expect(answers.map(({ status }) => status)).toEqual([204, 204, 204]);
    await tell({ ...end, id: randomUUID() });
    expect(await one.history()).toEqual(['launched', 'exited']);
  });

  test('of the customer’s own dynos, of another kind or about another app is taken and means nothing', async () => {
    const one = await launching();
    await one.launched();
    expect((await tell({ ...event(one, 'complete'), resource: 'release', data: {} })).status).toBe(204);
    expect((await tell(event(one, 'complete', { app: randomUUID() }))).status).toBe(204);
    expect((await tell(event({ ...one, command: 'rails console' }, 'complete'))).status).toBe(204);
    expect(await one.history()).toEqual(['launched']);
  });

  test('of one resource cannot touch a task of another', async () => {
    const theirs = await launching({ resource: other });
    expect((await tell(event(theirs, 'complete'))).status).toBe(204);
    expect(await theirs.history()).toEqual([]);
    await theirs.launched();
    // the app of `uuid` runs a dyno whose command names the other's task: what anybody with a shell there can do
    expect((await tell(event(theirs, 'complete'))).status).toBe(204);
    expect(await theirs.history()).toEqual(['launched']);
  });
});

describe('refused as one and the same', () => {
  const forged: readonly [string, (text: string) => Promise<Awaited<ReturnType<typeof tell>>>][] = [
    ['no signature', async (text) => await tell(text, { signature: '' })],
    ['another secret', async (text) => await tell(text, { secret: 'guess' })],
    ['an empty secret', async (text) => await tell(text, { secret: '' })],
    ['the secret of another resource', async (text) => await tell(text, { secret: secretOf(other) })],
    ['another resource with this one’s signature', async (text) => await tell(text, { resource: other })],
    ['a resource that never was', async (text) => await tell(text, { resource: randomUUID() })],
    ['a resource that is no uuid', async (text) => await tell(text, { resource: '../af:resource' })],
    ['an unknown resource with the HMAC of nothing', async (text) => await tell(text, { resource: randomUUID(), secret: '' })],
    ['a body with one more blank', async (text) => await tell(`${text} `, { signature: sign(text, secretOf(uuid)) })],
    [
      'the signature in hex',
      async (text) => await tell(text, { signature: createHmac('sha256', secretOf(uuid)).update(text).digest('hex') }),
    ],
  ];
  test.each(forged)('%s', async (_what, send) => {
    const one = await launching();
    await one.launched();
    const answer = await send(JSON.stringify(event(one, 'complete')));
    expect(answer.status).toBe(401);
    expect(answer.json).toMatchObject({ title: 'unauthorized', detail: expect.stringContaining('not signed') });
    expect(await one.history()).toEqual(['launched']);
  });
});

test('a signed event is taken from an address of which any number was refused, and of a resource for which any number was', async () => {
  const one = await launching();
  await one.launched();
  const end = JSON.stringify(event(one, 'complete'));
  // anybody may have Heroku send events of their own here, signed with a secret of their own
  const refused = [];
  for (let i = 0; i < 8; i += 1) refused.push((await tell(end, { secret: 'a-secret-of-their-own' })).status);
  expect(refused).toEqual(Array(8).fill(401));
  expect((await tell(end)).status).toBe(204);
  expect(await one.history()).toEqual(['launched', 'exited']);
});

test('what is signed and no event is refused, what is too large is not even signed for', async () => {
  for (const body of [
    '',
    'no json',
    '[]',
    '{"id":"x"}',
    '{"id":"x","resource":"dyno"}',
    JSON.stringify({ id: 'x'.repeat(300), resource: 'dyno' }),
  ]) {
    expect((await tell(body)).status).toBe(400);
  }
  const large = { method: 'POST', body: 'x'.repeat(300_000) };
  expect(
    (await world.app.request(`http://127.0.0.1/heroku/webhooks?resource=${uuid}`, { ...large, headers: { host: '127.0.0.1' } })).status,
  ).toBe(413);
  expect((await world.call('GET', `/heroku/webhooks?resource=${uuid}`)).status).toBe(404);
});

test('an event that could not be written is new when it comes again', async () => {
  const one = await launching();
  await one.launched();
  const end = event(one, 'complete');
  // a record that is no hash makes the script fail
  const key = shardKeys(0).run(one.runId);
  await world.redis.rename(key, `${key}:aside`);
  await world.redis.set(key, 'damaged');
  expect((await tell(end)).status).toBe(500);
  await world.redis.rename(`${key}:aside`, key);
  expect((await tell(end)).status).toBe(204);
  expect(await one.history()).toEqual(['launched', 'exited']);
});

test('an event that Redis went away under is done when it comes again', async () => {
  const away = async () => await Promise.reject(new Error('Command timed out'));
  // nothing is taken back then
  const redis = Object.assign(Object.create(world.redis), { del: away });
  let heard = 0;
  const hooks = new Hono()
    .onError((_error, c) => c.body(null, 503))
    .route(
      '/',
      herokuHooksRoutes({
        resources: world.resources,
        sessions: createSessions({ redis }),
        news: {
          heard: async () => {
            heard += 1;
            return heard === 1 ? await away() : 'up';
          },
        },
        addressOf: () => '127.0.0.1',
        now: Date.now,
        log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      }),
    );
  const body = JSON.stringify(event({ dyno: { id: randomUUID(), name: 'run.1' }, command: 'x' }, 'up'));
  const headers = { 'heroku-webhook-hmac-sha256': sign(body, secretOf(uuid)) };
  const statuses: number[] = [];
  for (let i = 0; i < 3; i += 1) statuses.push((await hooks.request(`/?resource=${uuid}`, { method: 'POST', body, headers })).status);
  expect(statuses).toEqual([503, 204, 204]);
  // and no third time
  expect(heard).toBe(2);
});

test('a removed resource’s events are refused like those of one that never was', async () => {
  const gone = await world.provisioned();
  const secret = secretOf(gone);
  await world.call('DELETE', `/heroku/resources/${gone}`);
  const one = { dyno: { id: randomUUID(), name: 'run.1' }, command: 'x' };
  await expect.poll(async () => (await tell(event(one, 'up'), { resource: gone, secret })).status, { timeout: 20_000 }).toBe(401);
});

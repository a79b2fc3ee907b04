// A new master key takes the keys of webhooks along: nothing is left that only the old one opens.
import { createHmac, randomBytes } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { openAddonWorker } from '../../src/cli/addon-worker.ts';
import { openWebhookWorker } from '../../src/cli/webhook-worker.ts';
import { createClients, createSealerOf } from '../../src/cli/wiring.ts';
import { webhookKeys } from '../../src/queues/keys.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { rewrapWebhooks } from '../../src/queues/webhook-keys.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import { type Config, readConfig } from '../../src/schema/config.ts';
import { NO_TELEMETRY } from '../../src/schema/telemetry.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, type LogLine, startAddonWorld } from './addon-world.ts';

const RESOURCE = 'rewrapped';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start() {
  const world = await startAddonWorld();
  ends.push(world.stop);
  await world.resources.put({ id: RESOURCE, app: '', bucket: 'ld-private-rewrapped', region: 'us-east-1', plan: 'basic' });
  const webhooks = webhooksOf(world, world.config);
  return { world, webhooks, hook: await webhooks.add(RESOURCE, 'https://customer.example/') };
}

function webhooksOf(world: AddonWorld, config: Config) {
  const webhooks = createWebhooks({
    redis: world.redis,
    sealer: createSealerOf(config),
    shards: () => 1,
    now: Date.now,
    onError: () => {},
  });
  ends.push(webhooks.close);
  return webhooks;
}

/** A worker that looks at the resources with this configuration, and what it logged. */
async function look(config: Config): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  const note = (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => {
    lines.push({ level, message, fields });
  };
  const log = { debug: () => {}, info: note('info'), warn: note('warn'), error: note('error') };
  const clients = createClients(config);
  const addon = await openAddonWorker({
    config,
    layout: unchanged(config.shards),
    clients,
    failpoint: () => {},
    telemetry: NO_TELEMETRY,
    log,
  });
  const stop = await addon.start(() => Promise.resolve(0));
  ends.push(async () => {
    await stop();
    addon.close();
    clients.store.close();
    clients.queue.close();
    clients.issuer.close();
    clients.buckets.dispose();
  });
  return lines;
}

it('with a new master key, and then without the old one, deliveries are signed as before', async () => {
  const { world, hook } = await start();
  const master = randomBytes(32).toString('base64');
  const both = readConfig({ ...world.env, AUTOFILES_MASTER_KEY: master, AUTOFILES_PREVIOUS_MASTER_KEYS: world.config.masterKey });
  const lines = await look(both);
  await until('the look', () => lines.some(({ message }) => message === 'wrapped the keys of webhooks by the current master key'));

  const alone = readConfig({ ...world.env, AUTOFILES_MASTER_KEY: master });
  const sent: { headers: Readonly<Record<string, string>>; body: string }[] = [];
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const worker = openWebhookWorker(alone, log, async (_url, headers, body) => {
    sent.push({ headers, body });
    return await Promise.resolve(204);
  });
  ends.push(worker.stop);
  const id = await webhooksOf(world, alone).ping(RESOURCE, hook.id);
  const { headers, body } = await until('the delivery', () => sent.find((one) => one.headers['webhook-id'] === id));
  const key = Buffer.from(hook.secret.slice('whsec_'.length), 'base64');
  const signed = createHmac('sha256', key).update(`${id}.${headers['webhook-timestamp']}.${body}`).digest('base64');
  expect(headers['webhook-signature']).toBe(`v1,${signed}`);
});

it('a webhook that is removed at that moment does not come back', async () => {
  const { world, webhooks, hook } = await start();
  const { all } = webhookKeys(RESOURCE);
  const sealer = createSealer(randomBytes(32), [Buffer.from(world.config.masterKey, 'base64')]);
  // between the look at the webhooks and the writing
  const late = new Proxy(world.redis, {
    get: (target, name) => {
      if (name !== 'hgetall') return Reflect.get(target, name, target) as unknown;
      return async (key: string) => {
        const found = await target.hgetall(key);
        await webhooks.remove(RESOURCE, hook.id);
        return found;
      };
    },
  });
  expect(await rewrapWebhooks({ redis: late, sealer }, RESOURCE)).toBe(0);
  expect(await world.redis.exists(all)).toBe(0);
});

it('a key that no master key opens is told of, and keeps neither the other webhooks nor the credentials from their turn', async () => {
  const { world, webhooks, hook } = await start();
  const { all } = webhookKeys(RESOURCE);
  const lost = createWebhooks({
    redis: world.redis,
    sealer: createSealer(randomBytes(32)),
    shards: () => 1,
    now: Date.now,
    onError: () => {},
  });
  ends.push(lost.close);
  const unknown = await lost.add(RESOURCE, 'https://lost.example/');
  const master = randomBytes(32).toString('base64');
  const both = readConfig({ ...world.env, AUTOFILES_MASTER_KEY: master, AUTOFILES_PREVIOUS_MASTER_KEYS: world.config.masterKey });
  const before = await world.redis.hgetall(all);
  const lines = await look(both);
  const told = await until('the error', () => lines.find(({ level }) => level === 'error'));
  expect(told).toMatchObject({ message: 'webhook keys not wrapped again', fields: { resource: RESOURCE } });
  await until(
    'the alarm of missing credentials, or their rotation',
    async () => (await world.redis.exists('{af:addon}:resource:id')) === 1,
  );
  const after = await world.redis.hgetall(all);
  expect(after[unknown.id]).toBe(before[unknown.id]);
  expect(after[hook.id]).not.toBe(before[hook.id]);
  expect(await webhooks.list(RESOURCE)).toHaveLength(2);
});

// Where the queue is named by its URL, new buckets send their events there: it is the one that the workers read.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateQueueCommand, GetQueueUrlCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterEach, expect, it } from 'vitest';
import { provisionByHand } from '../../src/cli/provision-command.ts';
import { readConfig } from '../../src/schema/config.ts';
import { root } from '../store/running-store.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, startAddonWorld } from './addon-world.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const BY_HAND = '0b5c1f0e-0000-4000-8000-000000000001';

/** A world with a queue of another name, and the variables of processes that are told its URL. */
async function start(env: (url: string) => Record<string, string>) {
  const world = await startAddonWorld();
  ends.push(world.stop);
  const access = { endpoint: world.store.endpoint, region: 'us-east-1', credentials: root };
  const sqs = new SQSClient(access);
  const s3 = new S3Client({ ...access, forcePathStyle: true });
  ends.push(
    () => sqs.destroy(),
    () => s3.destroy(),
  );
  const { QueueUrl: url = '' } = await sqs.send(new CreateQueueCommand({ QueueName: 'elsewhere' }));
  const variables = { ...world.env, ...env(url) };
  return { world, variables, sqs, s3, url };
}

async function expectEvents({ sqs, s3, url }: Awaited<ReturnType<typeof start>>, bucket: string): Promise<void> {
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'in/file', Body: 'x' }));
  const event = await until('the event', async () => {
    const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 1 }));
    return Messages.map(({ Body = '' }) => Body).find((body) => body.includes('in/file'));
  });
  expect(event).toContain(bucket);
  await expect(sqs.send(new GetQueueUrlCommand({ QueueName: 'autofiles-events' }))).rejects.toThrow();
}

async function workWith(world: AddonWorld, variables: Record<string, string>) {
  await world.work(undefined, readConfig(variables));
}

it('an installation', async () => {
  const started = await start((url) => ({ AUTOFILES_QUEUE_URL: url }));
  await workWith(started.world, started.variables);
  await expectEvents(started, `ld-private-${await started.world.provisioned()}`);
});

it('autofiles provision', async () => {
  // an app that takes every config var
  const heroku = createServer((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
  heroku.listen(0, '127.0.0.1');
  ends.push(() => {
    heroku.close();
  });
  await once(heroku, 'listening');
  // a listening TCP server has an AddressInfo
  const HEROKU_API_URL = `http://127.0.0.1:${(heroku.address() as AddressInfo).port}`;
  const started = await start((url) => ({
    AUTOFILES_QUEUE_URL: url,
    AUTOFILES_HEROKU_TOKEN: 'token',
    HEROKU_API_URL,
    AUTOFILES_PUBLIC_URL: '',
  }));
  const bucket = `ld-private-${BY_HAND}`;
  await provisionByHand({ id: BY_HAND, app: 'app', bucket, plan: 'basic' }, started.variables);
  await expectEvents(started, bucket);
});

it('a queue that is not there is named, and none is made in its place', async () => {
  const started = await start((url) => ({ AUTOFILES_QUEUE_URL: `${url}-gone`, AUTOFILES_HEROKU_TOKEN: 'token' }));
  const order = { id: BY_HAND, app: 'app', bucket: `ld-private-${BY_HAND}`, plan: 'basic' };
  await expect(provisionByHand(order, started.variables)).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringContaining('elsewhere-gone') as string,
  });
});

// A recovery that takes longer than work may stall: the worker that makes it goes on polling, and does not take itself for dead.
import { afterEach, expect, it } from 'vitest';
import { createEventQueue } from '../../src/clients/sqs.ts';
import { STORE_KEY } from '../../src/queues/keys.ts';
import { sendJson, startSqsStub } from '../clients-ports/sqs-stub.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, eventOf } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** Milliseconds, in production 30,000: looks come every sixth of it, and the end after twice as long. */
const STALL_MS = 1_000;
/** Milliseconds that a receive takes. */
const ANSWER_MS = 20;
/** Looks of the watch that take longer than the end would. */
const LOOKS = 20;

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** An event queue that always has the same event, handed out with every receive. */
async function startFullQueue() {
  let body = '{"Event":"s3:TestEvent"}';
  const stub = await startSqsStub(({ action }, response) => {
    if (action === 'ReceiveMessage') setTimeout(() => stub.send([body]), ANSWER_MS);
    if (action !== 'GetQueueAttributes') return undefined;
    const Attributes = {
      ApproximateNumberOfMessages: '5',
      ApproximateNumberOfMessagesNotVisible: '0',
      ApproximateNumberOfMessagesDelayed: '0',
    };
    sendJson(response, 200, { Attributes });
    return true;
  });
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };
  const queue = createEventQueue({ endpoint: stub.endpoint, region: 'us-east-1', credentials, now: Date.now });
  ends.push(stub.close, queue.close);
  return {
    queue,
    url: stub.url,
    /** What is handed out from now on. */
    fill: (records: readonly unknown[]) => {
      body = JSON.stringify({ Records: records });
    },
    /** How often the watch asked how much waits; who asks whether the queue is drained asks for more. */
    looks: () =>
      stub.of('GetQueueAttributes').filter(({ body }) => String(body['AttributeNames']) === 'ApproximateNumberOfMessages').length,
    decided: () => stub.of('DeleteMessageBatch').length,
    putOff: () => stub.of('ChangeMessageVisibilityBatch').length,
  };
}

it('polls on while it puts back what was lost, and is whole afterwards', async () => {
  const server = await startRedis();
  ends.push(server.stop);
  const world = await startTestEngine(server, {});
  const events = await startFullQueue();
  const [began, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  ends.push(world.stop, open.resolve);
  const dead: string[] = [];
  let lost = false;
  await world.replaceEngine({
    queue: events.queue,
    queueUrl: events.url,
    stallMs: STALL_MS,
    onDead: (what) => dead.push(...what),
    store: {
      ...world.cloud.store,
      keys: async (...args) => {
        if (lost) {
          began.resolve();
          await open.promise;
        }
        return await world.cloud.store.keys(...args);
      },
    },
  });
  const versionId = world.cloud.putSilently('in/plain', 'no workflow');
  events.fill([eventOf(world.bucket, 'in/plain', versionId)]);
  await until('its decision', async () => (await world.decisions())['ignored'] !== undefined);
  await until('its backup', () => world.cloud.objects.has(`${ARCHIVE_BUCKET}/resources/${world.resource}.json`));

  lost = true;
  await world.redis.flushall();
  await began.promise;
  const [looks, putOff] = [events.looks(), events.putOff()];
  await until('looks for longer than it would take to its end', () => events.looks() >= looks + LOOKS, 30_000);
  expect(dead).toEqual([]);
  expect(events.putOff()).toBeGreaterThan(putOff);
  const decided = events.decided();
  open.resolve();
  await until('all to be whole, and the event decided', () => events.decided() > decided);
  expect(await world.redis.hget(STORE_KEY, 'epoch')).toBe('2');
});

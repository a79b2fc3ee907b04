// An event that cannot be decided is put off, for as long as the outage lasts: what ends it is the queue's retention, not the count of its receives.
// One that fails by itself is set aside after eight tries, whatever outages it was received in before.
import { readFile } from 'node:fs/promises';
import { afterEach, expect, it } from 'vitest';
import type { ObjectHead } from '../../src/clients/ports.ts';
import type { EventDeps } from '../../src/processors/event-deps.ts';
import { createEventHandler } from '../../src/processors/events.ts';
import { connect, nodesOf } from '../../src/queues/connection.ts';
import { STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { Failure } from '../../src/schema/failures.ts';
import { eventDeps } from '../support/event-deps.ts';
import { startRedis } from '../support/redis-server.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const BODY = JSON.stringify({
  Records: [
    {
      eventVersion: '2.1',
      eventSource: 'aws:s3',
      awsRegion: 'us-east-1',
      eventTime: new Date().toISOString(),
      eventName: 'ObjectCreated:Put',
      s3: { bucket: { name: 'ld-private-a' }, object: { key: 'in/file', versionId: 'v1', size: 1, eTag: 'e' } },
    },
  ],
});

const resource = { id: 'a', app: 'app', bucket: 'ld-private-a', region: 'us-east-1', plan: 'local' };
const ofBucket = async () => await Promise.resolve(resource);

/** Seconds until a message comes back that was received so often while S3 does not answer. */
async function putOff(receiveCount: number): Promise<number> {
  const head = async () => await Promise.reject(new Failure('s3_unavailable', 'It is away.'));
  // what deciding this event asks for
  const parts = { store: { head }, resources: { ofBucket }, runs: {}, planners: [], place: () => 'run' } as unknown as EventDeps;
  const [verdict] = await createEventHandler(eventDeps(parts))([{ id: 'm', body: BODY, receiptHandle: 'r', receiveCount }]);
  if (verdict === undefined || verdict.done) throw new Error(`message called done at receive ${receiveCount}`);
  return verdict.againIn;
}

/** A number of the stack's own queue. */
async function ofTheStack(name: string): Promise<number> {
  const template = await readFile(new URL('../../deploy/aws/autofiles.yaml', import.meta.url), 'utf8');
  return Number(new RegExp(`${name}: (\\d+)`).exec(template)?.[1]);
}

it('comes back within a minute in the first hour, and never later than after 25 minutes', async () => {
  const delays = await Promise.all(Array.from({ length: 1_000 }, (_, i) => putOff(i + 1)));
  expect(delays.slice(0, 6)).toEqual([2, 4, 8, 16, 32, 60]);
  expect(delays[59]).toBe(60);
  expect(delays.slice(60, 63)).toEqual([120, 180, 240]);
  expect(delays.at(-1)).toBe(1_500);
  expect(delays).toEqual(delays.toSorted((a, b) => a - b));
});

it('is not set aside by the queue as long as the queue keeps it', async () => {
  const [most, retention] = [await ofTheStack('maxReceiveCount'), await ofTheStack('MessageRetentionPeriod')];
  const delays = await Promise.all(Array.from({ length: most }, (_, i) => putOff(i + 1)));
  expect(retention).toBe(14 * 86_400);
  expect(delays.reduce((sum, delay) => sum + delay, 0)).toBeGreaterThan(retention);
});

/** Handles the message on a Redis of the test's own; S3 answers with the `faults` that are left, then as `otherwise` says. */
async function decider(otherwise: () => Promise<ObjectHead>) {
  const server = await startRedis();
  const redis = connect(server.cluster === undefined ? { socket: server.socket } : { cluster: server.cluster }, () => {});
  ends.push(server.stop, () => redis.disconnect());
  const runs = createRuns({ redis });
  const faults: Error[] = [];
  const head = async () => {
    const fault = faults.shift();
    if (fault !== undefined) throw fault;
    return await otherwise();
  };
  const parts = { store: { head }, resources: { ofBucket }, runs, planners: [], place: () => 'run' } as unknown as EventDeps;
  const handle = createEventHandler(eventDeps(parts));
  const receive = async (receiveCount: number) => (await handle([{ id: 'm', body: BODY, receiptHandle: 'r', receiveCount }]))[0]?.done;
  const setAside = async () => (await redis.zrange(shardKeys(0).quarantine(resource.id), '0', '-1')).map((entry) => JSON.parse(entry));
  return { redis, faults, receive, setAside };
}

it('has eight tries of its own, of which the receives of an outage are none', async () => {
  const { faults, receive, setAside } = await decider(async () => await Promise.reject(new TypeError('cannot read it')));
  for (let n = 1; n <= 20; n += 1) {
    faults.push(new Failure('s3_unavailable', 'It is away.'));
    expect(await receive(n)).toBe(false);
  }
  for (let n = 21; n < 28; n += 1) expect(await receive(n), `receive ${n}`).toBe(false);
  expect(await setAside()).toEqual([]);
  expect(await receive(28)).toBe(true);
  expect(await setAside()).toEqual([expect.objectContaining({ key: 'in/file', reason: expect.stringContaining('in 8 tries') })]);
});

const refused = (times: number) => Array.from({ length: times }, () => new Failure('s3_refused', 'Access Denied'));
const found: ObjectHead = { versionId: 'v1', etag: 'e', size: 1, metadata: {}, modifiedAt: Date.now() };

it('has eight tries again when it comes again after it was decided', async () => {
  const { redis, faults, receive, setAside } = await decider(async () => await Promise.resolve(found));
  faults.push(...refused(7));
  for (let n = 1; n < 8; n += 1) expect(await receive(n), `receive ${n}`).toBe(false);
  expect(await receive(8)).toBe(true);
  faults.push(...refused(1));
  expect(await receive(1)).toBe(false);
  expect(await receive(2)).toBe(true);
  expect(await setAside()).toEqual([]);
  expect(await redis.keys('af:tries:*')).toEqual([]);
});

it('has eight tries again in another epoch of the store', async () => {
  const { redis, faults, receive, setAside } = await decider(async () => await Promise.resolve(found));
  faults.push(...refused(8));
  for (let n = 1; n < 8; n += 1) expect(await receive(n), `receive ${n}`).toBe(false);
  // what Redis was rolled back to has the count
  await redis.hset(STORE_KEY, 'epoch', 2);
  expect(await receive(8)).toBe(false);
  expect(await setAside()).toEqual([]);
});

it.each(['incr', 'set', 'pexpire'])('has no count of its tries that stays for ever where Redis refuses %s', async (write) => {
  const { redis, faults, receive } = await decider(async () => await Promise.resolve(found));
  const nodes = nodesOf(redis);
  await Promise.all(nodes.map(async (node) => await node.acl('SETUSER', 'default', `-${write}`)));
  faults.push(...refused(1));
  await receive(1);
  const counts = (await Promise.all(nodes.map(async (node) => await node.keys('af:tries:*')))).flat();
  for (const count of counts) expect(await redis.pttl(count)).toBeGreaterThan(0);
});

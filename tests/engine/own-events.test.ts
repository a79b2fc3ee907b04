// What the engine exports into a tenant's bucket comes back to it as an event.
import { expect, it } from 'vitest';
import type { EventDeps } from '../../src/processors/event-deps.ts';
import { createEventHandler } from '../../src/processors/events.ts';
import { eventDeps } from '../support/event-deps.ts';

const message = (...keys: string[]) => ({
  id: 'm',
  receiptHandle: 'r',
  receiveCount: 1,
  body: JSON.stringify({
    Records: keys.map((key) => ({
      eventVersion: '2.1',
      eventSource: 'aws:s3',
      awsRegion: 'us-east-1',
      eventTime: new Date().toISOString(),
      eventName: 'ObjectCreated:Put',
      s3: { bucket: { name: 'ld-private-a' }, object: { key, versionId: 'v1', size: 1, eTag: 'e' } },
    })),
  }),
});

/** What is done for one message: the failpoints that it passes and the keys that are looked at. */
async function handled(...keys: string[]): Promise<{ passed: string[]; heads: string[]; done: boolean | undefined }> {
  const passed: string[] = [];
  const heads: string[] = [];
  const parts = {
    store: {
      head: async (_bucket: string, key: string) => {
        heads.push(key);
        return await Promise.resolve(undefined);
      },
    },
    resources: {
      ofBucket: async () => await Promise.resolve({ id: 'a', app: 'app', bucket: 'ld-private-a', region: 'us-east-1', plan: 'basic' }),
      gone: async () => await Promise.resolve(true),
    },
    runs: {},
    failpoint: (name: string) => passed.push(name),
  } as unknown as EventDeps;
  const [verdict] = await createEventHandler(eventDeps(parts))([message(...keys)]);
  return { passed, heads, done: verdict?.done };
}

it('an export alone is done with at once: nothing was read, and nothing counts as decided', async () => {
  expect(await handled('.autofiles/runs/2026/11/28/r.json')).toEqual({ passed: [], heads: [], done: true });
});

it('beside a file of the tenant it is passed over, and the file is decided', async () => {
  expect(await handled('.autofiles/runs/2026/11/28/r.json', 'in/file')).toEqual({
    passed: ['events.received', 'events.decided'],
    heads: ['in/file'],
    done: true,
  });
});

// What the examples of the API's document name, in one resource.
import type { Redis } from 'ioredis';
import { EXAMPLE_ENDED, EXAMPLE_FILE, EXAMPLE_RUN, EXAMPLE_TOKEN, EXAMPLE_WEBHOOK } from '../../src/http/api-examples.ts';
import { tokenKey, tokensKey, webhookKeys } from '../../src/queues/keys.ts';
import { createPlanner } from '../../src/queues/planner.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import type { TestStore } from '../store/running-store.ts';
import { seedRuns } from '../support/seed-runs.ts';
import { createBucket } from '../support/store-bucket.ts';

/** Makes it anew, and nothing else is in Redis then: some examples end what they name. */
export async function makeExampleWorld({ redis, store, resource }: { redis: Redis; store: TestStore; resource: string }): Promise<void> {
  await redis.flushall();
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id: resource, app: 'example', bucket: 'ld-private-example', region: 'us-east-1', plan: 'basic' });
  await resources.setCredentials(resource, {
    accessKeyId: 'ASIAEXAMPLE',
    secretAccessKey: 'secret',
    sessionToken: 'token',
    expiresAt: Date.now() + 3_600_000,
  });
  await createBucket(store, 'ld-private-example');
  const workflow = { title: 'Thumbnails', run: [{ cmd: 'a' }, { parallel: [{ cmd: 'b' }, { cmd: 'c' }] }] };
  await seedRuns(redis, [
    { runId: EXAMPLE_RUN, resource, workflow, key: EXAMPLE_FILE },
    { runId: EXAMPLE_ENDED, resource, workflow, key: EXAMPLE_FILE },
  ]);
  await createRuns({ redis }).cancel(EXAMPLE_ENDED, 'test');
  const planner = createPlanner({ shard: 0, connection: redis, onError: () => {}, failpoint: () => {} });
  await planner.plan({ runId: EXAMPLE_RUN });
  await planner.close();
  await redis.hset(webhookKeys(resource).all, EXAMPLE_WEBHOOK, '{}');
  await redis.hset(tokensKey(resource), EXAMPLE_TOKEN, 'hash');
  await redis.hset(tokenKey('hash'), {
    id: EXAMPLE_TOKEN,
    name: 'x',
    scope: 'read',
    created_at: '2026-11-22T10:00:00.000Z',
    created_by: 'test',
    resource,
  });
}

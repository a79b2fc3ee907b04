// Backups of resources in the archive: one is written when it is another one than stands there, whoever started anew meanwhile.
import { expect, it } from 'vitest';
import { resourceKey } from '../../src/queues/keys.ts';
import { readLedger } from '../../src/queues/ledger.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

it('a worker that starts anew writes none that stands, and one that differs, or is never to be read', async () => {
  const server = await startRedis();
  const engine = await startTestEngine(server, {}, { ledgerMs: 100, lateMs: 300 });
  const { store } = engine.cloud;
  const { text } = store;
  try {
    const key = `resources/${engine.resource}.json`;
    const kept = () => engine.cloud.saved.filter((version) => version.bucket === ARCHIVE_BUCKET && version.key === key);
    const swept = async () => (await readLedger(engine.redis, { id: engine.resource, bucket: engine.bucket }, 1)).swept_at ?? '';
    const sweptAgain = async () => {
      const before = await swept();
      await until('another sweep', async () => (await swept()) > before, 30_000);
    };
    await until('a backup', () => kept().length > 0);
    for (let i = 0; i < 2; i += 1) {
      await engine.replaceEngine({});
      await sweptAgain();
    }
    expect(kept()).toHaveLength(1);
    await engine.redis.hset(resourceKey(engine.resource), { name: 'autofiles-clear-41822', rev: 7 });
    await until('the next backup', () => kept().length > 1, 30_000);
    expect(engine.cloud.objects.get(`${ARCHIVE_BUCKET}/${key}`)?.body).toContain('autofiles-clear-41822');

    store.text = async (bucket, name, ...more) => {
      if (name === key && kept().length === 2) throw new Failure('workflow_too_large', 'it has 339154 bytes');
      return await text(bucket, name, ...more);
    };
    await engine.replaceEngine({});
    await until('one that can be read', () => kept().length > 2, 30_000);
  } finally {
    await engine.stop();
    await server.stop();
  }
}, 60_000);

// `audit` and `backfill` through the API, as the commands use it.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BackfillPage, LedgerAudit, LedgerView } from '../../src/schema/ledger-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

let redis: TestRedis;
let engine: TestEngine;
let web: TestWeb;

beforeAll(async () => {
  redis = await startRedis();
  // the sweep is far too slow to make good what the audit is to find
  engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
    },
    { ledgerMs: 3_600_000, lateMs: 0 },
  );
  const env = { AUTOFILES_ARCHIVE_BUCKET: ARCHIVE_BUCKET, AUTOFILES_LATE_MS: '300' };
  web = await openTestWeb(redis, { resource: engine.resource, store: engine.cloud.store, env });
  await until('the account to begin', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`));
});
afterAll(async () => {
  await web?.close();
  await engine?.stop();
  await redis?.stop();
});

const audit = async () => (await (await web.call('POST', '/v1/ledger/audit')).json()) as LedgerAudit;
const backfill = async (body: object) => (await (await web.call('POST', '/v1/ledger/backfill', { body })).json()) as BackfillPage;
const workflow = JSON.stringify({ run: [{ cmd: 'ok', timeout: 30 }] });

it('says that everything is accounted for, and what is not', async () => {
  await engine.ended(engine.upload([{ cmd: 'ok', timeout: 30 }]));
  await until('every event to be decided', () => engine.cloud.undeleted === 0);
  expect(await audit()).toMatchObject({
    resource: engine.resource,
    in_scope: 2,
    accounted_for: 2,
    in_flight: 0,
    missing: 0,
    oldest_unaccounted: null,
  });
  const versionId = engine.cloud.putSilently('in/lost', workflow, { ld_run: 'true' });
  expect(await audit()).toMatchObject({ in_scope: 3, accounted_for: 2, oldest_unaccounted: { key: 'in/lost', version_id: versionId } });
  const late = await until('it to be late', async () => {
    const found = await audit();
    return found.missing === 1 && found;
  });
  expect(late).toMatchObject({ in_scope: 3, accounted_for: 2, in_flight: 0, missing: 1 });
});

it('lists what would run, and runs it when told to, once', async () => {
  engine.cloud.putSilently('in/no workflow', 'x');
  engine.cloud.putSilently('.autofiles/x', workflow, { ld_run: 'true' });
  const dry = await backfill({});
  expect(dry.versions.map(({ key }) => key)).toEqual(['in/lost']);
  expect((await backfill({ prefix: 'elsewhere/' })).versions).toEqual([]);
  expect((await backfill({ since: new Date(Date.now() + 60_000).toISOString() })).versions).toEqual([]);
  const [candidate] = dry.versions;
  const runId = candidate?.run ?? '';
  expect(await engine.show(runId)).toBeUndefined();
  expect((await backfill({ dry_run: false })).versions).toEqual(dry.versions);
  expect((await engine.ended(runId)).state).toBe('succeeded');
  expect((await backfill({ dry_run: false })).versions).toEqual([]);
  expect(engine.cloud.postsOf(runId)).toHaveLength(1);
});

it('runs a file of long ago, which no event could start any more', async () => {
  const key = `in/${randomUUID()}`;
  const versionId = engine.cloud.putSilently(key, workflow, { ld_run: 'true' });
  const at = engine.cloud.saved.findIndex((version) => version.versionId === versionId);
  const saved = engine.cloud.saved[at];
  if (saved === undefined) throw new Error('not saved');
  engine.cloud.saved[at] = { ...saved, modifiedAt: Date.now() - 100 * 86_400_000 };
  const { versions } = await backfill({ dry_run: false, until: new Date(Date.now() - 86_400_000).toISOString() });
  expect(versions.map((version) => version.key)).toEqual([key]);
  expect((await engine.ended(versions[0]?.run ?? '')).state).toBe('succeeded');
});

it('runs a file that was set aside when the minute had too many, and then lists it so no longer', async () => {
  const cap = engine.options.runsPerMinute;
  await engine.replaceEngine({ runsPerMinute: 0 });
  const versionId = engine.cloud.put('in/aside', workflow, { ld_run: 'true' });
  await until('every event to be decided', () => engine.cloud.undeleted === 0);
  await engine.replaceEngine({ runsPerMinute: cap });
  expect(await engine.quarantine()).toEqual([expect.objectContaining({ key: 'in/aside', version_id: versionId })]);
  // it is accounted for, as it is listed; the engine's first sweep is done with what others have saved
  await until('the audit to miss nothing', async () => (await audit()).missing === 0);
  expect((await backfill({ prefix: 'in/aside' })).versions.map(({ key }) => key)).toEqual(['in/aside']);
  expect((await backfill({ dry_run: false, prefix: 'in/aside' })).versions.map(({ key }) => key)).toEqual(['in/aside']);
  expect((await engine.ended(engine.runIdOf('in/aside', versionId))).state).toBe('succeeded');
  expect(await engine.quarantine()).toEqual([]);
  expect((await backfill({ dry_run: false, prefix: 'in/aside' })).versions).toEqual([]);
});

it('refuses a time that is none', async () => {
  const response = await web.call('POST', '/v1/ledger/backfill', { body: { since: 'yesterday' } });
  expect(response.status).toBe(400);
});

it('shows what the last sweep found', async () => {
  const view = (await (await web.call('GET', '/v1/ledger')).json()) as LedgerView;
  expect(view).toMatchObject({ resource: engine.resource, bucket: engine.bucket, epoch: 1 });
});

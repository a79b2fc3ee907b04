// What the metrics tell of the whole: the account of the buckets, the launch budget, the event queue. Each figure is seen to follow what it is of.
import { expect, it } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { openTestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

const LATE_MS = 150;
/** Milliseconds: soon seen, and no stall on any machine, as all that is due is served. */
const STALL_MS = 1_200;

it('the account, the budget and the queue are told as they are', async () => {
  const server = await startRedis();
  let tell: (remaining: number) => void = () => {};
  const engine = await startTestEngine(
    server,
    {},
    {
      ledgerMs: 100,
      lateMs: LATE_MS,
      stallMs: STALL_MS,
      // five saved up, and no other comes while the test lasts
      launchesPerHour: 1,
      onRateLimit: (listener) => {
        tell = listener;
      },
    },
  );
  const { cloud } = engine;
  const web = await openTestWeb(server, { env: { AUTOFILES_LAUNCHES_PER_HOUR: '1', AUTOFILES_STALL_MS: String(STALL_MS) } });
  const scrape = async (): Promise<ReadonlyMap<string, number>> => {
    const text = await (await web.call('GET', '/metrics', { token: undefined })).text();
    const lines = text.split('\n').filter((line) => line.startsWith('autofiles_'));
    return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
  };
  const expected = async (figures: Record<string, number>) => {
    let found: ReadonlyMap<string, number> = new Map();
    const now = () => Object.fromEntries(Object.keys(figures).map((name) => [name, found.get(name)]));
    await until(JSON.stringify(figures), async () => {
      found = await scrape();
      return JSON.stringify(now()) === JSON.stringify(figures);
    }).catch(() => expect(now()).toEqual(figures));
    return found;
  };
  const ledger = (inScope: number, accountedFor: number, unaccounted: number) => ({
    'autofiles_ledger_versions{what="in_scope"}': inScope,
    'autofiles_ledger_versions{what="accounted_for"}': accountedFor,
    'autofiles_ledger_versions{what="unaccounted"}': unaccounted,
    // what is not missed yet is the next test's
    'autofiles_ledger_versions{what="in_flight"}': 0,
  });
  const age = 'autofiles_ledger_oldest_unaccounted_seconds';
  try {
    await until('the account to begin', () => cloud.objects.has(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`));

    for (const name of ['a', 'b']) cloud.put(`in/${name}`, 'x');
    await expected({ ...ledger(2, 2, 0), [age]: 0 });
    // an event that is lost, of a file that the sweep cannot decide either
    cloud.headsDown = true;
    const saved = Date.now();
    cloud.putSilently('in/lost', 'x');
    const missed = (await expected(ledger(3, 2, 1))).get(age) ?? 0;
    // seconds, from when it was saved to when it was asked
    expect(missed).toBeGreaterThanOrEqual(LATE_MS / 1000);
    expect(missed).toBeLessThanOrEqual((Date.now() - saved) / 1000);
    cloud.headsDown = false;
    await expected({ ...ledger(3, 3, 0), [age]: 0 });

    const full = await scrape();
    expect([full.get('autofiles_budget_tokens'), full.get('autofiles_budget_per_hour')]).toEqual([5, 1]);
    // nobody has said anything
    expect(full.get('autofiles_budget_remaining')).toBeNaN();
    tell(3);
    await expected({ autofiles_budget_tokens: 3, autofiles_budget_remaining: 3 });

    await expected({ 'autofiles_workers{state="alive"}': 1, autofiles_messages_waiting: 0 });
    cloud.queue.waiting = async () => await Promise.resolve(7);
    await expected({ autofiles_messages_waiting: 7 });
  } finally {
    await web.close();
    await engine.stop();
    await server.stop();
  }
});

it('a file that is on its way is in flight, and not missed before it is late', async () => {
  const server = await startRedis();
  const engine = await startTestEngine(server, {}, { ledgerMs: 100, lateMs: 3_600_000 });
  const web = await openTestWeb(server);
  try {
    await until('the account to begin', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`));
    engine.cloud.putSilently('in/on its way', 'x');
    const text = await until('it to be seen', async () => {
      const found = await (await web.call('GET', '/metrics', { token: undefined })).text();
      return found.includes('autofiles_ledger_versions{what="in_scope"} 1\n') && found;
    });
    for (const line of ['versions{what="in_flight"} 1', 'versions{what="unaccounted"} 0', 'oldest_unaccounted_seconds 0'])
      expect(text).toContain(`autofiles_ledger_${line}\n`);
  } finally {
    await web.close();
    await engine.stop();
    await server.stop();
  }
});

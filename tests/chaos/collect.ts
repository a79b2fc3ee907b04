// Gathers the evidence when all is quiet: Redis as it stands, the ledger, and what logs and files hold.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { auditKey, resourceKey } from '../../src/queues/keys.ts';
import type { Evidence, RunEvidence } from './checker/evidence.ts';
import { ADOPT_MARGIN_MS, GRACE_MS, LAUNCHES_PER_HOUR } from './settings.ts';
import type { World } from './world.ts';

/** Milliseconds that the engine lets pass between intent and POST, and for the POST itself (src/processors/task.ts). */
const NOT_AFTER_MS = 1_000;
const LAUNCH_DEADLINE_MS = 10_000;

/** Reads everything that the checker is told. */
export async function collect(
  world: World,
  told: { seed: number; faults: readonly string[]; earlier: string | undefined; phases: Evidence['phases'] } & Pick<
    Evidence,
    'drained' | 'unaccounted'
  >,
): Promise<Evidence> {
  const runs: RunEvidence[] = [];
  for (const key of await world.redis.keys('{af*}:run:*')) {
    const match = /:run:([^:]+)$/.exec(key);
    if (match?.[1] === undefined) continue;
    const [record, history, ttl] = await Promise.all([
      world.redis.hgetall(key),
      world.redis.lrange(`${key}:h`, 0, -1),
      world.redis.pttl(key),
    ]);
    runs.push({ id: match[1], record, history: history.map((entry) => JSON.parse(entry)), ttl });
  }
  const secrets = [...world.secrets];
  const resources = [];
  for (const { id, bucket, app } of world.tenants) {
    const decisions = await world.redis.hgetall(`{af0}:decisions:${id}`);
    const counted = Object.fromEntries(Object.entries(decisions).map(([kind, n]) => [kind, Number(n)]));
    const written = world.ledger.entries.flatMap((entry) =>
      entry.kind === 'put' && entry.bucket === bucket ? [{ bucket, key: entry.key, version: entry.version }] : [],
    );
    const accounted = await world.accountedOf(written);
    resources.push({ id, bucket, app, decisions: counted, accounted, quarantine: await quarantineOf(world, id) });
    const issued = await world.resources.secret(id, 'credentials');
    if (issued !== undefined) secrets.push(issued.secretAccessKey, issued.sessionToken);
  }
  const guests = await guestsOf(world);
  for (const { id } of guests)
    for (const vars of world.platform.heroku.addon(id)?.configs ?? [])
      secrets.push(vars['LD_AWS_SECRET_ACCESS_KEY'] ?? '', vars['LD_AWS_SESSION_TOKEN'] ?? '');
  secrets.push(...world.platform.heroku.hooks().map(({ secret }) => secret));
  const { leaks, searched } = await searchFor(world, secrets);
  return {
    settings: {
      seed: told.seed,
      adoptAfter: NOT_AFTER_MS + LAUNCH_DEADLINE_MS + ADOPT_MARGIN_MS,
      notAfter: NOT_AFTER_MS,
      grace: GRACE_MS,
      launchesPerHour: LAUNCHES_PER_HOUR,
      faults: told.faults,
      ...(told.earlier === undefined ? {} : { earlier: told.earlier }),
      // the words themselves are no part of what is kept
      secrets: secrets.map((_, n) => `secret ${n + 1}`),
    },
    ledger: world.ledger.entries,
    runs,
    resources,
    guests,
    nobody: await quarantineOf(world, '-'),
    leftovers: await leftoversOf(world),
    phases: told.phases,
    drained: told.drained,
    unaccounted: told.unaccounted,
    leaks,
    searched,
    starts: world.starts,
    alive: world.platform.alive(),
  };
}

/** What is left of those who came and went: a tombstone and the audit log may be. */
async function guestsOf(world: World): Promise<Evidence['guests']> {
  const buckets = await world.buckets();
  return await Promise.all(
    world.guests.map(async ({ id, app }) => {
      const keys = await world.redis.keys(`*${id}*`);
      const state = (await world.redis.hget(resourceKey(id), 'state')) ?? 'unknown';
      return {
        id,
        app,
        state,
        keys: keys.filter((key) => key !== resourceKey(id) && key !== auditKey(id) && !key.startsWith('{af:addon}:')),
        buckets: buckets.filter((name) => name.includes(id)),
      };
    }),
  );
}

async function quarantineOf(world: World, resource: string) {
  const rows = await world.redis.zrange(`{af0}:quarantine:${resource}`, '0', '-1', 'WITHSCORES');
  const found: { t: number; entry: Record<string, string> }[] = [];
  for (let i = 0; i + 1 < rows.length; i += 2) found.push({ t: Number(rows[i + 1]), entry: JSON.parse(rows[i] ?? '{}') });
  return found;
}

/** What should be gone when every run has ended. */
export async function leftoversOf(world: World): Promise<readonly string[]> {
  const { redis } = world;
  const found: string[] = [];
  for (const key of await redis.keys('{af*}:*')) {
    if (/^\{af\d+\}:(task|finish|plan):r\d+-/.test(key)) found.push(`the job ${key}`);
  }
  for (const [kind, queue] of ['task', 'finish', 'plan'].flatMap((name) =>
    ['active', 'wait', 'delayed', 'prioritized'].map((set) => [set, name] as const),
  )) {
    const key = `{af0}:${queue}:${kind}`;
    const count = kind === 'active' || kind === 'wait' ? await redis.llen(key) : await redis.zcard(key);
    if (count > 0) found.push(`${count} jobs in ${key}`);
  }
  for (const { id } of world.tenants) {
    // launches that were given up are looked for a while longer, and that is all
    const fields = (await redis.hkeys(`{af0}:watch:${id}`)).filter((field) => !field.startsWith('?'));
    if (fields.length > 0) found.push(`watched dynos: ${fields.join(' ')}`);
  }
  const [stops, live] = await Promise.all([redis.zcard('{af0}:stops'), redis.zrange('{af0}:live', '0', '-1')]);
  if (stops > 0) found.push(`${stops} dynos to stop`);
  if (live.length > 0) found.push(`live runs: ${live.slice(0, 5).join(' ')}`);
  return found;
}

/** Looks for the secrets in what the workers said and in what Redis wrote to disk. */
async function searchFor(world: World, secrets: readonly string[]): Promise<{ leaks: readonly string[]; searched: number }> {
  const dir = (await world.redis.config('GET', 'dir')) as string[];
  const folder = join(dir[1] ?? '', 'appendonlydir');
  const files = [world.logFile, ...(await readdir(folder)).map((name) => join(folder, name))];
  const leaks: string[] = [];
  let searched = 0;
  for (const file of files) {
    const text = await readFile(file);
    searched += text.length;
    for (const [n, secret] of secrets.entries()) if (text.includes(secret)) leaks.push(`secret ${n + 1} stands in ${file}`);
  }
  return { leaks, searched };
}

// What became of a file: the runs that it started, the outputs they led to, the tasks that made it, and what of it was set aside.
import type { Redis } from 'ioredis';
import type { FileHistory } from '../schema/api-views.ts';
import { parseRunId, parseTaskId, taskId } from '../schema/ids.ts';
import { shardKeys } from './keys.ts';
import { fileDigest, readOutput } from './run-record.ts';
import { readSetAside } from './set-aside.ts';
import { progressOf, summaryOf } from './views.ts';

/** Runs and tasks that one answer has, and reasons. */
const MAX_SHOWN = 100;
const MAX_REASONS = 20;

type Made = FileHistory['made_by'][number];

/** All of one key, over all its versions; each newest first. A file that nothing is known of has empty lists. */
export async function readFileHistory(redis: Redis, shards: number, resource: string, key: string): Promise<FileHistory> {
  const file = fileDigest(key);
  const newest = async (list: (keys: ReturnType<typeof shardKeys>) => string) => {
    const found: { id: string; at: number }[] = [];
    for (let shard = 0; shard < shards; shard += 1) {
      const rows = await redis.zrange(list(shardKeys(shard)), '0', String(MAX_SHOWN - 1), 'REV', 'WITHSCORES');
      for (let i = 0; i + 1 < rows.length; i += 2) found.push({ id: rows[i] ?? '', at: Number(rows[i + 1]) });
    }
    return found.sort((a, b) => b.at - a.at).slice(0, MAX_SHOWN);
  };
  const [started, made, aside] = await Promise.all([
    newest((keys) => keys.startedBy(resource, file)),
    newest((keys) => keys.madeBy(resource, file)),
    readSetAside(redis, shards, resource, { limit: MAX_REASONS, key }),
  ]);
  const records = await readRecords(redis, [...started.map(({ id }) => id), ...made.flatMap(({ id }) => parseTaskId(id)?.runId ?? [])]);
  return {
    key,
    started: started.flatMap(({ id }) => {
      const record = records.get(id);
      return record === undefined ? [] : (summaryOf(id, record, progressOf(record)) ?? []);
    }),
    led_to: started.flatMap(({ id }) => outputsOf(id, records.get(id) ?? {})),
    made_by: made.flatMap(({ id, at }) => {
      const ref = parseTaskId(id);
      const record = ref === undefined ? undefined : records.get(ref.runId);
      if (ref === undefined || record === undefined) return [];
      const first = outputsOf(ref.runId, record).find((output) => output.task === id && output.key === key);
      // a later output of the same task is known by its place and time alone
      return [first ?? { run: ref.runId, task: id, key, version_id: '', state: null, at: new Date(at).toISOString() }];
    }),
    set_aside: [...aside],
  };
}

async function readRecords(redis: Redis, runIds: readonly string[]): Promise<Map<string, Record<string, string>>> {
  const ids = [...new Set(runIds)];
  const records = new Map<string, Record<string, string>>();
  await Promise.all(
    ids.map(async (id) => {
      const shard = parseRunId(id)?.shard;
      if (shard === undefined) return;
      const record = await redis.hgetall(shardKeys(shard).run(id));
      // of a run whose retention has passed a stub is left
      if (record['state'] !== undefined && record['stub'] === undefined) records.set(id, record);
    }),
  );
  return records;
}

/** The outputs that count, one per task that has one. */
function outputsOf(runId: string, record: Readonly<Record<string, string>>): Made[] {
  const outputs: Made[] = [];
  for (let s = 0; s < Number(record['steps'] ?? 0); s += 1) {
    for (let i = 0; i < Number(record[`n${s}`] ?? 0); i += 1) {
      const output = readOutput(record[`o:${s}.${i}`] ?? '');
      if (output === undefined) continue;
      const { key, version_id, state } = output.ref;
      outputs.push({ run: runId, task: taskId(runId, s, i), key, version_id, state: state ?? null, at: new Date(output.at).toISOString() });
    }
  }
  return outputs;
}

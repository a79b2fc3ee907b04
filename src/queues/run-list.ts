// The runs of a resource, newest first, filtered and in pages. Every shard has one list of all runs and one per state;
// what no list is kept for (title, key prefix, text) is looked up in the records, a stretch at a time.
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import type { RunFilterState, RunPage, RunSummary } from '../schema/run-view.ts';
import { shardKeys } from './keys.ts';
import { run as runScript } from './scripts.ts';
import { SUMMARY_FIELDS, summaryOf } from './views.ts';

/** Runs that one script call looks at: a few milliseconds, in which Redis serves nobody else. */
const STRETCH = 1_000;
/** Runs that one page looks at; then it ends, with a cursor to go on from. */
const MAX_LOOKED_AT = 4_000;
/** Milliseconds after which a page begins no further look: on a busy machine a stretch takes its time. */
const MAX_LOOK_MS = 40;

export interface RunQuery {
  readonly resource: string;
  readonly limit: number;
  /** `next` of the page before. */
  readonly cursor?: string;
  /** Runs in any of these states; none: in all. */
  readonly states?: readonly RunFilterState[];
  readonly title?: string;
  /** How the trigger's key begins. */
  readonly prefix?: string;
  /** Accepted at this moment or later, milliseconds since 1970. */
  readonly since?: number;
  /** Accepted before this moment, milliseconds since 1970. */
  readonly until?: number;
  /** Stands in id, title, key or error; ASCII letters in any case. */
  readonly text?: string;
}

/** A place in the order of runs: newer first, then by id from z to 0. */
interface Place {
  readonly ms: number;
  readonly id: string;
}

interface Source {
  readonly key: string;
  found: readonly (Place & { run: RunSummary })[];
  done: boolean;
  /** The last run looked at. */
  at: Place | undefined;
}

/**
 * One page. `monotonic`: a clock in ms, by which a page of filters that fit seldom ends early, with a cursor; without one it
 * looks its number of runs through. Throws Failure request_invalid for a cursor that is none of ours.
 */
export async function listRuns(redis: Redis, shards: number, query: RunQuery, monotonic = () => 0): Promise<RunPage> {
  const start = query.cursor === undefined ? undefined : placeOf(query.cursor);
  const sources = Array.from({ length: shards }, (_, shard) => shardKeys(shard)).flatMap((keys) =>
    query.states === undefined || query.states.length === 0
      ? [sourceOf(keys.index(query.resource), start)]
      : [...new Set(query.states)].map((state) => sourceOf(keys.byState(query.resource, state), start)),
  );
  const begun = monotonic();
  let looked = 0;
  for (;;) {
    const behind = sources.filter((source) => !source.done && source.found.length < query.limit);
    if (behind.length === 0 || looked >= MAX_LOOKED_AT) break;
    await Promise.all(behind.map((source) => lookOn(redis, source, query)));
    looked += behind.length * STRETCH;
    // the page is complete when what was not looked at yet is older than all of it
    if (pageOf(sources, query.limit).full || monotonic() - begun >= MAX_LOOK_MS) break;
  }
  const { runs, next } = pageOf(sources, query.limit);
  return { runs, next };
}

/** How many runs of a resource, rejected ones too, were taken since `since` (ms). */
export async function countRuns(redis: Redis, shards: number, resource: string, since: number): Promise<number> {
  const counts = Array.from({ length: shards }, (_, shard) => redis.zcount(shardKeys(shard).index(resource), since, '+inf'));
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

const sourceOf = (key: string, start: Place | undefined): Source => ({ key, found: [], done: false, at: start });

async function lookOn(redis: Redis, source: Source, query: RunQuery): Promise<void> {
  const newest = source.at?.ms ?? (query.until === undefined ? '+inf' : query.until - 1);
  const reply = await runScript(
    redis,
    'list',
    [source.key],
    [
      '',
      '',
      newest,
      source.at?.id ?? '',
      query.since ?? '-inf',
      query.limit - source.found.length,
      STRETCH,
      query.title ?? '',
      query.prefix ?? '',
      smallAscii(query.text ?? ''),
      ...SUMMARY_FIELDS,
    ],
  );
  if (!Array.isArray(reply)) throw new Failure('internal', `list answered ${JSON.stringify(reply)}.`);
  const [done, ms, id, ...rows] = reply;
  source.done = done === 1;
  if (id !== '') source.at = { ms: Number(ms), id: String(id) };
  source.found = [...source.found, ...rows.flatMap(rowOf)];
}

/** `id, ms, tasks, settled tasks, field …` as list.lua writes it. */
function rowOf(row: unknown): readonly (Place & { run: RunSummary })[] {
  if (!Array.isArray(row)) return [];
  const [id, ms, tasks, settled, ...values] = row.map(String);
  const record: Record<string, string> = {};
  for (const [i, name] of SUMMARY_FIELDS.entries()) if ((values[i] ?? '') !== '') record[name] = values[i] ?? '';
  const run = summaryOf(id ?? '', record, { tasks: Number(tasks), settled: Number(settled) });
  return run === undefined ? [] : [{ ms: Number(ms), id: run.id, run }];
}

/** What can be shown of what was looked at: nothing that a source may still have something newer than. */
function pageOf(sources: readonly Source[], limit: number): RunPage & { full: boolean } {
  let horizon: Place | undefined;
  let open = false;
  for (const { done, at } of sources) {
    if (done) continue;
    open = true;
    if (at !== undefined && (horizon === undefined || isBefore(at, horizon))) horizon = at;
  }
  const unseen = sources.some(({ done, at }) => !done && at === undefined);
  const found = new Map<string, Place & { run: RunSummary }>();
  // a run that changes its state between two looks stands in two lists
  for (const one of sources.flatMap((source) => source.found)) found.set(one.id, one);
  const sorted = [...found.values()].sort((a, b) => (isBefore(a, b) ? -1 : 1));
  const sure = unseen ? [] : sorted.filter((one) => horizon === undefined || !isBefore(horizon, one));
  const page = sure.slice(0, limit);
  const last = page.at(-1);
  const full = page.length === limit;
  const more = full ? open || sure.length > limit || sorted.length > limit : open;
  const from = full ? last : horizon;
  return { runs: page.map(({ run }) => run), next: more && from !== undefined ? `${from.ms}.${from.id}` : null, full };
}

/** Whether `a` comes before `b` in the list. */
function isBefore(a: Place, b: Place): boolean {
  return a.ms > b.ms || (a.ms === b.ms && a.id > b.id);
}

function placeOf(cursor: string): Place {
  const dot = cursor.indexOf('.');
  const ms = cursor.slice(0, dot);
  const id = cursor.slice(dot + 1);
  if (/^\d{1,15}$/.test(ms) && parseRunId(id) !== undefined) return { ms: Number(ms), id };
  throw new Failure('request_invalid', `cursor: found ${JSON.stringify(cursor.slice(0, 60))}, expected \`next\` of the page before.`);
}

/** As Redis' string.lower does it: other letters stay as they are. */
function smallAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

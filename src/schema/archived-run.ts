// A run as the archive keeps it: the record, field by field, with its document and its history. What replay and sweep read
// from there decides what runs again, so it is read as if a stranger had written it.
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from './failures.ts';
import { parseRunId } from './ids.ts';
import { nestsDeeperThan } from './json-nesting.ts';

/** Bytes of one archived run that are read at most; 200 tasks with all their attempts and outputs stay far below. */
export const MAX_ARCHIVED_BYTES = 16_777_216;
/** A history entry is the deepest part. */
const MAX_DEPTH = 4;

/** `[ms, what, task, attempt, detail]`, as prelude.lua writes it. */
const Entry = Type.Tuple([Type.Number(), Type.String(), Type.String(), Type.Number(), Type.String()]);

const ArchivedRun = Type.Object(
  {
    format: Type.Literal(1),
    id: Type.String({ pattern: '^r(0|[1-9]\\d{0,4})-[0-9a-z]{20}$' }),
    record: Type.Record(Type.String(), Type.String()),
    document: Type.Union([Type.String(), Type.Null()]),
    history: Type.Array(Entry),
  },
  { additionalProperties: false },
);
export type ArchivedRun = Static<typeof ArchivedRun>;

const archivedRun = Compile(ArchivedRun);
const output = Compile(
  Type.Object({
    key: Type.String(),
    version_id: Type.String(),
    etag: Type.String(),
    size: Type.Number(),
    state: Type.Optional(Type.String()),
  }),
);

/** Names of a record's fields: `state`, `n0`, `p:1.2`, `v:1.2:<version>`. */
const FIELD = /^[a-z]{1,16}\d{0,3}(:[^\n]{1,1100})?$/;
const FINAL: readonly (string | undefined)[] = ['succeeded', 'failed', 'cancelled', 'rejected'];

/**
 * Reads an archived run of that id. Throws Failure archive_damaged with where and what for a text that is not one: it is
 * then no proof of anything.
 */
export function parseArchivedRun(text: string, runId: string): ArchivedRun {
  const damaged = (what: string, cause?: unknown) =>
    new Failure('archive_damaged', `The archived record of run ${runId}: ${what}.`, cause === undefined ? {} : { cause });
  if (Buffer.byteLength(text) > MAX_ARCHIVED_BYTES) throw damaged(`found more than ${MAX_ARCHIVED_BYTES} bytes`);
  if (nestsDeeperThan(text, MAX_DEPTH)) throw damaged(`found JSON nested deeper than ${MAX_DEPTH} levels`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw damaged('found no JSON', cause);
  }
  if (!archivedRun.Check(parsed)) {
    const [fault] = archivedRun.Errors(parsed);
    throw damaged(`wrong at ${fault?.instancePath || '/'}: ${fault?.message ?? 'not as expected'}`);
  }
  if (parsed.id !== runId || parseRunId(runId) === undefined) throw damaged(`found the id ${parsed.id}`);
  const { record } = parsed;
  for (const [field, value] of Object.entries(record)) {
    if (!FIELD.test(field)) throw damaged(`found the field ${JSON.stringify(field.slice(0, 100))}`);
    if (field.startsWith('o:') && !isOutput(value)) throw damaged(`found no output in ${field}`);
  }
  if (!FINAL.includes(record['state'])) throw damaged('found no final state');
  for (const field of ['at', 'end']) if (!/^\d{1,15}$/.test(record[field] ?? '')) throw damaged(`found no time in ${field}`);
  if (!/^\d{1,3}$/.test(record['steps'] ?? '0')) throw damaged('found no number in steps');
  if (!record['resource'] || !record['bucket']) throw damaged('found no resource or bucket');
  return parsed;
}

/** `ms|json`, or `ms|` for a task that was merely seen up. */
function isOutput(value: string): boolean {
  const bar = value.indexOf('|');
  if (!/^\d{1,15}$/.test(value.slice(0, Math.max(bar, 0)))) return false;
  const json = value.slice(bar + 1);
  if (json === '') return true;
  try {
    return output.Check(JSON.parse(json));
  } catch {
    // no JSON at all is no output either
    return false;
  }
}

/**
 * The text that parseArchivedRun reads back, without the middle of a history that is too long for that: the record is the proof that the run is over, and
 * a copy that cannot be read proves nothing. An entry tells how many are `omitted`. Throws Failure internal for a record that is too large by itself.
 */
export function writeArchivedRun(run: Omit<ArchivedRun, 'format'>): { readonly text: string; readonly omitted: number } {
  const { history } = run;
  const write = (entries: ArchivedRun['history']) => JSON.stringify({ format: 1, ...run, history: entries } satisfies ArchivedRun);
  const fits = (text: string) => Buffer.byteLength(text) <= MAX_ARCHIVED_BYTES;
  const whole = write(history);
  if (fits(whole)) return { text: whole, omitted: 0 };
  for (let kept = history.length >> 1; kept >= 2; kept >>= 1) {
    const end = history.length - (kept >> 1);
    const omitted = end - (kept >> 1);
    const at = history[end]?.[0] ?? 0;
    const text = write([...history.slice(0, kept >> 1), [at, 'omitted', '', 0, `${omitted} entries`], ...history.slice(end)]);
    if (fits(text)) return { text, omitted };
  }
  throw new Failure('internal', `The record of run ${run.id} is larger than what is read of an archived run.`);
}

/** Reads one history entry of Redis. Throws Failure internal for what none of our scripts wrote. */
export function readHistoryEntry(text: string): Static<typeof Entry> {
  const parsed: unknown = JSON.parse(text);
  if (!historyEntry.Check(parsed)) throw new Failure('internal', `A history holds ${text.slice(0, 200)}.`);
  return parsed;
}
const historyEntry = Compile(Entry);

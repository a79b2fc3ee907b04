// The variable `line_D` that every dyno gets: who it is, what triggered it and what the step before left, as JSON.
import Type, { type Static } from 'typebox';

/** Bytes of UTF-8. A longer variable would stop the process from starting at all on some platforms. */
export const MAX_LINE_D_BYTES = 16_384;
/** Characters: a state that is longer goes first when line_D is too large; its object still has it as metadata. */
const LONG_STATE = 256;

const LineDOutput = Type.Object({
  task_id: Type.String(),
  name: Type.String({ description: 'Display name of the task' }),
  key: Type.String({ description: 'Key of the output in the bucket' }),
  state: Type.Union([Type.String(), Type.Null()], {
    description: 'ld_state of the output; null without one, or when it was too long to fit',
  }),
});
type LineDOutput = Static<typeof LineDOutput>;

export const LineD = Type.Object({
  task_id: Type.String({ description: 'To be sent as ld_task_id with the output' }),
  run_id: Type.String(),
  attempt: Type.Integer({ minimum: 1 }),
  title: Type.String({ description: 'Title of the workflow' }),
  name: Type.String({ description: 'Display name of the task' }),
  step: Type.Integer({ minimum: 0 }),
  index: Type.Integer({ minimum: 0 }),
  bucket: Type.String(),
  region: Type.String(),
  trigger: Type.Object({
    key: Type.String(),
    version_id: Type.String(),
    etag: Type.String(),
    size: Type.Integer({ minimum: 0, description: 'Bytes' }),
  }),
  deadline: Type.String({ description: 'When the task times out, as ISO 8601 in UTC' }),
  outputs: Type.Array(LineDOutput, { description: 'Outputs of the step before, in the order of its tasks' }),
  outputs_truncated: Type.Optional(Type.Literal(true, { description: 'Some outputs, or states of them, did not fit' })),
});
export type LineD = Static<typeof LineD>;

/** What the engine knows; the deadline in milliseconds since 1970. */
export type LineDFacts = Omit<LineD, 'deadline' | 'outputs' | 'outputs_truncated'> & {
  readonly deadline: number;
  readonly outputs: readonly LineDOutput[];
};

/**
 * Builds the value of `line_D`, at most 16 KB of UTF-8. When it would be larger, `outputs_truncated` is true and long
 * states are dropped, from the last output backwards, then whole outputs from the end; when that is not enough, the
 * title is cut. Throws RangeError for a deadline that is no time, and for identifying fields (ids, keys) that are
 * larger than S3 allows them to be.
 */
export function buildLineD(facts: LineDFacts): string {
  const { deadline, outputs, ...identity } = facts;
  const whole: LineD = { ...identity, deadline: new Date(deadline).toISOString(), outputs: [...outputs] };
  const text = JSON.stringify(whole);
  return bytesOf(text) <= MAX_LINE_D_BYTES ? text : shorten(whole);
}

function shorten(whole: LineD): string {
  const bare = bytesOf(JSON.stringify({ ...whole, outputs: [], outputs_truncated: true }));
  const outputs = keepWhatFits(whole.outputs, MAX_LINE_D_BYTES - bare);
  const shortened: LineD = { ...whole, outputs, outputs_truncated: true };
  return bare <= MAX_LINE_D_BYTES ? JSON.stringify(shortened) : cutTitle({ ...shortened, outputs: [] });
}

/** Drops long states, then entries, from the end, until the entries and their commas have room. */
function keepWhatFits(outputs: readonly LineDOutput[], room: number): LineDOutput[] {
  const kept = [...outputs];
  const sizes = kept.map(sizeOf);
  let size = sizes.reduce((sum, one) => sum + one, 0);
  for (const [at, output] of [...kept.entries()].reverse()) {
    if (size <= room) break;
    if (output.state === null || output.state.length <= LONG_STATE) continue;
    const without = { ...output, state: null };
    kept[at] = without;
    size += sizeOf(without) - (sizes[at] ?? 0);
    sizes[at] = sizeOf(without);
  }
  while (size > room && kept.length > 0) {
    kept.pop();
    size -= sizes.pop() ?? 0;
  }
  return kept;
}

/** With the comma behind it. */
function sizeOf(output: LineDOutput): number {
  return bytesOf(JSON.stringify(output)) + 1;
}

function cutTitle(large: LineD): string {
  const room = MAX_LINE_D_BYTES - bytesOf(JSON.stringify({ ...large, title: '' }));
  if (room < 0)
    throw new RangeError(`line_D of task ${large.task_id}: found names and keys above ${MAX_LINE_D_BYTES} bytes, which S3 does not allow`);
  let title = '';
  let size = 0;
  // By code points: half a surrogate pair is no text.
  for (const point of large.title) {
    size += bytesOf(JSON.stringify(point)) - 2;
    if (size > room) break;
    title += point;
  }
  return JSON.stringify({ ...large, title });
}

const encoder = new TextEncoder();

function bytesOf(text: string): number {
  return encoder.encode(text).length;
}

// The four metadata names by which an object speaks to us (x-amz-meta-ld_*), as HEAD tells them.
import { decodeText } from './encoded-text.ts';
import { parseTaskId } from './ids.ts';

const NAMES = ['ld_run', 'ld_code', 'ld_task_id', 'ld_state'] as const;
type Name = (typeof NAMES)[number];

export interface ObjectMetadata {
  /** ld_run: the object's body is a workflow to run. */
  run: boolean;
  /** ld_code: the text of a workflow to run. */
  code?: string;
  /** ld_task_id: the object is the output of this task. Only ever a well-formed task id. */
  taskId?: string;
  /** ld_state: free text about the output. */
  state?: string;
  /** What is wrong with the metadata, one sentence each; such a value counts as absent. */
  faults: string[];
}

/**
 * Reads the metadata of an object. Names count in any case and with `-` for `_` (proxies and Ceph change it), the
 * form with `_` first; values are decoded from RFC 2047 words and latin-1 damage. Other names are none of ours.
 * Never throws.
 */
export function readMetadata(metadata: Readonly<Record<string, string>>): ObjectMetadata {
  const faults: string[] = [];
  const values = collect(metadata, faults);
  const read: ObjectMetadata = { run: readRun(values.get('ld_run'), faults), faults };
  const code = values.get('ld_code');
  if (code !== undefined) read.code = code;
  const taskId = readTaskId(values.get('ld_task_id'), faults);
  if (taskId !== undefined) read.taskId = taskId;
  const state = values.get('ld_state');
  if (state !== undefined) read.state = state;
  return read;
}

function collect(metadata: Readonly<Record<string, string>>, faults: string[]): Map<Name, string> {
  const values = new Map<Name, string>();
  // The form with `_` is the documented one: it is read first and wins.
  const entries = Object.entries(metadata).sort(([a], [b]) => Number(a.includes('-')) - Number(b.includes('-')));
  for (const [written, raw] of entries) {
    const name = NAMES.find((known) => known === written.toLowerCase().replaceAll('-', '_'));
    if (name === undefined) continue;
    const value = decodeText(raw);
    const before = values.get(name);
    if (before === undefined) values.set(name, value);
    else if (before !== value) faults.push(`${written}: found a second value for ${name}; the first one counts, send it once.`);
  }
  return values;
}

function readRun(value: string | undefined, faults: string[]): boolean {
  const text = value?.trim().toLowerCase();
  if (text === 'true' || text === '1' || text === 'yes') return true;
  if (value !== undefined && text !== 'false' && text !== '0' && text !== 'no' && text !== '') {
    faults.push(`ld_run: found ${quote(value)}, expected true, 1 or yes; nothing is run for it.`);
  }
  return false;
}

function readTaskId(value: string | undefined, faults: string[]): string | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  if (parseTaskId(text) !== undefined) return text;
  faults.push(`ld_task_id: found ${quote(value)}, expected the task_id of line_D, such as r0-0123456789abcdefghij.0.0, unchanged.`);
  return undefined;
}

function quote(value: string): string {
  const text = value.length > 60 ? `${value.slice(0, 60)}…` : value;
  return JSON.stringify(text.toWellFormed());
}

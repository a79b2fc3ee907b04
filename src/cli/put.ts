import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Failure } from '../schema/failures.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import { isFinal, type RunView } from '../schema/run-view.ts';
import type { Api } from './api-client.ts';
import { endLine, lineOf, namesOf } from './show-run.ts';

/** Bytes of metadata that S3 takes: names and values together. */
const MAX_METADATA = 2_048;
/** Milliseconds until an upload's event must have led to a run. */
const EVENT_MS = 60_000;

/** What to upload: a file as it is, with a workflow attached, or as a workflow itself. */
export interface Upload {
  readonly key: string;
  readonly body: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Reads the file and, with `workflow`, the workflow that rides along. Throws Failure with every fault of an invalid one. */
export async function readUpload(file: string, options: { key?: string; workflow?: string; run?: boolean }): Promise<Upload> {
  const body = await readFileOr(file);
  const key = options.key ?? `in/${basename(file)}`;
  if (options.run) {
    validate(file, body.toString('utf8'));
    return { key, body, metadata: { ld_run: 'true' } };
  }
  if (options.workflow === undefined) return { key, body, metadata: {} };
  const text = (await readFileOr(options.workflow)).toString('utf8');
  validate(options.workflow, text);
  // without white space and with ASCII alone, as headers want it
  const code = JSON.stringify(JSON.parse(text)).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const size = 'ld_code'.length + code.length;
  if (size > MAX_METADATA) {
    throw new Failure(
      'workflow_too_large',
      `${options.workflow} has ${size} bytes as metadata, S3 takes ${MAX_METADATA}. Upload the workflow itself with --run instead.`,
    );
  }
  return { key, body, metadata: { ld_code: code } };
}

function validate(file: string, text: string): void {
  const parsed = parseWorkflow(text);
  if (!parsed.ok) throw new Failure('workflow_invalid', `${file}\n${parsed.faults.map((fault) => `  ${fault.message}`).join('\n')}`);
}

async function readFileOr(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new Failure('request_invalid', `Cannot read ${path}.`, { cause });
  }
}

/** The run that an uploaded version caused, as soon as its event was decided. */
export async function awaitRun(api: Api, at: { bucket: string; key: string; versionId: string }, signal: AbortSignal): Promise<string> {
  const until = Date.now() + EVENT_MS;
  for (;;) {
    const [run] = await api.runs({ bucket: at.bucket, key: at.key, version_id: at.versionId });
    if (run !== undefined) return run.id;
    signal.throwIfAborted();
    if (Date.now() > until)
      throw new Failure('deadline_exceeded', `No run came of ${at.key} within ${EVENT_MS / 1000} s. Is a worker running?`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Shows a run as it happens and answers with how it ended. `onLaunch` hears of every dyno. */
export async function watchRun(
  api: Api,
  runId: string,
  deps: { say: (line: string) => void; onLaunch?: (dyno: string) => void; signal: AbortSignal },
): Promise<RunView> {
  const first = await api.run(runId);
  const names = namesOf(first);
  const since = Date.parse(first.created_at);
  if (!isFinal(first.state) || first.history.length > 0) {
    await api.follow(
      runId,
      (entry) => {
        const line = lineOf(entry, names, since);
        if (line !== undefined) deps.say(line);
        if (entry.what === 'launched' || entry.what === 'adopted') deps.onLaunch?.(entry.detail);
      },
      deps.signal,
    );
  }
  const run = await api.run(runId);
  deps.say(endLine(run));
  return run;
}

/** A key that no other upload has. */
export function freshKey(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 8)}`;
}

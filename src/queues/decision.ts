// What enter.lua answers: the one decision of a task's activation.
import { Failure } from '../schema/failures.ts';
import type { Workflow } from '../schema/workflow.ts';
import { type RunFacts, readOutput, type TaskRef } from './run-record.ts';

export interface Decision {
  readonly action: 'gone' | 'settled' | 'park' | 'retry' | 'check' | 'adopt' | 'ask' | 'launch' | 'failed';
  /** Milliseconds to park; negative: without a deadline. */
  readonly ms: number;
  readonly attempt: number;
  readonly seen: string;
  readonly detail: string;
  /** Redis' time of the decision. */
  readonly now: number;
  /** With `launch`: what the dyno is told of its run. */
  readonly facts?: RunFacts;
}

const ACTIONS: readonly Decision['action'][] = ['gone', 'settled', 'park', 'retry', 'check', 'adopt', 'ask', 'launch', 'failed'];

/** The decision in a script's reply. Throws Failure internal for one that is none. */
export function decisionOf(reply: unknown, ref: TaskRef): Decision {
  if (!Array.isArray(reply) || reply.length < 6) throw new Failure('internal', `enter answered ${JSON.stringify(reply)}.`);
  const action = ACTIONS.find((known) => known === reply[0]);
  if (action === undefined) throw new Failure('internal', `enter answered with the action ${String(reply[0])}.`);
  return {
    action,
    ms: Number(reply[1]),
    attempt: Number(reply[2]),
    seen: String(reply[3]),
    detail: String(reply[4]),
    now: Number(reply[5]),
    ...(Array.isArray(reply[6]) ? { facts: factsOf(reply[6].map(String), ref) } : {}),
  };
}

/** As enter.lua's facts() writes them. */
function factsOf(reply: readonly string[], ref: TaskRef): RunFacts {
  const [title = '', bucket = '', key = '', versionId = '', etag = '', size, document = '', ...outputs] = reply;
  const names = document === '' ? [] : taskNames(document, ref.step - 1);
  const before = outputs.flatMap((field, index) => {
    const output = field === '' ? undefined : readOutput(field);
    return output === undefined ? [] : [{ index, name: names[index] ?? '', output: output.ref }];
  });
  return { title, trigger: { bucket, key, versionId, etag, size: Number(size ?? 0) }, before };
}

/** Display names of a step's tasks, from a document that was validated when it was accepted. */
function taskNames(doc: string, step: number): readonly string[] {
  const entry = (JSON.parse(doc) as Workflow).run[step];
  if (entry === undefined) return [];
  return 'parallel' in entry ? entry.parallel.map((task) => task.name ?? '') : [entry.name ?? ''];
}

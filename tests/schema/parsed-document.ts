// What a document is read as: its plan, or its faults.
import type { Fault } from '../../src/schema/fault.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import type { WorkflowPlan } from '../../src/schema/workflow.ts';

/** A task of nothing but a command, with all defaults. */
export const TASK = {
  name: '',
  cmd: 'a',
  machine: 'basic',
  timeout: 60,
  options: {},
  no_output: false,
  wait_for: 0,
  retries: 2,
  backoff: { type: 'exponential', delay: 1, max: 60 },
};

/** The faults of a document; none when it is valid. */
export function faultsOf(document: unknown): readonly Fault[] {
  const parsed = parseWorkflow(typeof document === 'string' ? document : JSON.stringify(document));
  return parsed.ok ? [] : parsed.faults;
}

/** Their messages. */
export function messagesOf(document: unknown): string[] {
  return faultsOf(document).map((fault) => fault.message);
}

/** The messages about a task with these fields. */
export function taskMessages(fields: object): string[] {
  return messagesOf({ run: [{ cmd: 'a', ...fields }] });
}

/** The plan of a document that is valid. */
export function planOf(document: unknown): WorkflowPlan {
  const parsed = parseWorkflow(typeof document === 'string' ? document : JSON.stringify(document));
  if (!parsed.ok) throw new Error(parsed.faults.map((fault) => fault.message).join('\n'));
  return parsed.plan;
}

/**
 * The places before and after a durable step where tests stop or kill a process. In production the hook does nothing;
 * `AUTOFILES_FAILPOINT` sets it (src/cli/failpoint.ts).
 */
export type FailpointName =
  /** An object was read; nothing of its decision is recorded yet. */
  | 'events.read'
  /** The run is recorded; its tree is not made yet. */
  | 'events.accepted'
  /** The decision is recorded and rung; the message is not deleted yet. */
  | 'events.decided'
  /** The planner has seen an accepted record; the MULTI is not sent yet. */
  | 'plan.checked'
  /** The tree stands. */
  | 'plan.added'
  /** The intent is recorded; the POST is not sent yet. */
  | 'task.intent'
  /** The POST was answered; the answer is not recorded yet. */
  | 'task.posted'
  /** The launch is recorded; the task is not parked yet. */
  | 'task.launched'
  /** The task is parked. */
  | 'task.parked'
  /** A retry or the failure of a task is recorded; BullMQ does not know yet. */
  | 'task.judged'
  /** All tasks have settled; the end is not recorded yet. */
  | 'finish.entered'
  /** The end is recorded; the root job is not completed yet. */
  | 'finish.ended';

export type Failpoint = (name: FailpointName) => void;

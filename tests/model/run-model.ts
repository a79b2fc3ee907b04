// The run's state machine in plain objects, written from DESIGN §4 and not from the scripts: what each transition answers and
// what stands afterwards. Time is a number that the test moves.

export interface ModelTask {
  readonly step: number;
  readonly index: number;
  readonly retries: number;
  readonly noOutput: boolean;
  /** Whether the next step waits a while after it succeeded. */
  readonly cools: boolean;
  phase: 'new' | 'intent' | 'await' | 'cool' | 'backoff' | 'succeeded' | 'failed' | 'skipped';
  attempt: number;
  used: number;
  lost: number;
  token: string | undefined;
  output: string | undefined;
  /** Whether its output lay there when time passed. */
  outputIsOld: boolean;
  launched: boolean;
  death: boolean;
  up: boolean;
  /** Whether its deadline, backoff, grace or cooling has passed. */
  due: boolean;
  /** How long its attempt has been refused: not at all, shortly, or longer than refusals may last. */
  refused: 'no' | 'shortly' | 'too long';
}

export interface ModelRun {
  state: 'accepted' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  cancelled: boolean;
  failing: boolean;
  /** It fails because it took too long, and for nothing else: forgotten again where that stopped nothing. */
  expired: boolean;
  released: number;
  readonly tasks: readonly ModelTask[];
}

const SETTLED = ['succeeded', 'failed', 'skipped'];
const isSettled = (task: ModelTask) => SETTLED.includes(task.phase);
const hasEnded = (run: ModelRun) => run.state !== 'accepted' && run.state !== 'running';

function settle(task: ModelTask, as: 'succeeded' | 'failed' | 'skipped'): void {
  // a launch of unknown fate stays known
  if (task.phase !== 'intent') task.token = undefined;
  task.phase = as;
  task.death = false;
  task.due = false;
  task.refused = 'no';
}

function gateOpen(run: ModelRun, task: ModelTask): boolean {
  return run.tasks.filter(({ step }) => step === task.step - 1).every(isSettled);
}

function nextAttempt(task: ModelTask): void {
  task.phase = 'backoff';
  task.attempt += 1;
  task.token = undefined;
  task.launched = false;
  task.death = false;
  task.due = false;
}

/** An attempt has failed: another one, or the task's end. */
function judge(run: ModelRun, task: ModelTask): string {
  task.used += 1;
  if (!run.failing && task.used <= task.retries) {
    nextAttempt(task);
    return 'retry';
  }
  settle(task, 'failed');
  run.failing = true;
  return 'failed';
}

/** An activation asks what to do, as one that has a grant of the launch budget. */
export function enter(run: ModelRun, task: ModelTask, token: string, verdict: boolean): string {
  const gate = gateOpen(run, task);
  if (task.step > 0 && task.index === 0 && gate) run.released = Math.max(run.released, task.step);
  if (isSettled(task)) return 'settled';
  if (hasEnded(run)) return 'gone';
  if (run.cancelled) {
    settle(task, task.phase === 'cool' ? 'succeeded' : 'skipped');
    return 'settled';
  }
  const begun = task.phase === 'intent' || task.phase === 'await' || task.phase === 'cool';
  if (run.failing && !begun && task.output === undefined) {
    settle(task, 'skipped');
    return 'settled';
  }
  if (run.state === 'accepted' || !gate || (task.index > 0 && task.step > 0 && run.released < task.step)) return 'park';
  if (task.output !== undefined) {
    // it cools from the moment of its output on, whatever it did meanwhile
    if (task.cools && !task.outputIsOld) {
      task.phase = 'cool';
      return 'park';
    }
    settle(task, 'succeeded');
    return 'settled';
  }
  if (task.phase === 'await') {
    if (!task.due) return 'park';
    return verdict ? judge(run, task) : 'check';
  }
  if (task.phase === 'intent') return task.token === token ? 'launch' : 'adopt';
  if (task.phase === 'backoff' && !task.due) return 'park';
  task.phase = 'intent';
  task.token = token;
  task.due = false;
  return 'launch';
}

export function deliver(task: ModelTask, version: string, own: boolean): string {
  if (!own) return 'foreign';
  if (task.output === version) return 'duplicate';
  if (task.output === undefined && !task.launched && task.token === undefined && task.attempt === 1) return 'unlaunched';
  if (isSettled(task) || task.output !== undefined) return 'late';
  task.output = version;
  return 'ok';
}

export function launched(task: ModelTask, attempt: number, up: boolean): string {
  const current = task.attempt === attempt;
  // told once more, by an event that overtook the answer: no news
  if (current && (task.phase === 'await' || task.phase === 'cool') && task.launched) return 'ok';
  if (current && task.phase === 'succeeded') {
    task.launched = true;
    return 'ok';
  }
  if (!current || (task.phase !== 'intent' && task.phase !== 'cool')) return 'closed';
  if (task.phase === 'intent') {
    task.phase = 'await';
    task.due = false;
  }
  task.launched = true;
  task.death = false;
  task.token = undefined;
  if (up) {
    task.up = true;
    if (task.noOutput) task.output ??= 'up';
  }
  return 'ok';
}

export function observe(task: ModelTask, attempt: number, kind: 'up' | 'gone'): void {
  if (task.phase !== 'await' || task.attempt !== attempt) return;
  if (kind === 'up') {
    if (task.noOutput) task.output ??= 'up';
    return;
  }
  task.death = true;
  // nothing to wait for: it is looked at at once, as after a grace that passed
  if (task.noOutput) task.due = true;
}

export function refused(run: ModelRun, task: ModelTask, attempt: number, kind: 'heal' | 'final' | 'lost'): void {
  if (task.phase !== 'intent' || task.attempt !== attempt) return;
  if (task.output !== undefined) return;
  if (kind === 'heal' && task.refused !== 'too long') {
    task.phase = 'backoff';
    task.due = false;
    task.token = undefined;
    task.refused = 'shortly';
    return;
  }
  if (kind === 'heal' && !run.failing) {
    task.used += 1;
    if (task.used <= task.retries) {
      nextAttempt(task);
      task.refused = 'no';
      return;
    }
  }
  if (kind === 'lost' && task.retries > 0 && !run.failing) {
    task.lost += 1;
    if (task.lost <= 3) {
      nextAttempt(task);
      task.due = true;
      return;
    }
  }
  const keepsToken = kind === 'lost' ? task.token : undefined;
  settle(task, 'failed');
  task.token = keepsToken;
  run.failing = true;
}

/** Planned once more and again: without its tree, by whoever plans it, the jobs that are made, with its tree. */
export function plan(run: ModelRun): string {
  if (run.state !== 'accepted') return `late ${run.state === 'running' ? 'planned' : 'ended'} 0 late`;
  run.state = 'running';
  // the root and each task
  return `incomplete planned ${1 + run.tasks.length} late`;
}

export function cancel(run: ModelRun): string {
  if (run.state === 'accepted') {
    run.state = 'cancelled';
    run.cancelled = true;
    return 'cancelled';
  }
  if (run.state !== 'running') return `ended:${run.state}`;
  run.cancelled = true;
  return 'cancelling';
}

/** It took longer than it may: it is stopped like a cancelled one, and has failed. */
export function expire(run: ModelRun): string {
  if (run.state === 'accepted') {
    run.state = 'failed';
    run.cancelled = true;
    run.failing = true;
    return 'failed';
  }
  if (run.state === 'running' && !run.cancelled && !run.failing) {
    run.failing = true;
    run.expired = true;
  }
  return cancel(run);
}

export function finish(run: ModelRun): string {
  if (hasEnded(run)) return `ended:${run.state}`;
  if (!run.tasks.every(isSettled)) return 'open';
  // what came after the last task had succeeded came too late
  const late = run.tasks.every(({ phase }) => phase === 'succeeded');
  if (run.expired && late) run.failing = false;
  run.state = run.failing ? 'failed' : run.cancelled && !late ? 'cancelled' : 'succeeded';
  return run.state;
}

/** An hour passes: whatever waits for a time is due. */
export function pass(run: ModelRun): void {
  for (const task of run.tasks) {
    if (['await', 'backoff', 'cool'].includes(task.phase)) task.due = true;
    if (task.output !== undefined) task.outputIsOld = true;
    if (task.refused === 'shortly') task.refused = 'too long';
  }
}

/** A run as it is accepted. */
export function newRun(tasks: readonly Pick<ModelTask, 'step' | 'index' | 'retries' | 'noOutput' | 'cools'>[]): ModelRun {
  return {
    state: 'accepted',
    cancelled: false,
    failing: false,
    expired: false,
    released: 0,
    tasks: tasks.map((task) => ({
      ...task,
      phase: 'new',
      attempt: 1,
      used: 0,
      lost: 0,
      token: undefined,
      output: undefined,
      outputIsOld: false,
      launched: false,
      death: false,
      up: false,
      due: false,
      refused: 'no',
    })),
  };
}

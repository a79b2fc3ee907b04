// Keeps child processes running: one that dies is named and started again; stopping goes in reverse order.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../schema/failures.ts';

/** Milliseconds before a child that died is started again; doubled each time it dies young. */
const RESTART_MS = 200;
const MAX_RESTART_MS = 10_000;
/** Milliseconds of life after which a child counts as healthy again. */
const HEALTHY_MS = 10_000;
/** Milliseconds that a child may take to say that it is ready. */
const READY_MS = 30_000;

export interface ChildOrder {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Milliseconds from SIGTERM to SIGKILL. */
  readonly grace: number;
  readonly onLine: (line: string) => void;
}

export interface Supervisor {
  /** Starts a child and resolves when its IPC message `{ready: true}` came; what it says before by `{notice: TEXT}` goes to `say`. Throws Failure start_failed with its last words. */
  start(order: ChildOrder): Promise<void>;
  /** Ends all children, the last one first. */
  stop(): Promise<void>;
  /** Ends all children at once. */
  kill(): void;
}

/** `say` gets one line when a child dies or is started again, and what children have to say. */
export function createSupervisor(deps: { say: (line: string) => void }): Supervisor {
  const children: { order: ChildOrder; child: ChildProcess | undefined; done: Promise<void> }[] = [];
  const stopping = new AbortController();

  const launch = async (order: ChildOrder): Promise<ChildProcess> => {
    const last: string[] = [];
    const child = spawn(order.command, order.args, {
      env: order.env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // a Ctrl-C in the terminal reaches the supervisor alone, which ends its children in order
      detached: true,
    });
    const hear = (line: string) => {
      last.push(line);
      if (last.length > 20) last.shift();
      order.onLine(line);
    };
    eachLine(child.stdout, hear);
    eachLine(child.stderr, hear);
    child.on('message', (message) => {
      if (typeof message === 'object' && message !== null && 'notice' in message) deps.say(`${order.name}: ${String(message.notice)}`);
    });
    const giveUp = new AbortController();
    const dead = once(child, 'exit', { signal: giveUp.signal }).then(([code, signal]) => {
      throw new Failure(
        'start_failed',
        `${order.name} ended with ${signal ?? `status ${code}`} before it was ready: ${last.join(' / ') || 'it said nothing'}`,
      );
    });
    const failed = once(child, 'error', { signal: giveUp.signal }).then(([cause]) => {
      throw new Failure('start_failed', `${order.name}: cannot run ${order.command}.`, { cause });
    });
    const late = sleep(READY_MS, undefined, { signal: giveUp.signal }).then(() => {
      throw new Failure(
        'start_failed',
        `${order.name} was not ready within ${READY_MS / 1000} s: ${last.join(' / ') || 'it said nothing'}`,
      );
    });
    const ready = readyMessage(child, giveUp.signal);
    try {
      await Promise.race([ready, dead, failed, late]);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      giveUp.abort();
      for (const promise of [ready, dead, failed, late]) promise?.catch(() => {});
    }
    return child;
  };

  const keepRunning = async (entry: (typeof children)[number], first: ChildProcess): Promise<void> => {
    let child = first;
    let delay = RESTART_MS;
    for (;;) {
      const since = performance.now();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      entry.child = undefined;
      if (stopping.signal.aborted) return;
      const { name } = entry.order;
      deps.say(`${name} ended with ${child.signalCode ?? `status ${child.exitCode}`}; starting it again`);
      delay = performance.now() - since > HEALTHY_MS ? RESTART_MS : Math.min(delay * 2, MAX_RESTART_MS);
      for (;;) {
        await sleep(delay, undefined, { signal: stopping.signal }).catch(() => {});
        if (stopping.signal.aborted) return;
        try {
          child = await launch(entry.order);
          break;
        } catch (error) {
          deps.say(`${name} did not start again: ${error instanceof Error ? error.message : String(error)}`);
          delay = Math.min(delay * 2, MAX_RESTART_MS);
        }
      }
      entry.child = child;
      if (stopping.signal.aborted) {
        await end(entry.order, child);
        return;
      }
      deps.say(`${name} is back`);
    }
  };

  return {
    start: async (order) => {
      const child = await launch(order);
      const entry: (typeof children)[number] = { order, child, done: Promise.resolve() };
      entry.done = keepRunning(entry, child);
      children.push(entry);
    },
    stop: async () => {
      stopping.abort();
      for (const entry of children.toReversed()) {
        if (entry.child !== undefined) await end(entry.order, entry.child);
        await entry.done;
      }
    },
    kill: () => {
      stopping.abort();
      for (const { child } of children) child?.kill('SIGKILL');
    },
  };
}

async function end(order: ChildOrder, child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), order.grace);
  await gone;
  clearTimeout(timer);
}

async function readyMessage(child: ChildProcess, signal: AbortSignal): Promise<void> {
  for (;;) {
    const [message] = await once(child, 'message', { signal });
    if (typeof message === 'object' && message !== null && 'ready' in message) return;
  }
}

function eachLine(stream: NodeJS.ReadableStream | null, onLine: (line: string) => void): void {
  let rest = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(-10_000);
    for (const line of lines) onLine(line);
  });
}

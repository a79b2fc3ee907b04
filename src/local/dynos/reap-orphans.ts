import { setTimeout as delay } from 'node:timers/promises';
import { signalGroup } from './dyno-process.ts';
import type { LogStore } from './log-store.ts';
import type { DynoRecord, PlatformState } from './platform-state.ts';
import { processesOfDynos, processIdentity } from './process-identity.ts';

// How often it is looked whether the processes are gone.
const pollMs = 20;
// SIGKILL cannot be refused, but a process that waits for a broken disk ends later: after this long the start goes on and says so.
const killWaitMs = 2_000;

/**
 * Ends what a killed platform left running, SIGTERM first and SIGKILL after `graceMs`, writes the end into the log and forgets the dynos. A process is touched only when it is surely
 * the dyno's: it has the recorded start time, or it carries the dyno's id in its environment.
 */
export async function reapOrphans(deps: {
  state: PlatformState;
  log: LogStore;
  graceMs: number;
  report: (message: string) => void;
}): Promise<void> {
  const left = deps.state.leftDynos();
  if (left.length === 0) return;
  const killed = await endAll(left, 'SIGTERM', deps.graceMs);
  const stubborn = await endAll(left, 'SIGKILL', killWaitMs);
  const survivors = await remaining(left);
  for (const pid of survivors.pids) deps.report(`process ${pid} of a dyno that a killed platform left behind does not end after SIGKILL`);
  for (const dyno of left) {
    const status = stubborn.has(dyno.id) ? 137 : killed.has(dyno.id) ? 143 : undefined;
    deps.log.append('heroku', dyno.name, 'Error: the local platform was killed while this dyno ran; what was left of it has been ended');
    if (status !== undefined) deps.log.append('heroku', dyno.name, `Process exited with status ${status}`);
    deps.log.append('heroku', dyno.name, 'State changed from up to complete');
    deps.state.removeDyno(dyno.id);
  }
}

// Sends the signal to everything that is left and waits until it is gone or the time is over. Gives the ids of the dynos that had something to signal.
async function endAll(left: readonly DynoRecord[], signal: NodeJS.Signals, waitMs: number): Promise<Set<string>> {
  const first = await remaining(left);
  for (const group of first.groups) signalGroup(group, signal);
  for (const pid of first.pids) signalProcess(pid, signal);
  for (let waited = 0; waited < waitMs; waited += pollMs) {
    if ((await remaining(left)).pids.size === 0) break;
    await delay(pollMs);
  }
  return first.dynos;
}

async function remaining(left: readonly DynoRecord[]): Promise<{ groups: Set<number>; pids: Set<number>; dynos: Set<string> }> {
  const groups = new Set<number>();
  const pids = new Set<number>();
  const dynos = new Set<string>();
  for (const { id, pid, identity } of left) {
    if (pid === null || identity === null || (await processIdentity(pid)) !== identity) continue;
    groups.add(pid);
    pids.add(pid);
    dynos.add(id);
  }
  for (const [pid, id] of processesOfDynos(new Set(left.map(({ id }) => id)))) {
    pids.add(pid);
    dynos.add(id);
  }
  return { groups, pids, dynos };
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createOutputLines } from './output-lines.ts';
import type { OutputPipes } from './output-pipe.ts';
import { onlyZombiesIn } from './process-identity.ts';

/** A started process group: its leader is a shell in a session of its own, and its pid is the group's id. */
export interface DynoProcess {
  pid: number;
  /** Settles when the leader and its group have ended and all output was read: the leader's exit status, 128 + number for a signal. */
  ended: Promise<number>;
  /**
   * Sends a signal to every process of the group; false when none is left. After a SIGTERM the rest of the group may go on when the leader ends (a shell dies of it at once, the
   * app below it tidies up) until SIGKILL is sent too; without one the rest is killed as soon as the leader has ended.
   */
  signal(name: NodeJS.Signals): boolean;
}

/** Why a process could not be started: `status` is what a shell would exit with (127 not found, 126 found but not startable). */
export class SpawnFailure extends Error {
  readonly status: 126 | 127;
  constructor(status: 126 | 127, message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'SpawnFailure';
    this.status = status;
  }
}

// A process that left the group and kept the output open must not keep the dyno: this long after the leader's end its output is cut off.
const drainMs = 500;
// How often the rest of a stopped group is looked at.
const groupPollMs = 20;

/**
 * Starts `file args` in a session of its own with exactly `env`, standard input empty, and gives its output line by line to `onLine`.
 * @throws {SpawnFailure} when the system cannot start it.
 */
export async function startDynoProcess(
  command: { file: string; args: readonly string[]; cwd: string; env: Record<string, string> },
  deps: { pipes: OutputPipes; onLine: (line: string) => void },
): Promise<DynoProcess> {
  const pipe = await deps.pipes.open();
  let child: ReturnType<typeof spawn>;
  try {
    child = spawn(command.file, command.args, {
      // Messages begin with the shell's name (`bash: line 1: …`) as on Heroku, not with where it lies on this machine.
      argv0: basename(command.file),
      cwd: command.cwd,
      env: command.env,
      detached: true,
      stdio: ['ignore', pipe.writeEnd, pipe.writeEnd],
    });
  } catch (error) {
    closeSync(pipe.writeEnd);
    pipe.done(false);
    throw toSpawnFailure(error, command);
  }
  closeSync(pipe.writeEnd);
  const { pid } = child;
  if (pid === undefined) {
    const error = await new Promise<unknown>((resolve) => child.once('error', resolve));
    pipe.done(false);
    throw toSpawnFailure(error, command);
  }
  let stopping = false;
  const signal = (name: NodeJS.Signals): boolean => {
    stopping ||= name === 'SIGTERM';
    return signalGroup(pid, name);
  };

  const lines = createOutputLines(deps.onLine);
  let drained = false;
  const allRead = new Promise<void>((resolve) => {
    pipe.reader.on('data', (chunk: Buffer) => lines.push(chunk));
    pipe.reader.once('end', () => {
      drained = true;
      resolve();
    });
    pipe.reader.once('error', () => resolve());
  });
  const exited = new Promise<number>((resolve, reject) => {
    // After a start 'error' comes only from child.kill, which is not used; kept so that it could never bring the platform down unhandled.
    child.once('error', reject);
    child.once('exit', (code, name) => resolve(code ?? 128 + (name === null ? 0 : constants.signals[name])));
  });
  const ended = exited.then(async (status) => {
    while (stopping && groupAlive(pid, drained)) await delay(groupPollMs);
    signalGroup(pid, 'SIGKILL');
    const cutOff = new AbortController();
    await Promise.race([allRead, delay(drainMs, undefined, { signal: cutOff.signal }).catch(() => undefined)]);
    cutOff.abort();
    pipe.done(drained);
    lines.end();
    return status;
  });
  return { pid, ended, signal };
}

/** Sends a signal to a process group (0: only asks). False when the group has no process left. */
export function signalGroup(group: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, name);
    return true;
  } catch (error) {
    // EPERM: macOS says so when only zombies are left in the group.
    if (error instanceof Error && 'code' in error && (error.code === 'ESRCH' || error.code === 'EPERM')) return false;
    throw error;
  }
}

// Members that ended but were not waited for (a container without an init) still count for kill(2). Once nobody holds the output they are looked at one by one.
function groupAlive(group: number, drained: boolean): boolean {
  return signalGroup(group, 0) && !(drained && onlyZombiesIn(group));
}

function toSpawnFailure(error: unknown, { file, cwd }: { file: string; cwd: string }): SpawnFailure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  const reasons: Record<string, string> = {
    ENOENT: `${file} or its folder ${cwd} does not exist`,
    E2BIG:
      'its command and environment together are larger than this system lets a process have; make the config vars or the call env smaller',
    EAGAIN: 'this user may not start more processes (ulimit -u); wait for others to end or raise the limit',
    ENOMEM: 'this machine is out of memory',
    EMFILE: 'the platform may not open more files (ulimit -n)',
    EACCES: `${file} may not be executed`,
  };
  const reason = reasons[code] ?? (error instanceof Error ? error.message : String(error));
  return new SpawnFailure(code === 'ENOENT' ? 127 : 126, `the process could not be started (${code}): ${reason}`, error);
}

import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { onlyZombiesIn } from './process-identity.ts';
import type { ProcessPipes } from './process-pipes.ts';
import { readOutput } from './read-output.ts';

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
  /** Its standard input and the flow of its output. Without an input (`ignore`) what is written is dropped. */
  io: ProcessIo;
}

/** The side of a process that an attached client holds. */
export interface ProcessIo {
  write(chunk: Buffer): void;
  endInput(): void;
  /** Holds the output back until `resume`, for a client that does not keep up; the process then waits, as with any pipe, and `ended` for the last of its output. */
  pause(): void;
  resume(): void;
}

/** What is to be started, with exactly this environment. */
export interface ProcessCommand {
  file: string;
  args: readonly string[];
  cwd: string;
  env: Record<string, string>;
}

/** Where a process's output goes; `end` comes once, after the last chunk. */
export interface OutputSink {
  push(chunk: Buffer): void;
  end(): void;
}

/** Why a process could not be started, as a line for the log: `status` is what a shell would exit with (127 not found, 126 found but not startable), 128 when no client attached. */
export class SpawnFailure extends Error {
  readonly status: 126 | 127 | 128;
  constructor(status: 126 | 127 | 128, message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'SpawnFailure';
    this.status = status;
  }
}

// How often the rest of a stopped group is looked at.
const groupPollMs = 20;

/**
 * Starts a program in a session of its own with stdout and stderr in one pipe to `output`; standard input is empty (`ignore`) or a pipe.
 * @throws {SpawnFailure} when the system cannot start it.
 */
export async function startDynoProcess(
  command: ProcessCommand,
  deps: { pipes: ProcessPipes; output: OutputSink; input: 'ignore' | 'pipe' },
): Promise<DynoProcess> {
  const pipe = await deps.pipes.openOutput();
  const input = deps.input === 'pipe' ? await deps.pipes.openInput() : undefined;
  // The process has its own by then.
  const close = (): void => {
    closeSync(pipe.writeEnd);
    if (input !== undefined) closeSync(input.readEnd);
  };
  let child: ReturnType<typeof spawn>;
  try {
    child = spawn(command.file, command.args, {
      // Messages begin with the shell's name (`bash: line 1: …`) as on Heroku, not with where it lies on this machine.
      argv0: basename(command.file),
      cwd: command.cwd,
      env: command.env,
      detached: true,
      stdio: [input?.readEnd ?? 'ignore', pipe.writeEnd, pipe.writeEnd],
    });
  } catch (error) {
    close();
    pipe.done(false);
    input?.writer.destroy();
    throw toSpawnFailure(error, command);
  }
  close();
  const { pid } = child;
  if (pid === undefined) {
    const error = await new Promise<unknown>((resolve) => child.once('error', resolve));
    pipe.done(false);
    input?.writer.destroy();
    throw toSpawnFailure(error, command);
  }
  const reading = readOutput(pipe.reader, deps.output);
  let stopping = false;
  const signal = (name: NodeJS.Signals): boolean => {
    stopping ||= name === 'SIGTERM';
    if (name === 'SIGTERM' || name === 'SIGKILL') reading.hurry();
    return signalGroup(pid, name);
  };

  const exited = new Promise<number>((resolve, reject) => {
    // After a start 'error' comes only from child.kill, which is not used; kept so that it could never bring the platform down unhandled.
    child.once('error', reject);
    child.once('exit', (code, name) => resolve(code ?? 128 + (name === null ? 0 : constants.signals[name])));
  });
  const ended = exited.then(async (status) => {
    while (stopping && groupAlive(pid, reading.drained())) await delay(groupPollMs);
    signalGroup(pid, 'SIGKILL');
    await reading.rest();
    pipe.done(reading.drained());
    input?.writer.destroy();
    deps.output.end();
    return status;
  });
  // A process that closes its input, or ends, makes writing fail; what was meant for it is then of no use to anybody.
  input?.writer.on('error', () => input.writer.destroy());
  const io: ProcessIo = {
    write: (chunk) => void (input?.writer.writable && input.writer.write(chunk)),
    endInput: () => void input?.writer.end(),
    pause: reading.pause,
    resume: reading.resume,
  };
  return { pid, ended, signal, io };
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
  return new SpawnFailure(code === 'ENOENT' ? 127 : 126, `Error: the process could not be started (${code}): ${reason}`, error);
}

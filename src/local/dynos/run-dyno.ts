import type { TLSSocket } from 'node:tls';
import type { AppCopies, AppCopy } from './app-copies.ts';
import { type Attachment, connectClient } from './attach-client.ts';
import type { Dyno, DynoState } from './dyno.ts';
import { dynoEnvironment } from './dyno-environment.ts';
import { type DynoProcess, type ProcessCommand, SpawnFailure, startDynoProcess } from './dyno-process.ts';
import type { Gate } from './gate.ts';
import type { LogStore } from './log-store.ts';
import { createOutputLines } from './output-lines.ts';
import type { PlatformState } from './platform-state.ts';
import { linuxIdentity, processIdentity } from './process-identity.ts';
import type { ProcessPipes } from './process-pipes.ts';
import type { DynoQuota, QuotaWatch } from './quota-watch.ts';
import type { Slug, SlugStore } from './slug.ts';
import { createStopper } from './stopper.ts';
import { startTerminalProcess, type Terminals } from './terminal-process.ts';

/** A dyno on its way from start to end. */
export interface RunningDyno {
  dyno: Dyno;
  /** The process is up, or could not be started. Never rejects. */
  started: Promise<void>;
  /** The dyno has ended and its last log line is written. Never rejects. */
  ended: Promise<void>;
  /** Its folder is removed too. Never rejects. */
  gone: Promise<void>;
  /** SIGTERM now, SIGKILL when something is left after `graceMs`. A shorter grace later wins. */
  stop(graceMs: number): void;
}

export interface RunDeps {
  state: PlatformState;
  slugs: SlugStore;
  copies: AppCopies;
  pipes: ProcessPipes;
  /** Pseudo-terminals; undefined where this machine has none. */
  terminals: Terminals | undefined;
  log: LogStore;
  /** What happened to a dyno, for webhooks; with the state before when it changed. */
  changed: (action: 'create' | 'update' | 'destroy', dyno: Dyno, previous: DynoState | undefined) => void;
  quotas: QuotaWatch;
  quotaOf: (size: string) => DynoQuota;
  now: () => number;
  /** Says what went wrong inside the platform, as opposed to in a dyno. */
  report: (message: string) => void;
  app: { id: string; name: string };
  /** The shell that runs commands, by its full path. */
  shell: string;
  userPath: string;
  lang: string;
  /** Between SIGTERM and SIGKILL; 30 s on Heroku. */
  stopGraceMs: number;
}

/** What a dyno is to run and how it ends. */
export interface RunPlan {
  /** The command for the shell. */
  command(procfile: ReadonlyMap<string, string>): string;
  /** Variables on top of the config vars. */
  env: Readonly<Record<string, string>>;
  port: number;
  /** How long it may live from the start of its process; undefined: for ever. */
  lifeSeconds: number | undefined;
  /** Resolves when a started process counts as up; undefined: at once. `false`: it took too long and is to be killed, the reason is logged. */
  ready?: (signal: AbortSignal) => Promise<boolean>;
  /** The state after the end. */
  endState(stopped: boolean): DynoState;
  /** The client that this dyno waits for and that gets its output instead of the log. */
  attachment?: Attachment;
}

/** Runs a dyno: copies the app, starts the command, keeps its output as log lines, ends it with its group and removes the copy. */
export function runDyno(dyno: Dyno, plan: RunPlan, gate: Gate, deps: RunDeps): RunningDyno {
  const say = (text: string): void => deps.log.append('heroku', dyno.name, text);
  const changeTo = (state: DynoState): void => {
    if (state === dyno.state) return;
    const previous = dyno.state;
    say(`State changed from ${previous} to ${state}`);
    dyno.state = state;
    dyno.updatedAt = deps.now();
    deps.changed('update', dyno, previous);
  };
  const stopper = createStopper(say);
  const over = new AbortController();
  let copy: AppCopy | undefined;
  let slug: Slug | undefined;
  let unwatch: () => void = nothing;

  const start = async (client?: TLSSocket): Promise<DynoProcess | undefined> => {
    say(`Starting process with command \`${dyno.command}\``);
    slug = await deps.slugs.acquire();
    if (stopper.stopped()) return undefined;
    copy = await deps.copies.make(dyno.id, slug);
    if (stopper.stopped()) return undefined;
    const env = { ...environmentOf(dyno, plan, copy.home, deps), ...copy.env };
    const inCopy = copy.enter(deps.shell, shellArguments(slug, deps.shell, plan.command(slug.procfile)));
    const started = await startProcess({ ...inCopy, env }, dyno, client, plan.attachment, deps);
    recordProcess(dyno.id, started.pid, deps);
    stopper.began(started);
    return started;
  };
  const comeUp = async (started: DynoProcess | undefined): Promise<void> => {
    if (started === undefined) return;
    const ready = plan.ready === undefined || (await plan.ready(over.signal));
    if (over.signal.aborted) return;
    if (ready) changeTo('up');
    else stopper.kill();
  };

  const watchQuota = (pid: number): (() => void) =>
    deps.quotas.watch({ pid, quota: deps.quotaOf(dyno.size), say, kill: () => stopper.kill() });

  const begin = async (): Promise<DynoProcess | undefined> => {
    const { attachment } = plan;
    if (attachment === undefined) return gate.through(() => start());
    say('Awaiting client');
    const client = await attachment.client;
    if (client !== undefined) {
      try {
        const process = await gate.through(() => start(client));
        if (process === undefined) client.destroy();
        return process;
      } catch (error) {
        client.destroy();
        throw error;
      }
    }
    if (stopper.stopped()) return undefined;
    throw new SpawnFailure(128, 'Error R13 (Attach error) -> Failed to attach to process', undefined);
  };
  const begun = begin();
  const started = begun.then(comeUp);
  const ended = begun
    .then(async (process) => {
      if (process !== undefined) unwatch = watchQuota(process.pid);
      const life = plan.lifeSeconds === undefined ? undefined : setTimeout(() => stopper.stop(deps.stopGraceMs), plan.lifeSeconds * 1000);
      const status = process === undefined ? 143 : await process.ended;
      clearTimeout(life);
      over.abort();
      say(`Process exited with status ${status}`);
      changeTo(plan.endState(stopper.stopped()));
    })
    .catch((error: unknown) => {
      const status = error instanceof SpawnFailure ? error.status : 126;
      say(error instanceof SpawnFailure ? error.message : `Error: ${error instanceof Error ? error.message : String(error)}`);
      say(`Process exited with status ${status}`);
      changeTo('crashed');
    })
    .finally(() => {
      unwatch();
      stopper.ended();
    });
  const stop = (graceMs: number): void => {
    stopper.stop(graceMs);
    plan.attachment?.cancel();
  };
  const gone = ended
    .then(async () => {
      await copy?.remove();
      deps.state.removeDyno(dyno.id);
    })
    .finally(() => {
      // Only now: a copy may be a view over the slug, not a copy of it.
      if (slug !== undefined) deps.slugs.release(slug);
    })
    .catch((error: unknown) => {
      // The record stays, so that the next start of the platform tries again.
      deps.report(`the folder of ${dyno.name} could not be removed: ${error instanceof Error ? error.message : String(error)}`);
    });
  return { dyno, started: started.then(nothing, nothing), ended, gone, stop };
}

// The output goes to the log, line by line, or to the client alone (an attached run logs only its start and stop).
async function startProcess(
  command: ProcessCommand,
  dyno: Dyno,
  client: TLSSocket | undefined,
  attachment: Attachment | undefined,
  deps: RunDeps,
): Promise<DynoProcess> {
  if (client === undefined || attachment === undefined) {
    const output = createOutputLines((line) => deps.log.append('app', dyno.name, line));
    return startDynoProcess(command, { pipes: deps.pipes, output, input: 'ignore' });
  }
  const terminals = attachment.tty ? deps.terminals : undefined;
  const connection = connectClient(client, terminals === undefined ? 'none' : attachment.keyboard ? 'keyboard' : 'pipe');
  try {
    const process =
      terminals === undefined
        ? await startDynoProcess(command, { pipes: deps.pipes, output: connection.output, input: 'pipe' })
        : startTerminalProcess(command, { terminals, output: connection.output });
    connection.began(process);
    return process;
  } catch (error) {
    connection.output.end();
    throw error;
  }
}

// `.profile.d/*.sh` and `.profile` are sourced first, as on Heroku; an app without them (known from the slug) does not pay for a second shell.
function shellArguments({ tree }: Slug, shell: string, command: string): string[] {
  const profiles = tree.entries.some(({ path }) => path === '.profile' || (path.startsWith('.profile.d/') && path.endsWith('.sh')));
  return profiles ? ['-c', profileScript, shell, command] : ['-c', command];
}

const profileScript = `for profile in "$HOME"/.profile.d/*.sh "$HOME/.profile"; do
  if [ -f "$profile" ]; then . "$profile"; fi
done
unset profile
exec "$0" -c "$1"`;

function environmentOf(dyno: Dyno, plan: RunPlan, home: string, deps: RunDeps): Record<string, string> {
  return dynoEnvironment({
    configVars: deps.state.configVars(),
    callEnv: plan.env,
    port: plan.port,
    userPath: deps.userPath,
    lang: deps.lang,
    home,
    app: deps.app,
    dyno,
    release: deps.state.currentRelease(),
  });
}

// Recorded in the same turn as the spawn, so that a platform killed at any later moment leaves a process that its next start can find.
function recordProcess(id: string, pid: number, deps: RunDeps): void {
  deps.state.recordProcess(id, pid, linuxIdentity(pid));
  if (process.platform === 'linux') return;
  // Elsewhere the start time must be asked of `ps`, which takes a moment. For a dyno that ended meanwhile this changes nothing.
  processIdentity(pid)
    .then((identity) => deps.state.recordProcess(id, pid, identity))
    .catch((error: unknown) => deps.report(`the start time of process ${pid} could not be recorded: ${String(error)}`));
}

function nothing(): void {}

// The whole local cloud, started as a user starts it: `autofiles start` in a process of its own, on a copy of an app.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { Compile } from 'typebox/compile';
import { apiOf } from '../../src/cli/access.ts';
import { createObjectStore } from '../../src/clients/s3.ts';
import { RunView } from '../../src/schema/run-view.ts';
import { until } from './until.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NODE = join(ROOT, 'node_modules', 'node', 'bin', 'node');
const AUTOFILES = ['--disable-warning=ExperimentalWarning', join(ROOT, 'src', 'cli', 'main.ts')];

/** Milliseconds; the machine may be busy with other tests. */
const READY_MS = 100_000;
const RUN_MS = 100_000;
const STOP_MS = 45_000;
const COMMAND_MS = 120_000;

const runView = Compile(RunView);

interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LocalCloud {
  /** The copy of the app. */
  readonly app: string;
  /** A folder of this cloud's own, beside the app. */
  readonly folder: string;
  /** What `.autofiles/env` had when it was read last. */
  readonly variables: Readonly<Record<string, string>>;
  /** Reads `.autofiles/env` again until `changed` holds for it, as a shell that was left open would. */
  reread(changed: (variables: Readonly<Record<string, string>>) => boolean): Promise<void>;
  readonly pid: number;
  /** All that the process has printed. */
  printed(): string;
  /** Runs a command in the app's folder, as after `set -a; . .autofiles/env`; `env` adds variables, undefined removes one. */
  run(command: string, args: readonly string[], env?: Readonly<Record<string, string | undefined>>): Promise<Finished>;
  /** Runs the `autofiles` command in the app's folder. */
  autofiles(...args: readonly string[]): Promise<Finished>;
  /** Writes a file of the app. */
  write(path: string, text: string): Promise<void>;
  /** `runs:info` of one run. */
  info(runId: string): Promise<RunView>;
  /** Waits until the newest upload to the key has led to a run and that one has ended, and answers with its `runs:info`. */
  ended(key: string): Promise<RunView>;
  /** SIGTERM; answers with the exit status when the process is gone and removes the folder. */
  stop(): Promise<number | null>;
}

/** The cloud's store as its app reaches it. */
export function storeOf({ variables }: Pick<LocalCloud, 'variables'>) {
  return createObjectStore({
    region: 'us-east-1',
    endpoint: variables['AWS_ENDPOINT_URL_S3'] ?? '',
    credentials: {
      accessKeyId: variables['LD_AWS_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: variables['LD_AWS_SECRET_ACCESS_KEY'] ?? '',
      sessionToken: variables['LD_AWS_SESSION_TOKEN'] ?? '',
    },
  });
}

/** The folder of one of the project's examples. */
export const exampleApp = (name: string) => join(ROOT, 'examples', name);

/**
 * Copies the app into a temporary folder, starts its cloud and waits until it is ready. `name` is the copy's, `path` is the user's PATH, for
 * the cloud and for all commands; `args` more arguments of `autofiles start`; `env` more variables of it; `prepare` may
 * change the copy before the start.
 */
export async function startLocalCloud(options: {
  app: string;
  name?: string;
  path?: string;
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  prepare?: (app: string) => Promise<void>;
}): Promise<LocalCloud> {
  const folder = await mkdtemp(join(tmpdir(), 'af-cloud-'));
  const app = join(folder, options.name ?? basename(options.app));
  const path = options.path ?? process.env['PATH'] ?? '';
  let child: ChildProcess | undefined;
  let printed = '';

  // a test process that ends without its hooks must not leave a cloud behind
  const leaveNothing = () => child?.kill('SIGTERM');
  const stop = async (): Promise<number | null> => {
    try {
      return child === undefined ? null : await end(child, () => printed);
    } finally {
      process.off('exit', leaveNothing);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  };

  try {
    await cp(options.app, app, { recursive: true, filter: (from) => basename(from) !== '.autofiles' });
    await options.prepare?.(app);
    child = spawn(NODE, [...AUTOFILES, 'start', '--app', app, ...(options.args ?? [])], {
      cwd: ROOT,
      env: { ...process.env, PATH: path, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    process.once('exit', leaveNothing);
    const hear = (chunk: Buffer) => {
      printed += chunk.toString('utf8');
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    await once(child, 'spawn');
    const running = child;
    let variables = await readyVariables(app, running, () => printed);
    // nothing of the test's own environment: what a client needs stands in .autofiles/env
    const run: LocalCloud['run'] = (command, args, env = {}) =>
      finish(command, args, app, { PATH: path, HOME: folder, LANG: 'C.UTF-8', ...variables, ...env });
    const autofiles: LocalCloud['autofiles'] = (...args) => run(NODE, [...AUTOFILES, ...args]);
    const api = apiOf(variables);
    const info: LocalCloud['info'] = async (runId) => {
      const { status, stdout, stderr } = await autofiles('runs:info', runId, '--json');
      if (status !== 0) throw new Error(`runs:info ended with status ${status}: ${stderr}`);
      const run: unknown = JSON.parse(stdout);
      if (!runView.Check(run)) throw new Error(`runs:info: found JSON of another shape: ${stdout.slice(0, 500)}`);
      return run;
    };
    return {
      app,
      folder,
      get variables() {
        return variables;
      },
      reread: async (changed) => {
        variables = await until(
          `other variables in ${app}/.autofiles/env`,
          async () => {
            const now = await readyVariables(app, running, () => printed);
            if (changed(now)) return now;
            await pause(50);
            return undefined;
          },
          RUN_MS,
        );
      },
      pid: child.pid ?? 0,
      printed: () => printed,
      run,
      autofiles,
      write: (file, text) => writeFile(join(app, file), text),
      info,
      ended: async (key) => {
        const ofKey = async () => {
          const run = (await api.runs({})).find(({ trigger }) => trigger.key === key);
          // asking all the time would slow down what it waits for
          if (run === undefined) await pause(50);
          return run;
        };
        const { id } = await until(`a run of ${key}`, ofKey, RUN_MS);
        await api.follow(id, () => {}, AbortSignal.timeout(RUN_MS));
        return await info(id);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** `.autofiles/env` is written when all is ready. */
async function readyVariables(app: string, child: ChildProcess, printed: () => string): Promise<Record<string, string>> {
  const text = await until(
    `${app}/.autofiles/env`,
    async () => {
      if (hasEnded(child)) throw new Error(`autofiles start ended with ${child.signalCode ?? child.exitCode}:\n${printed()}`);
      return await readFile(join(app, '.autofiles', 'env'), 'utf8').catch(() => undefined);
    },
    READY_MS,
  );
  return Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? '']));
}

/** Ends the process in order; when that hangs, at once and with an error. */
async function end(child: ChildProcess, printed: () => string): Promise<number | null> {
  if (hasEnded(child)) return child.exitCode;
  child.kill('SIGTERM');
  if (await ends(child, STOP_MS)) return child.exitCode;
  // the second signal ends all five children at once
  child.kill('SIGTERM');
  if (!(await ends(child, 5_000))) child.kill('SIGKILL');
  throw new Error(`autofiles start did not end within ${STOP_MS} ms of SIGTERM:\n${printed()}`);
}

async function ends(child: ChildProcess, ms: number): Promise<boolean> {
  if (hasEnded(child)) return true;
  return await once(child, 'exit', { signal: AbortSignal.timeout(ms) }).then(
    () => true,
    () => hasEnded(child),
  );
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

function finish(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: COMMAND_MS, maxBuffer: 50_000_000 };
    const child = execFile(command, args, { cwd, env, ...limits }, (error, stdout, stderr) => {
      if (error !== null && child.exitCode === null)
        reject(new Error(`${command} ${args.join(' ')}: ${error.message}\n${stderr}`, { cause: error }));
      else resolve({ status: child.exitCode ?? 0, stdout, stderr });
    });
  });
}

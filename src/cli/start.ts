// `npm start`: the local cloud, a starter workflow uploaded to it, and its run shown live.
import { fileURLToPath } from 'node:url';
import { createDynoPlatform } from '../clients/heroku.ts';
import { messageOf } from '../schema/failures.ts';
import type { RunView } from '../schema/run-view.ts';
import { apiOf, bucketOf, herokuOf } from './access.ts';
import { scalingOf } from './cli-grammar.ts';
import { openHerokuApi } from './heroku-api.ts';
import { type LocalCloud, startLocalCloud } from './local-cloud.ts';
import { nextSteps } from './next-steps.ts';
import { awaitRun, freshKey, readUpload, watchRun } from './put.ts';
import { onEnding } from './signals.ts';

/** The two-step starter of the add-on's documentation. */
const STARTER = {
  title: 'Example 2-step workflow',
  run: [
    { cmd: `bash -c 'echo "Do Step 1"'`, machine: 'basic', no_output: true },
    { cmd: `bash -c 'echo "Do Step 2"'`, machine: 'basic', no_output: true },
  ],
};

/** Where this project is. */
const CLONE = fileURLToPath(new URL('../..', import.meta.url));
/** Milliseconds between two looks at a dyno's log while it runs. */
const LOG_EVERY_MS = 150;
/** Milliseconds that --once waits for dynos which go on after their run has ended. */
const DYNOS_END_MS = 60_000;

export interface StartOptions {
  readonly app: string;
  /** The app that is started, and found by the other commands, when none is named. */
  readonly exampleApp: string;
  /** Where the command was typed. */
  readonly cwd: string;
  readonly once: boolean;
  /** A workflow to run in the starter's place. */
  readonly workflow: string | undefined;
  /** The Procfile's formation to run beside it: `web=1,worker=2`. */
  readonly formation: string | undefined;
  readonly verbose: boolean;
}

/** Runs until stopped, or with `once` until the run and its dynos have ended. Answers with the exit status. */
export async function start(options: StartOptions, env: NodeJS.ProcessEnv): Promise<number> {
  const say = (line: string) => console.log(line);
  const note = (line: string) => console.error(line);
  const began = performance.now();
  const scaling = options.formation?.split(',').map(scalingOf) ?? [];
  note(`Starting the local cloud of ${options.app} …`);
  const cloud = await startLocalCloud({
    app: options.app,
    env,
    say: note,
    onLog: (child, line) => {
      if (options.verbose) note(`${child.padEnd(6)} ${line}`);
    },
  });
  const stopping = new AbortController();
  const stopped = untilSignal(cloud, stopping, note);
  note(
    `Ready after ${((performance.now() - began) / 1000).toFixed(1)} s: redis, store ${cloud.urls.store}, dynos ${cloud.urls.dynos}, web ${cloud.urls.web}, worker`,
  );
  let status = 0;
  try {
    if (scaling.length > 0) note(await scale(cloud, scaling));
    const run = await runStarter(cloud, options, say, stopping.signal);
    status = run.state === 'succeeded' ? 0 : 1;
  } catch (error) {
    if (stopping.signal.aborted) return await stopped;
    if (options.once) {
      await cloud.stop();
      throw error;
    }
    note(messageOf(error));
  }
  if (options.once) {
    await cloud.stop();
    return status;
  }
  const { folder } = cloud;
  say('');
  for (const line of nextSteps({ ...options, app: folder.app, clone: CLONE, envFile: `${folder.state}/env` })) say(line);
  return await stopped;
}

async function runStarter(cloud: LocalCloud, options: StartOptions, say: (line: string) => void, signal: AbortSignal): Promise<RunView> {
  const api = apiOf(cloud.env);
  const { bucket, store } = bucketOf(cloud.env);
  const key = freshKey('in/example');
  const upload =
    options.workflow === undefined
      ? { key, body: Buffer.from(JSON.stringify(STARTER)), metadata: { ld_run: 'true' } }
      : await readUpload(options.workflow, { key, run: true });
  const logs = followLogs(cloud, say);
  try {
    const { versionId } = await store.put(bucket, upload.key, upload.body, { metadata: upload.metadata, contentType: 'application/json' });
    say(`Saved s3://${bucket}/${upload.key} (ld_run: true), and its workflow begins:`);
    const runId = await awaitRun(api, { bucket, key: upload.key, versionId }, signal);
    const run = await watchRun(api, runId, { say, onLaunch: logs.follow, signal });
    await logs.done();
    return run;
  } finally {
    store.close();
  }
}

/** Prints what dynos write, each line once, until they have ended. */
function followLogs(cloud: LocalCloud, say: (line: string) => void) {
  const platform = createDynoPlatform({
    baseUrl: cloud.urls.dynos,
    token: cloud.identity.herokuToken,
    userAgent: 'autofiles-cli',
    now: Date.now,
  });
  const following: Promise<void>[] = [];
  const follow = async (dyno: string): Promise<void> => {
    let printed = 0;
    const until = Date.now() + DYNOS_END_MS;
    for (;;) {
      const lines = await platform.log(cloud.identity.app, dyno, 1500);
      const ended = lines.some((line) => /heroku\[[^\]]*\]: Process exited with status/.test(line));
      const output = lines.filter((line) => line.includes(` app[${dyno}]: `));
      for (const line of output.slice(printed)) say(`          ${dyno} | ${line.slice(line.indexOf(']: ') + 3)}`);
      printed = output.length;
      if (ended || Date.now() > until) return;
      await new Promise((resolve) => setTimeout(resolve, LOG_EVERY_MS));
    }
  };
  return {
    follow: (dyno: string) => {
      following.push(follow(dyno).catch((error: unknown) => console.error(`log of ${dyno} not read: ${messageOf(error)}`)));
    },
    done: async () => {
      await Promise.all(following);
    },
  };
}

async function scale(cloud: LocalCloud, scaling: readonly ReturnType<typeof scalingOf>[]): Promise<string> {
  const api = openHerokuApi(herokuOf(cloud.env));
  const entries = await api.scale(scaling);
  return `Formation ${entries.map(({ type, quantity }) => `${type}=${quantity}`).join(' ')}; the app's web dynos answer at ${await api.webUrl()}`;
}

/** Resolves with the exit status when a signal has stopped the cloud; a signal that is sent again later ends everything at once. */
function untilSignal(cloud: LocalCloud, stopping: AbortController, note: (line: string) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      stopping.abort();
      note('Stopping …');
      cloud.stop().then(() => resolve(0), reject);
    };
    onEnding(['SIGINT', 'SIGTERM', 'SIGHUP'], stop, () => {
      cloud.kill();
      process.exit(1);
    });
  });
}

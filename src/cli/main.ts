import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { Failure, messageOf } from '../schema/failures.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import { apiOf, bucketOf, findAccess } from './access.ts';
import { awaitRun, readUpload, watchRun } from './put.ts';
import { endLine, lineOf, namesOf } from './show-run.ts';
import { start } from './start.ts';
import { runWeb } from './web.ts';
import { runWorker } from './worker.ts';

/** The app that `npm start` runs when none is named. */
const EXAMPLE_APP = fileURLToPath(new URL('../../examples/node-starter', import.meta.url));

/** Exit statuses: 0 done, 1 the run failed or something went wrong, 2 the command line or a file is not valid. */
const program = new Command('autofiles')
  .description('Save a file to S3, and a workflow of one-off dynos runs.')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

const note = (line: string) => console.error(line);
const print = (value: unknown) => console.log(typeof value === 'string' ? value : JSON.stringify(value, null, 2));
const interrupted = () => {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort(new Failure('cancelled', 'Interrupted; the run goes on.')));
  return controller.signal;
};

program
  .command('start')
  .description('the local cloud (redis, store, dynos, web, worker) with the starter workflow run in it')
  .option('--app <dir>', "the app's folder", EXAMPLE_APP)
  .option('--once', 'end when the run has ended, with its exit status')
  .option('--workflow <file>', 'run this workflow in place of the starter')
  .option('--verbose', "show the children's logs")
  .action(async (options: { app: string; once?: true; workflow?: string; verbose?: true }) => {
    const { app, once = false, workflow, verbose = false } = options;
    process.exit(await start({ app, once, workflow, verbose }, process.env));
  });

program
  .command('web')
  .description('the HTTP side: API, health')
  .action(() => runWeb(process.env));
program
  .command('worker')
  .description('the engine: events, runs, dynos')
  .action(() => runWorker(process.env));

program
  .command('put <file>')
  .description('save a file, with a workflow attached or as a workflow itself')
  .option('--workflow <file>', 'attach this workflow (ld_code)')
  .option('--run', 'the file is the workflow (ld_run)')
  .option('--key <key>', 'key of the object (in/<name>)')
  .option('--wait', 'show the run until it ends; exit status 1 when it did not succeed')
  .option('--app <dir>', "the app's folder")
  .option('--json', 'print JSON')
  .action(async (file: string, options: { workflow?: string; run?: true; key?: string; wait?: true; app?: string; json?: true }) => {
    if (options.workflow !== undefined && options.run)
      throw new Failure('request_invalid', 'Found --workflow and --run, expected one: --run says that the file itself is the workflow.');
    const upload = await readUpload(file, options);
    const access = await findAccess(process.env, options.app, EXAMPLE_APP);
    const { bucket, store } = bucketOf(access);
    const { versionId } = await store.put(bucket, upload.key, upload.body, { metadata: upload.metadata });
    store.close();
    const starts = Object.keys(upload.metadata).length > 0;
    if (!options.wait || !starts) {
      print(options.json ? { bucket, key: upload.key, version_id: versionId } : `s3://${bucket}/${upload.key} (version ${versionId})`);
      if (options.wait) note('Nothing to wait for: the file carries no workflow. Attach one with --workflow, or say --run.');
      return;
    }
    const api = apiOf(access);
    const signal = interrupted();
    const runId = await awaitRun(api, { bucket, key: upload.key, versionId }, signal);
    const run = await watchRun(api, runId, { say: options.json ? note : print, signal });
    if (options.json) print(run);
    process.exitCode = run.state === 'succeeded' ? 0 : 1;
  });

program
  .command('runs')
  .description('the newest runs')
  .option('--limit <n>', 'how many', '25')
  .option('--app <dir>', "the app's folder")
  .option('--json', 'print JSON')
  .action(async (options: { limit: string; app?: string; json?: true }) => {
    const api = apiOf(await findAccess(process.env, options.app, EXAMPLE_APP));
    const runs = await api.runs({ limit: options.limit });
    if (options.json) return print(runs);
    if (runs.length === 0) return note('No runs yet. Save a workflow: `autofiles put workflow.json --run --wait`.');
    for (const run of runs) {
      const why = run.error === null ? '' : `  ${run.error.message.split('\n')[0]}`;
      print(`${run.id}  ${run.state.padEnd(9)}  ${run.created_at}  ${run.trigger.key}  ${run.title}${why}`);
    }
  });

program
  .command('runs:info <id>')
  .description('one run with its tasks and history')
  .option('--app <dir>', "the app's folder")
  .option('--json', 'print JSON')
  .action(async (id: string, options: { app?: string; json?: true }) => {
    const run = await apiOf(await findAccess(process.env, options.app, EXAMPLE_APP)).run(id);
    if (options.json) return print(run);
    print(`${run.title === '' ? run.id : run.title}  (${run.state})`);
    print(`saved ${run.trigger.key}, version ${run.trigger.version_id}, at ${run.created_at}`);
    const names = namesOf(run);
    for (const entry of run.history) {
      const line = lineOf(entry, names, Date.parse(run.created_at));
      if (line !== undefined) print(line);
    }
    print(endLine(run));
  });

program
  .command('runs:cancel <id>')
  .description('stop a run: its dynos are stopped, what has not begun is skipped')
  .option('--app <dir>', "the app's folder")
  .action(async (id: string, options: { app?: string }) => {
    print(await apiOf(await findAccess(process.env, options.app, EXAMPLE_APP)).cancel(id));
  });

program
  .command('validate <file>')
  .description('check a workflow without running it')
  .option('--json', 'print JSON')
  .action(async (file: string, options: { json?: true }) => {
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new Failure('request_invalid', `Cannot read ${file}.`, { cause });
    });
    const parsed = parseWorkflow(text);
    if (options.json) print(parsed.ok ? { valid: true, plan: parsed.plan } : { valid: false, faults: parsed.faults });
    else if (parsed.ok)
      print(`${file}: valid, ${parsed.plan.steps.length} steps, ${parsed.plan.steps.flatMap((step) => step.tasks).length} tasks`);
    else for (const fault of parsed.faults) note(`${file}: ${fault.message}`);
    if (!parsed.ok) process.exitCode = 2;
  });

try {
  await program.parseAsync();
} catch (error) {
  note(`autofiles: ${messageOf(error)}`);
  const invalid =
    error instanceof Failure && (error.code === 'request_invalid' || error.code === 'workflow_invalid' || error.code === 'config_invalid');
  process.exit(invalid ? 2 : 1);
}

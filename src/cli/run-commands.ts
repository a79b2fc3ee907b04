// The commands that talk to a running cloud. What they need is loaded when they run: `--help` and the others stay quick.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { Failure } from '../schema/failures.ts';
import { onEnding } from './signals.ts';

const note = (line: string) => console.error(line);
const print = (value: unknown) => console.log(typeof value === 'string' ? value : JSON.stringify(value, null, 2));

function interrupted(): AbortSignal {
  const controller = new AbortController();
  onEnding(['SIGINT'], () => controller.abort(new Failure('cancelled', 'Interrupted; the run goes on.')));
  return controller.signal;
}

/** Adds `put`, `runs`, `runs:info`, `runs:cancel` and `validate` to the program. */
export function registerRunCommands(program: Command, deps: { env: NodeJS.ProcessEnv; exampleApp: string }): void {
  const openApi = async (app: string | undefined) => {
    const { apiOf, findAccess } = await import('./access.ts');
    return apiOf(await findAccess(deps.env, app, deps.exampleApp));
  };

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
      const { readUpload, awaitRun, watchRun } = await import('./put.ts');
      const { apiOf, findAccess, writableBucketOf } = await import('./access.ts');
      const upload = await readUpload(file, options);
      const access = await findAccess(deps.env, options.app, deps.exampleApp);
      const { bucket, store } = await writableBucketOf(access);
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
      const api = await openApi(options.app);
      const runs = await api.runs({ limit: Number(options.limit) });
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
      const run = await (await openApi(options.app)).run(id);
      if (options.json) return print(run);
      print(`${run.title === '' ? run.id : run.title}  (${run.state})`);
      print(`saved ${run.trigger.key}, version ${run.trigger.version_id}, at ${run.created_at}`);
      const { endLine, lineOf, namesOf } = await import('./show-run.ts');
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
      print(await (await openApi(options.app)).cancel(id));
    });

  program
    .command('runs:retry <id>')
    .description('run an ended run again, whole or in part, as a new run')
    .option('--from <step>', 'only the steps from this one on, counted from 1')
    .option('--task <id>', 'only this task')
    .option('--failed', 'only what did not succeed')
    .option('--workflow <file>', 'with this edited workflow')
    .option('--wait', 'show the run until it ends; exit status 1 when it did not succeed')
    .option('--app <dir>', "the app's folder")
    .action(async (id: string, options: { from?: string; task?: string; failed?: true; workflow?: string; wait?: true; app?: string }) => {
      if ([options.from, options.task, options.failed].filter((one) => one !== undefined).length > 1) {
        throw new Failure('request_invalid', 'Found more than one of --from, --task and --failed, expected one or none (the whole run).');
      }
      const api = await openApi(options.app);
      const mode = options.from !== undefined ? 'from' : options.task !== undefined ? 'task' : options.failed ? 'failed' : 'run';
      const edited = options.workflow === undefined ? {} : { workflow: JSON.parse(await readFile(options.workflow, 'utf8')) as unknown };
      const order = {
        mode,
        ...(options.from === undefined ? {} : { step: Number(options.from) }),
        ...(options.task === undefined ? {} : { task: options.task }),
        ...edited,
      } as const;
      const runId = await api.retry(id, order, randomUUID());
      print(runId);
      if (!options.wait) return;
      const { watchRun } = await import('./put.ts');
      const run = await watchRun(api, runId, { say: print, signal: interrupted() });
      process.exitCode = run.state === 'succeeded' ? 0 : 1;
    });

  program
    .command('validate <file>')
    .description('check a workflow without running it')
    .option('--json', 'print JSON')
    .action(async (file: string, options: { json?: true }) => {
      const text = await readFile(file, 'utf8').catch((cause: unknown) => {
        throw new Failure('request_invalid', `Cannot read ${file}.`, { cause });
      });
      const { parseWorkflow } = await import('../schema/parse-workflow.ts');
      const parsed = parseWorkflow(text);
      if (options.json) print(parsed.ok ? { valid: true, plan: parsed.plan } : { valid: false, faults: parsed.faults });
      else if (parsed.ok)
        print(`${file}: valid, ${parsed.plan.steps.length} steps, ${parsed.plan.steps.flatMap((step) => step.tasks).length} tasks`);
      else for (const fault of parsed.faults) note(`${file}: ${fault.message}`);
      if (!parsed.ok) process.exitCode = 2;
    });
}

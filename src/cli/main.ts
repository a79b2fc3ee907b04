import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { Failure, messageOf } from '../schema/failures.ts';
import { registerAddonCommands } from './addon-commands.ts';
import { registerDynoCommands } from './dyno-commands.ts';
import { registerLedgerCommands } from './ledger-commands.ts';
import { registerResourceCommands } from './resource-commands.ts';
import { registerRunCommands } from './run-commands.ts';

// Five processes start at once: compiled code is kept from one start to the next, and each command loads its own part alone.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/autofiles', import.meta.url)));

/** The app that `npm start` runs when none is named. */
const EXAMPLE_APP = fileURLToPath(new URL('../../examples/node-starter', import.meta.url));

/** Exit statuses: 0 done, 1 the run failed or something went wrong, 2 the command line or a file is not valid. */
const program = new Command('autofiles')
  .description('Save a file to S3, and a workflow of one-off dynos runs.')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

const note = (line: string) => console.error(line);

program
  .command('start')
  .description('the local cloud (redis, store, dynos, web, worker) with the starter workflow run in it')
  .option('--app <dir>', "the app's folder", EXAMPLE_APP)
  .option('--once', 'end when the run has ended, with its exit status')
  .option('--workflow <file>', 'run this workflow in place of the starter')
  .option('--formation <types>', "run the Procfile's formation beside it, such as web=1,worker=2; kept until it is scaled again")
  .option('--verbose', "show the children's logs")
  .action(async (options: { app: string; once?: true; workflow?: string; formation?: string; verbose?: true }) => {
    const { app, once = false, workflow, formation, verbose = false } = options;
    const { start } = await import('./start.ts');
    const where = { app, exampleApp: EXAMPLE_APP, cwd: process.cwd() };
    process.exit(await start({ ...where, once, workflow, formation, verbose }, process.env));
  });

program
  .command('web')
  .description('the HTTP side: API, health')
  .action(async () => await (await import('./web.ts')).runWeb(process.env));
program
  .command('worker')
  .description('the engine: events, runs, dynos')
  .action(async () => await (await import('./worker.ts')).runWorker(process.env));

program
  .command('doctor')
  .description(
    "tries what production needs, step by step, with a worker's variables, and says what to fix; exit status 1 when a step failed",
  )
  .option('--json', 'print JSON')
  .action(async ({ json }: { json?: true }) => {
    process.exitCode = await (await import('./doctor.ts')).runDoctor({ json: json === true }, process.env);
  });

registerDynoCommands(program, { env: process.env, exampleApp: EXAMPLE_APP });
registerAddonCommands(program, { env: process.env, exampleApp: EXAMPLE_APP });
registerResourceCommands(program, { env: process.env, exampleApp: EXAMPLE_APP });
registerLedgerCommands(program, { env: process.env, exampleApp: EXAMPLE_APP });

program
  .command('provision')
  .description('makes bucket, credentials and config vars of one app by hand, without the add-on marketplace')
  .requiredOption('--id <uuid>', "the resource's id")
  .requiredOption('--app <name>', 'the Heroku app')
  .requiredOption('--bucket <name>', 'its bucket; made when missing')
  .option('--plan <name>', 'its plan', 'local')
  .action(async (order: { id: string; app: string; bucket: string; plan: string }) => {
    await (await import('./provision-command.ts')).provisionByHand(order, process.env);
  });

registerRunCommands(program, { env: process.env, exampleApp: EXAMPLE_APP });

try {
  await program.parseAsync();
} catch (error) {
  note(`autofiles: ${messageOf(error)}`);
  const invalid =
    error instanceof Failure && (error.code === 'request_invalid' || error.code === 'workflow_invalid' || error.code === 'config_invalid');
  process.exit(invalid ? 2 : 1);
}

// The command line: every command with its options. What a command needs is loaded when it runs: `--help` and the others stay quick.
import { Command } from 'commander';
import { registerAddonCommands } from './addon-commands.ts';
import { registerDynoCommands } from './dyno-commands.ts';
import { registerLedgerCommands } from './ledger-commands.ts';
import { registerResourceCommands } from './resource-commands.ts';
import { registerRunCommands } from './run-commands.ts';

/**
 * The program, ready to parse: `autofiles` with all of its commands, which read `env`; `exampleApp` is the folder of the app that is taken when none
 * is named. docs/commands.md is made of it. Ends the process: 0 after help, 2 when the command line is not valid.
 */
export function createProgram(deps: { env: NodeJS.ProcessEnv; exampleApp: string }): Command {
  const { env, exampleApp } = deps;
  const program = new Command('autofiles')
    .description('Save a file to S3, and a workflow of one-off dynos runs.')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

  program
    .command('start')
    .description('the local cloud (redis, store, dynos, web, worker) with the starter workflow run in it')
    .option('--app <dir>', "the app's folder", exampleApp)
    .option('--once', 'end when the run has ended, with its exit status')
    .option('--workflow <file>', 'run this workflow in place of the starter')
    .option('--formation <types>', "run the Procfile's formation beside it, such as web=1,worker=2; kept until it is scaled again")
    .option('--verbose', "show the children's logs")
    .action(async (options: { app: string; once?: true; workflow?: string; formation?: string; verbose?: true }) => {
      const { app, once = false, workflow, formation, verbose = false } = options;
      const { start } = await import('./start.ts');
      const where = { app, exampleApp, cwd: process.cwd() };
      process.exit(await start({ ...where, once, workflow, formation, verbose }, env));
    });

  program
    .command('web')
    .description('the HTTP side: API, health')
    .action(async () => await (await import('./web.ts')).runWeb(env));
  program
    .command('worker')
    .description('the engine: events, runs, dynos')
    .action(async () => await (await import('./worker.ts')).runWorker(env));

  program
    .command('doctor')
    .description(
      "tries what production needs, step by step, with a worker's variables, and says what to fix; exit status 1 when a step failed",
    )
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      process.exitCode = await (await import('./doctor.ts')).runDoctor({ json: json === true }, env);
    });

  registerDynoCommands(program, deps);
  registerAddonCommands(program, deps);
  registerResourceCommands(program, deps);
  registerLedgerCommands(program, deps);

  program
    .command('provision')
    .description('makes bucket, credentials and config vars of one app by hand, without the add-on marketplace')
    .requiredOption('--id <uuid>', "the resource's id")
    .requiredOption('--app <name>', 'the Heroku app')
    .requiredOption('--bucket <name>', 'its bucket; made when missing')
    .option('--plan <name>', 'its plan', 'local')
    .action(async (order: { id: string; app: string; bucket: string; plan: string }) => {
      await (await import('./provision-command.ts')).provisionByHand(order, env);
    });

  registerRunCommands(program, deps);
  return program;
}

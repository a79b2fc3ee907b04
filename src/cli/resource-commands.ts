// The commands about the add-on itself: what it is and uses, holding its launches back, which commands it may run.
import type { Command } from 'commander';
import type { ResourceView } from '../schema/api-views.ts';
import { Failure } from '../schema/failures.ts';

const print = (value: unknown) => console.log(typeof value === 'string' ? value : JSON.stringify(value, null, 2));
const GIB = 1024 ** 3;

/** Adds `info`, `pause`, `resume` and `commands` to the program. */
export function registerResourceCommands(program: Command, deps: { env: NodeJS.ProcessEnv; exampleApp: string }): void {
  const openApi = async (app: string | undefined) => {
    const { apiOf, findAccess } = await import('./access.ts');
    return apiOf(await findAccess(deps.env, app, deps.exampleApp));
  };
  const show = (view: ResourceView, json: true | undefined) => {
    if (json) return print(view);
    for (const line of linesOf(view)) print(line);
  };
  const command = (usage: string, description: string) =>
    program.command(usage).description(description).option('--app <dir>', "the app's folder").option('--json', 'print JSON');

  command('info', 'the add-on: plan, usage, launch budget, credentials').action(async (options: { app?: string; json?: true }) => {
    show(await (await openApi(options.app)).resource(), options.json);
  });

  command('pause', 'hold all launches back; what runs goes on').action(async (options: { app?: string; json?: true }) => {
    show(await (await openApi(options.app)).changeResource({ paused: true }), options.json);
  });

  command('resume', 'let launches go on').action(async (options: { app?: string; json?: true }) => {
    show(await (await openApi(options.app)).changeResource({ paused: false }), options.json);
  });

  command('commands <which>', 'any: tasks may run any command; procfile: process types of the Procfile alone').action(
    async (which: string, options: { app?: string; json?: true }) => {
      if (which !== 'any' && which !== 'procfile') {
        throw new Failure('request_invalid', `Found commands ${JSON.stringify(which)}, expected any or procfile.`);
      }
      show(await (await openApi(options.app)).changeResource({ commands: which }), options.json);
    },
  );
}

function linesOf({ app, bucket, region, plan, paused, commands, usage, budget, credentials }: ResourceView): readonly string[] {
  const { limits } = plan;
  return [
    `app         ${app}`,
    `bucket      ${bucket} (${region})`,
    `plan        ${plan.name}: ${limits.concurrency} dynos at a time, ${limits.runs_per_day} runs a day, ${Math.round(limits.storage_bytes / GIB)} GiB`,
    `launches    ${paused ? 'paused: `autofiles resume` lets them go on' : 'go on'}`,
    `commands    ${commands === 'any' ? 'any' : 'process types of the Procfile alone'}`,
    `now         ${usage.running} runs, ${usage.dynos} dynos; ${usage.runs_24h} runs in 24 h, ${usage.failed_24h} of them failed`,
    `API budget  ${Math.floor(budget.tokens)} calls now, ${budget.per_hour} an hour`,
    `credentials ${credentials === null ? 'none yet' : `issued ${credentials.issued_at}, valid until ${credentials.expires_at}`}`,
  ];
}

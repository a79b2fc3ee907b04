// One-off dynos, logs and config vars without the heroku CLI: the same nouns, verbs and flags. What they need is loaded when they run.
import type { Command } from 'commander';
import { Failure } from '../schema/failures.ts';
import type { DynoAnswer, HerokuApi } from './heroku-api.ts';
import { onEnding } from './signals.ts';

const note = (line: string) => console.error(line);
const print = (value: unknown) => console.log(typeof value === 'string' ? value : JSON.stringify(value, null, 2));

/** Milliseconds that the end of a dyno may take to appear in the log after its connection closed. */
const END_SEEN_MS = 10_000;

/** Adds `run`, `run:detached`, `ps`, `ps:scale`, `ps:stop`, `logs`, `config` and its verbs to the program. */
export function registerDynoCommands(program: Command, deps: { env: NodeJS.ProcessEnv; exampleApp: string }): void {
  const open = async (app: string | undefined): Promise<{ api: HerokuApi; caFile: string | undefined }> => {
    const { findAccess, herokuOf } = await import('./access.ts');
    const variables = await findAccess(deps.env, app, deps.exampleApp);
    const { openHerokuApi } = await import('./heroku-api.ts');
    return { api: openHerokuApi(herokuOf(variables)), caFile: variables['NODE_EXTRA_CA_CERTS'] };
  };
  // flags behind the command are the command's own, as in `autofiles run rake --help`
  program.enablePositionalOptions();

  program
    .command('run <command...>')
    .description('run a command in a one-off dyno attached to this terminal; exits with its status')
    .passThroughOptions()
    .option('-s, --size <size>', 'dyno size')
    .option('-e, --env <vars>', 'more variables: A=1;B=two words')
    .option('--no-tty', 'no terminal for the command')
    .option('-x, --exit-code', 'exit with the status of the command (always so; for who is used to it)')
    .option('--app <dir>', "the app's folder")
    .action(async (words: string[], options: { size?: string; env?: string; tty: boolean; app?: string }) => {
      const { api, caFile } = await open(options.app);
      process.exitCode = await runAttached(api, { ...options, command: commandOf(words), caFile });
    });

  program
    .command('run:detached <command...>')
    .description('run a command in a one-off dyno whose output goes to the logs')
    .passThroughOptions()
    .option('-s, --size <size>', 'dyno size')
    .option('-e, --env <vars>', 'more variables: A=1;B=two words')
    .option('-t, --tail', 'show its log')
    .option('--app <dir>', "the app's folder")
    .option('--json', 'print JSON')
    .action(async (words: string[], options: { size?: string; env?: string; tail?: true; app?: string; json?: true }) => {
      const { api } = await open(options.app);
      const command = commandOf(words);
      const { size } = options;
      const dyno = await api.start({ command, attach: false, env: variablesOf(options.env), ...(size === undefined ? {} : { size }) });
      note(`Running ${command} on ${api.app}... done, ${dyno.name}`);
      if (options.tail)
        return await showLogs(api, { dyno: dyno.name, tail: true }, (line) => /: State changed from \w+ to (complete|crashed)$/.test(line));
      print(options.json ? dyno : dyno.name);
      if (!options.json) note(`Run \`autofiles logs -d ${dyno.name}\` to view the output.`);
    });

  program
    .command('ps')
    .description('the dynos')
    .option('--app <dir>', "the app's folder")
    .option('--json', 'print JSON')
    .action(async (options: { app?: string; json?: true }) => {
      const { api } = await open(options.app);
      const dynos = (await api.dynos()).toSorted(byName);
      if (options.json) return print(dynos);
      if (dynos.length === 0) return note(`No dynos on ${api.app}`);
      for (const { name, size, state, updated_at, command } of dynos) {
        print(`${name.padEnd(12)} ${size.padEnd(12)} ${state} ${agoOf(updated_at, Date.now())}  ${command}`);
      }
    });

  program
    .command('ps:scale [types...]')
    .description('how many dynos of each process type run: web=2 worker+1 web=1:standard-1x; without types the present numbers')
    .option('--app <dir>', "the app's folder")
    .option('--json', 'print JSON')
    .action(async (types: string[], options: { app?: string; json?: true }) => {
      const { api } = await open(options.app);
      const { scalingOf } = await import('./cli-grammar.ts');
      const entries = types.length === 0 ? await api.formation() : await api.scale(types.map(scalingOf));
      if (options.json) return print(entries);
      print(entries.map(({ type, quantity, size }) => `${type}=${quantity}:${size}`).join(' '));
    });

  program
    .command('ps:stop <dyno>')
    .description('stop a dyno: SIGTERM, after 30 s SIGKILL')
    .option('--app <dir>', "the app's folder")
    .action(async (name: string, options: { app?: string }) => {
      const { api } = await open(options.app);
      await api.stop(name);
      note(`Stopping ${name} on ${api.app}... done`);
    });

  program
    .command('logs')
    .description('the newest log lines')
    .option('-n, --num <lines>', 'how many', '100')
    .option('-d, --dyno <name>', 'of this dyno, or of all of this process type')
    .option('-p, --ps <name>', 'the same')
    .option('-s, --source <source>', 'app or heroku')
    .option('-t, --tail', 'go on with what comes')
    .option('--app <dir>', "the app's folder")
    .action(async (options: { num: string; dyno?: string; ps?: string; source?: string; tail?: true; app?: string }) => {
      const lines = Number(options.num);
      if (!Number.isInteger(lines) || lines < 0)
        throw new Failure('request_invalid', `--num: found ${JSON.stringify(options.num)}, expected a number of lines, such as 100.`);
      const { api } = await open(options.app);
      const dyno = options.dyno ?? options.ps;
      const { source, tail = false } = options;
      await showLogs(api, { lines, tail, ...(dyno === undefined ? {} : { dyno }), ...(source === undefined ? {} : { source }) });
    });

  registerConfigCommands(program, async (app) => (await open(app)).api);
}

function registerConfigCommands(program: Command, open: (app: string | undefined) => Promise<HerokuApi>): void {
  const show = async (vars: Readonly<Record<string, string>>, form: { json?: true; shell?: true }) => {
    const { shellLine } = await import('./cli-grammar.ts');
    if (form.json) return print(vars);
    for (const [name, value] of Object.entries(vars)) print(form.shell ? shellLine(name, value) : `${name}: ${value}`);
  };
  program
    .command('config')
    .description("the app's config vars")
    .option('-s, --shell', 'as NAME=value lines for a shell or .env')
    .option('-j, --json', 'print JSON')
    .option('--app <dir>', "the app's folder")
    .action(
      async (options: { shell?: true; json?: true; app?: string }) => await show(await (await open(options.app)).configVars(), options),
    );
  program
    .command('config:get <name>')
    .description('one config var')
    .option('-s, --shell', 'as NAME=value')
    .option('--app <dir>', "the app's folder")
    .action(async (name: string, options: { shell?: true; app?: string }) => {
      const value = (await (await open(options.app)).configVars())[name];
      if (value === undefined) return print('');
      if (options.shell) await show({ [name]: value }, options);
      else print(value);
    });
  program
    .command('config:set <vars...>')
    .description('set config vars: NAME=value; a release, and the app restarts')
    .option('--app <dir>', "the app's folder")
    .action(async (words: string[], options: { app?: string }) => {
      const api = await open(options.app);
      const changes = variablesOf(words.join('\0'), '\0');
      await api.setConfigVars(changes);
      note(`Setting ${Object.keys(changes).join(', ')} and restarting ${api.app}... done`);
    });
  program
    .command('config:unset <names...>')
    .description('remove config vars; a release, and the app restarts')
    .option('--app <dir>', "the app's folder")
    .action(async (names: string[], options: { app?: string }) => {
      const api = await open(options.app);
      await api.setConfigVars(Object.fromEntries(names.map((name) => [name, null])));
      note(`Unsetting ${names.join(', ')} and restarting ${api.app}... done`);
    });
}

async function runAttached(
  api: HerokuApi,
  order: { command: string; size?: string; env?: string; tty: boolean; caFile: string | undefined },
): Promise<number> {
  const { stdin, stdout } = process;
  const terminal = order.tty && stdin.isTTY === true && stdout.isTTY === true;
  const window = terminal ? { COLUMNS: stdout.columns, LINES: stdout.rows } : {};
  const env = { TERM: process.env['TERM'] ?? 'xterm', ...window, ...variablesOf(order.env) };
  const { command, size, caFile } = order;
  const dyno = await api.start({ command, attach: true, env, noTty: !terminal, ...(size === undefined ? {} : { size }) });
  if (dyno.attach_url === null) throw new Failure('internal', `${dyno.name} was started without a place to attach to.`);
  note(`Running ${command} on ${api.app}... ${dyno.name}`);
  const stopping = new AbortController();
  // without a terminal Ctrl-C comes as a signal: hang up, and the dyno gets its SIGHUP
  const hangUp = () => stopping.abort();
  const forget = onEnding(['SIGINT', 'SIGTERM'], hangUp);
  const { attach } = await import('./attach.ts');
  try {
    await attach(dyno.attach_url, { input: stdin, output: stdout, terminal, caFile, signal: stopping.signal });
  } catch (error) {
    await api.stop(dyno.name).catch(() => undefined);
    throw error;
  } finally {
    forget();
  }
  return stopping.signal.aborted ? 130 : await statusOf(api, dyno);
}

// Only the log tells it.
async function statusOf(api: HerokuApi, { name }: DynoAnswer): Promise<number> {
  const signal = AbortSignal.timeout(END_SEEN_MS);
  for await (const line of api.logs({ dyno: name, source: 'heroku', tail: true, lines: 1_500 }, signal)) {
    const status = /: Process exited with status (\d+)$/.exec(line)?.[1];
    if (status !== undefined) return Number(status);
  }
  throw new Failure(
    'deadline_exceeded',
    `${name} closed the connection, but the log does not say within ${END_SEEN_MS / 1000} s how it ended.`,
  );
}

async function showLogs(
  api: HerokuApi,
  order: Parameters<HerokuApi['logs']>[0],
  last: (line: string) => boolean = () => false,
): Promise<void> {
  const stopping = new AbortController();
  onEnding(['SIGINT'], () => stopping.abort());
  for await (const line of api.logs(order, order.tail === true ? stopping.signal : undefined)) {
    print(line);
    if (last(line)) return;
  }
}

// As the heroku CLI joins them: one word is a command line as it is, several are quoted where they must be.
function commandOf(words: readonly string[]): string {
  if (words.length === 1) return words[0] ?? '';
  return words.map((word) => (/[\s"]/.test(word) ? `"${word.replaceAll('"', '\\"')}"` : word)).join(' ');
}

function variablesOf(text: string | undefined, separator = ';'): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of (text ?? '').split(separator).filter((one) => one !== '')) {
    const [, name, value] = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(entry) ?? [];
    if (name === undefined || value === undefined)
      throw new Failure('request_invalid', `Found ${JSON.stringify(entry)}, expected NAME=value.`);
    found[name] = value;
  }
  return found;
}

function byName(a: DynoAnswer, b: DynoAnswer): number {
  return a.type.localeCompare(b.type) || Number(a.name.split('.')[1]) - Number(b.name.split('.')[1]);
}

// `for 3s`, `for 5m`, `for 2h`.
function agoOf(at: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(at)) / 1000));
  if (seconds < 60) return `for ${seconds}s`;
  return seconds < 3_600 ? `for ${Math.floor(seconds / 60)}m` : `for ${Math.floor(seconds / 3_600)}h`;
}

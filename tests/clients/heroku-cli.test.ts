// Heroku's page on one-off processes, replayed with the real CLI against the local platform: one row for each command.
import { access, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, platformWith } from '../dynos/platform.ts';
import { startBlockedRendezvous } from './blocked-rendezvous.ts';
import { replay, rows } from './command-rows.ts';
import { type Finished, heroku, herokuEnv, startHeroku, typeHeroku } from './heroku.ts';

const files = {
  Procfile: `web: '${process.execPath}' server.js\nworker: echo working; sleep 600\n`,
  'project.clj': '(defproject widgets)\n',
  'server.js': `require('node:http').createServer((_, response) => response.end(process.env.DYNO)).listen(process.env.PORT, '127.0.0.1');\n`,
};
// What a buildpack would bring along: commands of the page that this app has, and their folder in the PATH.
const scripts = {
  'bin/do-work': '#!/bin/sh\necho worked\n',
  'bin/rake': '#!/bin/sh\necho "(in $PWD)"\nfor argument in "$@"; do echo "rake got: $argument"; done\n',
  'bin/rails': '#!/bin/bash\nwhile IFS= read -r -p "irb(main):001:0> " line; do [ "$line" = exit ] && exit; echo "=> $((line))"; done\n',
};

let platform: Awaited<ReturnType<typeof platformWith>>;
let home: string;
let env: Record<string, string>;
const cli = (...args: string[]): Promise<Finished> => heroku(args, env);
const logOf = async (name: string): Promise<string> => (await platform.logs({ dyno: name })).join('\n');
const ended = (name: string): Promise<string[]> => platform.ended(name);
/** The name that the CLI said the dyno has. */
const nameIn = ({ stdout, stderr }: Finished): string => /\b(run\.\d+)\b/.exec(stdout + stderr)?.[1] ?? 'no dyno';
const running = async (): Promise<string[]> => (await platform.list()).filter(({ state }) => state === 'up').map(({ name }) => name);

beforeAll(async () => {
  platform = await platformWith(files);
  for (const folder of ['bin', '.profile.d']) await mkdir(join(platform.app, folder));
  await writeFile(join(platform.app, '.profile.d', 'path.sh'), 'export PATH="$HOME/bin:$PATH"\n');
  for (const [name, text] of Object.entries(scripts)) await writeFile(join(platform.app, name), text, { mode: 0o755 });
  home = await mkdtemp(join(tmpdir(), 'autofiles-heroku-'));
  env = herokuEnv({ home, host: platform.base, token: 'secret-token', app: 'myapp', caFile: platform.dynos.caFile });
}, 900_000);

afterAll(async () => {
  await platform?.close();
  if (home !== undefined) await rm(home, { recursive: true, force: true });
});

describe('one-off processes', () => {
  it('heroku run bash: a shell in a copy of its own, at a terminal', async () => {
    const shell = typeHeroku(['run', 'bash'], env);
    try {
      expect(await shell.shows(/~ \$ $/)).toMatch(/Running bash on .*myapp.*up, run\.\d+/s);
      for (const [typed, shown] of [
        ['ls', /Procfile\s+bin\s+project\.clj\s+server\.js\s/],
        ['echo "Hi there"', /\nHi there\n/],
        ['pwd', /\n\/app\n/],
        ['bin/do-work', /\nworked\n/],
        ['stty size', /\n30 100\n/],
        ['rm Procfile project.clj && ls', /\nbin\s+server\.js\n/],
      ] as const) {
        shell.type(`${typed}\r`);
        await shell.shows(new RegExp(`${shown.source}[\\s\\S]*~ \\$ $`));
      }
      shell.type('exit\r');
      expect(await shell.ended).toBe(0);
      await access(join(platform.app, 'Procfile'));
      await access(join(platform.app, 'project.clj'));
      const name = /run\.\d+/.exec(shell.screen())?.[0] ?? '';
      const log = await ended(name);
      expect(log).toContain(`heroku[${name}]: Process exited with status 0`);
      expect(log.join('\n')).not.toMatch(/app\[run/);
    } finally {
      shell.kill();
    }
  });

  it('heroku run rails console: a console, and Ctrl-C ends what runs in it', async () => {
    const console = typeHeroku(['run', 'rails', 'console'], env);
    try {
      await console.shows(/irb\(main\):001:0> $/);
      console.type('6 * 7\r');
      await console.shows(/=> 42\nirb/);
      console.type('\u0003');
      expect(await console.ended).toBe(0);
      const name = /run\.\d+/.exec(console.screen())?.[0] ?? '';
      expect(await ended(name)).toContainEqual(expect.stringMatching(/Process exited with status (1|130)$/));
    } finally {
      console.kill();
    }
  });

  it.each(
    rows([
      { command: ['run', 'rake --help'], stdout: /rake got: --help\n/, stderr: /Running rake --help on .*up, run\.\d+/s },
      { command: ['run', 'rake', 'db:migrate'], stdout: /\(in \/app\)\nrake got: db:migrate\n/ },
      { command: ['run', 'rake', 'two words', 'say "it"'], stdout: /rake got: two words\nrake got: say "it"\n/ },
      { command: ['run', 'cat'], input: 'through a pipe\nand on', stdout: /through a pipe\nand on$/ },
      // 16,384 bytes are a TLS record: the platform reads a chunk that ends in the byte by which the CLI ends its input
      {
        command: ['run', '--no-tty', 'wc -c'],
        input: `${'x'.repeat(16_383)}\u0004${'x'.repeat(100_000)}\u0004`,
        stdout: /^116385\n/,
      },
      { command: ['run', '--no-tty', 'sh -c "[ -t 0 ] || echo no terminal"'], stdout: /no terminal\n/ },
      { command: ['run', '--size', 'standard-2x', '--env', 'A=1;B=two words', 'echo "$A $B"'], stdout: /1 two words\n/ },
      { command: ['run', '--type', 'scheduler', 'echo $DYNO'], stdout: /scheduler\.1\n/ },
      { command: ['run', '-x', 'true'], status: 0 },
      { command: ['run', '-x', 'printf unfinished; exit_with() { return $1; }; exit_with 3'], status: 3, stdout: /unfinished/ },
      { command: ['run', '-x', `sh -c 'kill -9 $$'`], status: 137 },
      {
        command: ['run', 'exit 9'],
        status: 0,
        after: async (done) => expect(await ended(nameIn(done))).toContainEqual(expect.stringMatching(/status 9$/)),
      },
      { command: ['run', 'nothing-of-this-name'], stdout: /nothing-of-this-name: command not found/ },
      {
        command: ['run:detached', 'rake', 'db:migrate'],
        stderr: /Running rake db:migrate on .*run\.\d+/s,
        async after(done) {
          const name = nameIn(done);
          await ended(name);
          const logs = await cli('logs', '-p', name);
          expect(logs.stdout).toMatch(new RegExp(`heroku\\[${name}\\]: Starting process with command \`rake db:migrate\``));
          expect(logs.stdout).toMatch(new RegExp(`heroku\\[${name}\\]: State changed from starting to up`));
          expect(logs.stdout).toMatch(
            new RegExp(`^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}\\+00:00 app\\[${name}\\]: \\(in /app\\)`, 'm'),
          );
          expect(logs.stdout).toMatch(new RegExp(`heroku\\[${name}\\]: Process exited with status 0`));
          const two = await cli('logs', '--dyno', name, '-n', '2', '-s', 'heroku');
          expect(two.stdout.trim().split('\n')).toHaveLength(2);
        },
      },
      {
        command: ['run:detached', 'exit 3'],
        after: async (done) => expect(await ended(nameIn(done))).toContainEqual(expect.stringMatching(/status 3$/)),
      },
    ]),
  )('%s', (_, row) => replay(row, env));

  it.each(
    rows([
      {
        command: ['ps:scale', 'web=2'],
        stderr: /Scaling dynos/,
        after: () => eventually('two web dynos', async () => (await running()).filter((name) => name.startsWith('web.')).length === 2),
      },
      {
        command: ['run:detached', 'sleep 600'],
        async after(done) {
          const name = nameIn(done);
          await eventually('it is up', async () => (await running()).includes(name));
          const { stdout } = await cli('ps');
          expect(stdout).toMatch(/=== web \(Basic\): .*server\.js.* \(2\)\n+web\.1: up .*\nweb\.2: up /);
          expect(stdout).toMatch(new RegExp(`=== run: one-off processes \\(1\\)\\n+${name} \\(Basic\\): up .*: sleep 600`));
          const json = JSON.parse((await cli('ps', '--json')).stdout) as { name: string }[];
          expect(json.map((dyno) => dyno.name).sort()).toEqual([name, 'web.1', 'web.2']);
          // Nothing but web.N is ever given a request.
          for (let index = 0; index < 4; index += 1) {
            const served = await fetch(`http://127.0.0.1:${platform.dynos.webPort}`);
            expect(await served.text()).toMatch(/^web\.[12]$/);
          }
          const stopped = await cli('ps:stop', name);
          expect(stopped).toMatchObject({ status: 0, stderr: expect.stringMatching(/Stopping.*done/s) });
          expect(await ended(name)).toEqual(
            expect.arrayContaining([
              `heroku[${name}]: Stopping process with SIGTERM`,
              `heroku[${name}]: Process exited with status 143`,
              `heroku[${name}]: State changed from up to complete`,
            ]),
          );
        },
      },
      { command: ['ps:stop', 'run.9999'], status: 2, stderr: /Couldn't find that dyno/ },
      {
        command: ['ps:restart', '--dyno-name', 'web.1'],
        after: () => eventually('web.1 is up again', async () => (await running()).includes('web.1')),
      },
      { command: ['ps:scale'], stdout: /web=2:Basic|web=2/ },
      {
        command: ['ps:scale', 'web=0'],
        after: () => eventually('no dyno', async () => (await platform.list()).length === 0),
      },
    ]),
  )('%s', (_, row) => replay(row, env));

  it('heroku logs --tail: shows what comes, line by line', async () => {
    const tail = startHeroku(['logs', '--tail', '--source', 'app', '-n', '1'], env);
    try {
      await eventually('a first line', () => tail.stdout().includes('\n'), 60);
      const { name } = await platform.run('echo first; sleep 0.3; echo second');
      await eventually(
        'both lines',
        () => new RegExp(`app\\[${name}\\]: first\\n[\\s\\S]*app\\[${name}\\]: second\\n`).test(tail.stdout()),
        60,
      );
    } finally {
      tail.child.kill('SIGTERM');
      await tail.ended;
    }
  });

  it('two attached at once, each with its own input and output', async () => {
    const both = [1, 2].map((number) => heroku(['run', `read line; echo "${number} got $line"`], env, { input: `input ${number}\n` }));
    const [one, two] = await Promise.all(both);
    expect([one?.stdout, two?.stdout]).toEqual([expect.stringContaining('1 got input 1'), expect.stringContaining('2 got input 2')]);
  });

  it('a dropped connection hangs the process up; it does not come back', async () => {
    const run = startHeroku(['run', 'trap "exit 8" HUP; echo waiting; while :; do sleep 0.05; done'], env);
    await eventually('it runs and is named', () => run.stdout().includes('waiting') && /\brun\.\d+\b/.test(run.stderr()), 60);
    const name = nameIn({ status: 0, stdout: '', stderr: run.stderr() });
    run.child.kill('SIGKILL');
    await run.ended;
    expect(await ended(name)).toContain(`heroku[${name}]: Process exited with status 8`);
    expect(await platform.list()).toEqual([]);
    expect((await cli('ps')).stdout).toMatch(/No dynos on/);
  });

  it('a client that does not trust the certificate says so, and its dyno is given up', async () => {
    const { NODE_EXTRA_CA_CERTS: _, ...without } = env;
    const done = await heroku(['run', 'echo never'], without);
    expect(done).toMatchObject({ status: 1, stderr: expect.stringMatching(/unable to verify the first certificate|self[- ]signed/i) });
    const name = nameIn(done);
    await cli('ps:stop', name);
    expect(await logOf(name)).not.toContain('never\n');
  });

  it('a rendezvous port that refuses says where and why, as the page says under "Timeout awaiting process"', async () => {
    const blocked = await startBlockedRendezvous(platform.base);
    try {
      const done = await heroku(['run', 'echo never'], { ...env, HEROKU_HOST: blocked.url });
      expect(done).toMatchObject({ status: 1, stderr: expect.stringContaining(`connect ECONNREFUSED 127.0.0.1:${blocked.port}`) });
      await cli('ps:stop', nameIn(done));
      expect(done.stdout).not.toContain('never');
    } finally {
      await blocked.close();
    }
  });

  it('leaves no copy of the app behind', async () => {
    await eventually('no folder is left', async () => (await readdir(join(platform.dir, 'copies'))).length === 0);
    expect(platform.reports).toEqual([]);
  });
});

describe('config, releases and the app', () => {
  it.each(
    rows([
      { command: ['config:set', 'LD_TOKEN=a/b+c=', `PHRASE=it's "here"`], stderr: /Setting .*restarting/s },
      { command: ['config:get', 'LD_TOKEN', '-s'], stdout: /^LD_TOKEN='?a\/b\+c='?\n$/ },
      { command: ['config:get', 'NOT_THERE'], stdout: /^\n?$/ },
      {
        command: ['config', '-j'],
        after: async ({ stdout }) => expect(JSON.parse(stdout)).toEqual({ LD_TOKEN: 'a/b+c=', PHRASE: `it's "here"` }),
      },
      { command: ['config:unset', 'PHRASE'], stderr: /Unsetting/ },
      { command: ['releases'], stdout: /v3\s+.*Remove PHRASE config vars/ },
      { command: ['apps:info'], stdout: /=== myapp[\s\S]*Owner:\s+you@localhost/ },
      { command: ['auth:whoami'], stdout: /you@localhost/ },
      { command: ['access'], stdout: /you@localhost/ },
      { command: ['webhooks:add', '--include', 'api:dyno', '--level', 'notify', '--url', 'http://127.0.0.1:9/hook'], stdout: /secret/i },
      { command: ['webhooks'], stdout: /http:\/\/127\.0\.0\.1:9\/hook\s+api:dyno\s+notify/ },
    ]),
  )('%s', (_, row) => replay(row, env));
});

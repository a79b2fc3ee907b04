import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findTerminals } from '../../src/local/dynos/terminal-process.ts';
import { typeCommand } from '../support/terminal.ts';
import { eventually, platformWith } from './platform.ts';

const program = ['--disable-warning=ExperimentalWarning', fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))];

interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

describe('autofiles run, ps, logs and config, without the heroku CLI', { timeout: 180_000 }, () => {
  let platform: Awaited<ReturnType<typeof platformWith>>;
  let env: Record<string, string>;
  beforeAll(async () => {
    platform = await platformWith({ Procfile: 'web: sleep 600\nrake: printf "rake got: %s\\n"\n' });
    env = {
      PATH: process.env['PATH'] ?? '',
      HOME: platform.app,
      TERM: 'xterm',
      HEROKU_HOST: platform.base,
      HEROKU_API_KEY: 'secret-token',
      HEROKU_APP: 'myapp',
      NODE_EXTRA_CA_CERTS: platform.dynos.caFile,
      AUTOFILES_URL: 'http://127.0.0.1:9',
      AUTOFILES_TOKEN: 'unused here',
    };
  });
  afterAll(async () => {
    await platform.close();
  });

  const start = (args: string[], more: { input?: string | Buffer; env?: Record<string, string> } = {}) => {
    const child = spawn(process.execPath, [...program, ...args], { env: { ...env, ...more.env }, stdio: 'pipe', timeout: 60_000 });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    if (more.input !== undefined) child.stdin.end(more.input);
    const ended = new Promise<Finished>((resolve) => child.once('close', (status) => resolve({ status, stdout, stderr })));
    return { child, stdout: () => stdout, stderr: () => stderr, ended };
  };
  const autofiles = (...args: string[]): Promise<Finished> => start(args, { input: '' }).ended;

  it('run: passes input, output, flags and the exit status', async () => {
    const piped = await start(['run', 'cat; echo "$GREETING" >&2; exit 3'], { input: 'no newline' }).ended;
    expect(piped).toEqual({
      status: 3,
      stdout: 'no newline\n',
      stderr: expect.stringMatching(/^Running cat; .* on myapp\.\.\. run\.1\n$/),
    });
    expect(await autofiles('run', '-e', 'A=1;B=two words', 'rake', '--help', 'two words', '"$B"')).toMatchObject({
      status: 0,
      stdout: 'rake got: --help\nrake got: two words\nrake got: "$B"\n'.replace('"$B"', '"two words"'),
    });
    expect(await autofiles('run', `sh -c 'kill -9 $$'`)).toMatchObject({ status: 137 });
  });

  it('run: passes every byte of its input, also those that end one', async () => {
    // the byte that ends an input, as the last of a chunk of a pipe (65,536 bytes), of a TLS record (16,384), and of all
    const input = Buffer.alloc(200_000);
    for (const end of [16_383, 16_384, 65_536, 131_072, 200_000]) input[end - 1] = 0x04;
    expect((await start(['run', 'wc -c'], { input }).ended).stdout).toBe('200000\n');
  });

  it('run: a pause behind such a byte ends nothing', async () => {
    const run = start(['run', 'cat; echo end']);
    run.child.stdin.write('one\n\u0004');
    await eventually('the first line', () => run.stdout() === 'one\n');
    // as long as another one takes to come and go
    await start(['run', 'true'], { input: '' }).ended;
    run.child.stdin.end('two\n');
    expect((await run.ended).stdout).toBe('one\n\u0004two\nend\n');
  });

  it('run: hangs up with Ctrl-C, and the dyno is told', async () => {
    const run = start(['run', '--no-tty', 'trap "exit 8" HUP; echo waiting; while :; do sleep 0.05; done']);
    await eventually('it runs', () => run.stdout().includes('waiting'));
    const name = await eventually('its name', () => /run\.\d+/.exec(run.stderr())?.[0]);
    run.child.kill('SIGINT');
    expect((await run.ended).status).toBe(130);
    expect(await platform.ended(name)).toContain(`heroku[${name}]: Process exited with status 8`);
  });

  it('run: says what to look at when the dyno cannot be reached or is not trusted', async () => {
    const { NODE_EXTRA_CA_CERTS: _, ...without } = env;
    const child = spawn(process.execPath, [...program, 'run', 'true'], { env: without, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
    });
    const status = await new Promise((resolve) => child.once('close', resolve));
    expect([status, said]).toEqual([1, expect.stringMatching(/Timeout awaiting process.*NODE_EXTRA_CA_CERTS must name/s)]);
    await eventually('its dyno is stopped', async () => (await platform.list()).length === 0);
  });

  it.skipIf(findTerminals() === undefined)('run: is a terminal at a terminal', async () => {
    const shell = typeCommand(process.execPath, [...program, 'run', 'bash'], { cwd: platform.app, env });
    try {
      await shell.shows(/~ \$ $/);
      shell.type('stty size; echo st""arted\r');
      await shell.shows(/30 100\nstarted\n/);
      shell.type('exit 5\r');
      expect(await shell.ended).toBe(5);
    } finally {
      shell.kill();
    }
  });

  it('run:detached, logs, ps, ps:stop, ps:scale', async () => {
    const detached = await autofiles('run:detached', 'echo in the log; sleep 600');
    const name = detached.stdout.trim();
    expect(detached).toEqual({ status: 0, stdout: `${name}\n`, stderr: expect.stringContaining(`autofiles logs -d ${name}`) });
    await eventually('its output', async () => (await platform.logs({ dyno: name, source: 'app' })).length === 1);
    expect((await autofiles('logs', '-p', name, '-s', 'app')).stdout).toMatch(new RegExp(`^\\S+ app\\[${name}\\]: in the log\\n$`));
    expect((await autofiles('logs', '-d', name, '-n', '1')).stdout.split('\n')).toHaveLength(2);
    expect((await autofiles('ps:scale', 'web=1')).stdout).toBe('web=1:Basic\n');
    await eventually('the formation', async () => (await platform.list()).length === 2);
    expect((await autofiles('ps')).stdout).toMatch(
      new RegExp(`^${name} .*up for .*s  echo in the log; sleep 600\\nweb\\.1 .*sleep 600\\n$`),
    );
    expect(JSON.parse((await autofiles('ps', '--json')).stdout)).toMatchObject([{ name }, { name: 'web.1' }]);
    expect(await autofiles('ps:stop', name)).toMatchObject({ status: 0, stderr: `Stopping ${name} on myapp... done\n` });
    await platform.ended(name);
    expect(await autofiles('ps:stop', name)).toMatchObject({ status: 1, stderr: expect.stringContaining("Couldn't find that dyno") });
    expect((await autofiles('ps:scale', 'web-1')).stdout).toBe('web=0:Basic\n');
    expect(await autofiles('ps:scale', 'web')).toMatchObject({ status: 2, stderr: expect.stringContaining('web=1') });
  });

  it('logs --tail goes on with what comes', async () => {
    const tail = start(['logs', '--tail', '-n', '1', '-s', 'app']);
    await eventually('a first line', () => tail.stdout().includes('\n'));
    const { name } = await platform.run('echo came later');
    await eventually('the line', () => tail.stdout().endsWith(`app[${name}]: came later\n`));
    tail.child.kill('SIGINT');
    expect((await tail.ended).status).toBe(0);
    expect((await autofiles('run:detached', '-t', 'echo to the end')).stdout).toMatch(
      /to the end[\s\S]*State changed from up to complete\n$/,
    );
  });

  it('config', async () => {
    expect(await autofiles('config:set', 'TOKEN=a/b+c=', `PHRASE=it's "here"`)).toMatchObject({ status: 0 });
    expect(JSON.parse((await autofiles('config', '-j')).stdout)).toEqual({ TOKEN: 'a/b+c=', PHRASE: `it's "here"` });
    expect((await autofiles('config', '-s')).stdout).toBe(`PHRASE='it'\\''s "here"'\nTOKEN='a/b+c='\n`);
    expect((await autofiles('config:get', 'TOKEN')).stdout).toBe('a/b+c=\n');
    expect(await autofiles('config:set', 'NOTHING')).toMatchObject({ status: 2, stderr: expect.stringContaining('NAME=value') });
    expect(await autofiles('config:unset', 'PHRASE')).toMatchObject({ status: 0 });
    expect((await autofiles('config', '--shell')).stdout).toBe(`TOKEN='a/b+c='\n`);
  });
});

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { clientOf, eventually, folderWith } from '../dynos/platform.ts';

const main = join(import.meta.dirname, '../../src/local/dynos/main.ts');

async function alive(pid: string | number): Promise<boolean> {
  try {
    return !/\) Z /.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('the platform as a process', { timeout: 150_000 }, () => {
  const open: (() => unknown)[] = [];
  const setup = async () => {
    const app = await folderWith({});
    const state = await folderWith({});
    open.push(app.remove, state.remove);
    const start = (env: Record<string, string> = {}): ChildProcess => {
      const child = fork(main, {
        execArgv: ['--disable-warning=ExperimentalWarning'],
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        env: {
          PATH: process.env['PATH'],
          AUTOFILES_DYNOS_DIR: state.path,
          AUTOFILES_APP_DIR: app.path,
          AUTOFILES_APP_NAME: 'myapp',
          AUTOFILES_DYNOS_TOKEN: 'secret-token',
          ...env,
        },
      });
      const gone = once(child, 'exit');
      open.push(async () => {
        if (child.exitCode === null) child.kill('SIGKILL');
        await gone;
      });
      return child;
    };
    const ready = async (): Promise<{ child: ChildProcess; client: ReturnType<typeof clientOf> }> => {
      const child = start();
      const [message] = await once(child, 'message', { signal: AbortSignal.timeout(60_000) });
      expect(message).toEqual({ ready: true, port: expect.any(Number) });
      return { child, client: clientOf(message.port) };
    };
    const printed = async (client: ReturnType<typeof clientOf>, command: string): Promise<string[]> => {
      const { name } = await client.run(command);
      const line = await eventually('a line', async () => (await client.logs({ dyno: name, source: 'app' }))[0]);
      const pids = line.slice(line.indexOf(']: ') + 3).split(' ');
      // A test that fails must not leave them either.
      open.push(async () => {
        for (const pid of pids) if (await alive(pid)) process.kill(Number(pid), 'SIGKILL');
      });
      return pids;
    };
    return { start, ready, printed, dir: state.path };
  };
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });

  it('says where it listens, and on SIGTERM ends its dynos and exits 0', async () => {
    const { ready, printed } = await setup();
    const { child, client } = await ready();
    const [pid = ''] = await printed(client, 'echo $$; sleep 60');
    const [line] = await once(child.stdout ?? child, 'data').catch(() => ['']);
    expect(String(line)).toBe(`dynos ready on ${client.base}\n`);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await alive(pid)).toBe(false);
  });

  it('gives its dynos their time although one stop comes as several signals', async () => {
    const { ready, printed, dir } = await setup();
    const { child, client } = await ready();
    const [asked, ended] = [join(dir, 'asked'), join(dir, 'ended')];
    await printed(client, `trap 'touch ${asked}; sleep 0.5; touch ${ended}; exit 0' TERM; echo $$; while :; do sleep 0.05; done`);
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await eventually('the dyno is asked', async () => (await readdir(dir)).includes('asked'));
    child.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
    expect(await readdir(dir)).toContain('ended');
  });

  it('ends when its parent goes away', async () => {
    const { ready, printed } = await setup();
    const { child, client } = await ready();
    const [pid = ''] = await printed(client, 'echo $$; sleep 60');
    child.disconnect();
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await alive(pid)).toBe(false);
  });

  it('ends what a killed platform left running, wherever it hid, and removes its folders', async () => {
    const { ready, printed, dir } = await setup();
    const first = await ready();
    // The output ends with the platform, so the process must not write after it: a writer would die by itself.
    const hidden = `setsid bash -c 'trap "" TERM HUP; while :; do sleep 0.1; done' & a=$!; bash -c 'trap "" TERM; while :; do sleep 0.1; done' & echo $$ $a $! ; trap '' TERM; while :; do sleep 0.1; done`;
    const pids = await printed(first.client, hidden);
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    for (const pid of pids) expect(await alive(pid)).toBe(true);
    const second = await ready();
    for (const pid of pids) expect(await alive(pid)).toBe(false);
    expect(await processesIn(dir)).toEqual([]);
    expect(await second.client.list()).toEqual([]);
    expect(await readdir(join(dir, 'copies')).catch(() => [])).toEqual([]);
    expect(await second.client.logs({ dyno: 'run.1', source: 'heroku' })).toContainEqual(
      expect.stringContaining('Process exited with status 137'),
    );
    expect((await second.client.run('true')).name).toBe('run.2');
  });

  it('never touches a process that only has the pid of a dyno that was', async () => {
    const { ready, dir } = await setup();
    const first = await ready();
    await first.client.run('sleep 60');
    const { child: bystander } = { child: fork(join(import.meta.dirname, 'bystander.ts'), { detached: true, stdio: 'ignore' }) };
    open.push(() => {
      bystander.kill('SIGKILL');
    });
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    // What a reused pid looks like: the record names a living process that started at another time.
    const { DatabaseSync } = await import('node:sqlite');
    const db = new DatabaseSync(join(dir, 'platform.db'));
    const orphan = Number(db.prepare('SELECT pid FROM dynos').get()?.['pid']);
    db.prepare('UPDATE dynos SET pid = ?').run(bystander.pid ?? 0);
    db.close();
    await ready();
    expect(await alive(bystander.pid ?? 0)).toBe(true);
    expect(await alive(orphan)).toBe(false);
  });

  it('waits for the platform before it on the same folder, which still ends its dynos, and says so once', async () => {
    const { ready, printed, start } = await setup();
    const first = await ready();
    await printed(first.client, `trap '' TERM; echo $$; while :; do sleep 0.05; done`);
    // as after a kill -9 of the start: stubborn dynos have ten seconds
    first.child.disconnect();
    const second = start();
    const said: unknown[] = [];
    let text = '';
    second.on('message', (message) => said.push(message));
    second.stderr?.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    const firstEnded = once(first.child, 'exit');
    await eventually('the second is ready', () => said.length === 2);
    expect(said).toEqual([{ notice: 'waiting for the last start to end' }, { ready: true, port: expect.any(Number) }]);
    expect(text).toBe('dynos: waiting for the last start to end\n');
    expect(await firstEnded).toEqual([0, null]);
  });

  it('refuses a second platform on the same folder where the first does not end', async () => {
    const { ready, start } = await setup();
    await ready();
    const second = start();
    let text = '';
    second.stderr?.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    expect(await once(second, 'close')).toEqual([1, null]);
    expect(text).toMatch(/^dynos: waiting for the last start to end\ndynos: .* is held by another dynos platform.*\n$/);
  });

  it('refuses production and an environment that does not fit', async () => {
    const { start } = await setup();
    const refused = async (env: Record<string, string>): Promise<string> => {
      const child = start(env);
      const [[text], [code]] = await Promise.all([once(child.stderr ?? child, 'data'), once(child, 'exit')]);
      expect(code).toBe(1);
      return String(text);
    };
    expect(await refused({ NODE_ENV: 'production' })).toMatch(/refuses NODE_ENV=production/);
    expect(await refused({ AUTOFILES_DYNOS_PORT: 'x' })).toMatch(/AUTOFILES_DYNOS_PORT must match/);
    expect(await refused({ AUTOFILES_APP_DIR: '/no/such/folder' })).toMatch(/the app folder \/no\/such\/folder does not exist/);
  });
});

// The processes that work in a folder below `dir`.
async function processesIn(dir: string): Promise<string[]> {
  const { readlink } = await import('node:fs/promises');
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (cwd.startsWith(`${dir}/copies/`) && (await alive(pid))) found.push(pid);
  }
  return found;
}

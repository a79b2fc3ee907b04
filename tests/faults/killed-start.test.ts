// kill -9 of `autofiles start` itself, when it is ready and while it is still starting: no process is left behind, and the
// next start on the same folder works.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** What it runs, by the end of the command line. */
const CHILDREN = ['redis/main.ts', 'store/main.ts', 'dynos/main.ts', 'main.ts web', 'main.ts worker'];
/** Loaded into each child: at the one that the variables name, the supervisor dies. */
const DYING = new URL('./dying-supervisor.ts', import.meta.url).href;

describe.skipIf(process.platform !== 'linux')('a killed start', { timeout: 200_000 }, () => {
  let app: string;
  beforeAll(async () => {
    app = await mkdtemp(join(tmpdir(), 'af-killed-'));
    await writeFile(join(app, 'Procfile'), 'work: true\n');
  });
  afterAll(async () => {
    await until('the last of its processes', async () => (await processes()).length === 0, 60_000);
    await rm(app, { recursive: true, force: true });
  });

  function start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): { child: ChildProcess; printed: () => string } {
    const node = join(root, 'node_modules', 'node', 'bin', 'node');
    const main = join(root, 'src', 'cli', 'main.ts');
    const child = spawn(node, ['--disable-warning=ExperimentalWarning', main, 'start', '--app', app, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        printed += data.toString();
      });
    }
    return { child, printed: () => printed };
  }

  /** Processes that were started with this app's folder in their environment or command line, and with `words` in the latter. */
  async function processes(words = ''): Promise<string[]> {
    const found: string[] = [];
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
      const read = async (name: string) => (await readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '')).replaceAll('\0', ' ');
      const command = await read('cmdline');
      if (command.includes(words) && ((await read('environ')) + command).includes(app)) found.push(pid);
    }
    return found;
  }

  /** Its dynos that heed no SIGTERM. */
  async function dynos(): Promise<string[]> {
    const found: string[] = [];
    for (const pid of await processes()) {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
      if (/^Name:\s*(bash|sh)$/m.test(status) && (BigInt(`0x${ignored}`) & (1n << 14n)) !== 0n) found.push(pid);
    }
    return found;
  }

  async function kill(child: ChildProcess): Promise<void> {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    await childrenEnd();
  }

  const childrenEnd = () => until('its children to end', async () => (await processes()).length === 0, 60_000);

  it('leaves nothing behind when it was still starting', async () => {
    const { child } = start();
    // the children are there, and none is ready yet or all are: any moment will do
    await until('some of its children', async () => (await processes()).length >= 4, 60_000);
    await kill(child);
  });

  /** Starts, is killed at a child, and its children end; answers with that one's exit status. */
  async function dies(when: 'loading' | 'ready', name: string): Promise<number> {
    const ended = join(app, 'ended');
    const env = { NODE_OPTIONS: `--import=${DYING}`, DIES_AT: name, DIES_WHEN: when, ENDED_WITH: ended };
    const { child, printed } = start([], env);
    expect(await once(child, 'exit'), printed()).toEqual([null, 'SIGKILL']);
    await childrenEnd();
    const status = Number(await readFile(ended, 'utf8'));
    await rm(ended);
    return status;
  }

  it.each(CHILDREN)('leaves nothing behind when it dies before %s has loaded', async (name) => {
    // of one that has begun nothing any end is good
    expect(await dies('loading', name)).toBeLessThanOrEqual(1);
  });

  it.each(CHILDREN)('leaves nothing behind when it dies just as %s says that it is ready, which ends in order', async (name) => {
    expect(await dies('ready', name)).toBe(0);
  });

  it('lets its worker end before its Redis', async () => {
    const { child, printed } = start();
    await until('the start', () => printed().includes('Ready after'), 90_000);
    expect(await processes('main.ts worker')).toHaveLength(1);
    expect(await processes('redis-server')).toHaveLength(1);
    child.kill('SIGKILL');
    await until('the end of its Redis', async () => (await processes('redis-server')).length === 0, 60_000);
    expect(await processes('main.ts worker')).toEqual([]);
    await childrenEnd();
  });

  it('leaves nothing behind when it was ready, and the next start runs', async () => {
    const first = start();
    await until('the first start', () => first.printed().includes('Ready after'), 90_000);
    await kill(first.child);
    const second = start(['--once']);
    const [status] = await once(second.child, 'exit');
    expect(status, second.printed()).toBe(0);
    expect(second.printed()).toContain('Do Step 2');
  });

  it('runs again right after a kill, while the last start still ends a stubborn dyno', async () => {
    await writeFile(join(app, 'Procfile'), `work: true\nstubborn: trap '' TERM; echo here; while :; do sleep 0.05; done\n`);
    const first = start(['--formation', 'stubborn=1']);
    await until('the first start', () => first.printed().includes('Ready after'), 90_000);
    await until('its dyno', async () => (await dynos()).length > 0, 60_000);
    const gone = once(first.child, 'exit');
    first.child.kill('SIGKILL');
    await gone;
    const second = start(['--once']);
    const [status] = await once(second.child, 'exit');
    expect(status, second.printed()).toBe(0);
    expect(second.printed().match(/waiting for the last start to end/g), second.printed()).toHaveLength(1);
  });
});

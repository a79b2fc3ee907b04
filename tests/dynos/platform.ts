import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type DynosDeps, startDynos } from '../../src/local/dynos/start-dynos.ts';

/** A dyno as the API answers it, in the members that the tests read. */
export interface DynoAnswer {
  id: string;
  name: string;
  command: string;
  size: string;
  state: string;
}

/** A folder with the given files, removed by `remove`, also while the `mkfifo` of a platform that was killed still makes its pipes there. */
export async function folderWith(files: Readonly<Record<string, string>>): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'autofiles-dynos-'));
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content);
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 10 }) };
}

/** Waits until `check` gives something, at most `seconds`. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  seconds = 30,
): Promise<T> {
  const signal = AbortSignal.timeout(seconds * 1000);
  for (;;) {
    const result = await check();
    if (result !== undefined && result !== false) return result;
    if (signal.aborted) throw new Error(`${what}: not within ${seconds} s`);
    await delay(10);
  }
}

/** A client of a platform on `port`, as heroku.md 2 describes calls. */
export function clientOf(port: number, token = 'secret-token') {
  const base = `http://127.0.0.1:${port}`;
  const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(base + path, {
      method,
      headers: {
        accept: 'application/vnd.heroku+json; version=3',
        'content-type': 'application/json',
        authorization: `Bearer ${token}`,
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  // The tests state what they expect of an answer, so its type is theirs to say.
  const json = async <T>(method: string, path: string, body?: unknown): Promise<T> => (await call(method, path, body)).json() as Promise<T>;
  const run = (command: string, more: Record<string, unknown> = {}): Promise<DynoAnswer> =>
    json('POST', '/apps/myapp/dynos', { command, ...more });
  const list = (): Promise<DynoAnswer[]> => json('GET', '/apps/myapp/dynos');
  const logs = async (filter: Record<string, unknown> = {}): Promise<string[]> => {
    const { logplex_url } = await json<{ logplex_url: string }>('POST', '/apps/myapp/log-sessions', { lines: 1500, ...filter });
    const text = await (await fetch(logplex_url)).text();
    return text.split('\n').filter((line) => line !== '');
  };
  return {
    base,
    call,
    json,
    run,
    list,
    logs,
    /** The log of one dyno without its times, after the dyno has ended. */
    async ended(name: string): Promise<string[]> {
      await eventually(`${name} ends`, async () => (await call('GET', `/apps/myapp/dynos/${name}`)).status === 404);
      return (await logs({ dyno: name })).map((line) => line.slice(line.indexOf(' ') + 1));
    },
    /** What a command printed. */
    async output(command: string, more: Record<string, unknown> = {}): Promise<string[]> {
      const { name } = await run(command, more);
      const prefix = `app[${name}]: `;
      return (await this.ended(name)).filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length));
    },
  };
}

/** A platform in this process with an app of the given files. `close` ends it and removes its folders. */
export async function platformWith(files: Readonly<Record<string, string>>, settings: Partial<DynosDeps> = {}) {
  const app = await folderWith(files);
  const state = await folderWith({});
  const reports: string[] = [];
  const dynos = await startDynos({
    dir: state.path,
    appDir: app.path,
    appName: 'myapp',
    token: 'secret-token',
    userPath: process.env['PATH'] ?? '',
    now: Date.now,
    id: randomUUID,
    report: (message) => reports.push(message),
    rateLimit: 1_000_000,
    ...settings,
  });
  return {
    ...clientOf(dynos.port),
    app: app.path,
    dir: settings.dir ?? state.path,
    reports,
    dynos,
    async close() {
      await dynos.close();
      await app.remove();
      await state.remove();
    },
  };
}

// What a dyno's start costs: a POST to its first line of output, for the example app and for one of 300 MB, against a bare spawn and `heroku local:run`.
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openHerokuApi } from '../src/cli/heroku-api.ts';
import { startDynos } from '../src/local/dynos/start-dynos.ts';
import { percentile, type Row } from './rows.ts';

const EXAMPLE = fileURLToPath(new URL('../examples/node-starter', import.meta.url));
/** There after `npm run test:clients`. */
const CLI_FOLDER = fileURLToPath(new URL('../tests/clients/heroku-cli', import.meta.url));
const HEROKU = join(CLI_FOLDER, 'node_modules', 'heroku', 'bin', 'run.js');
const TOKEN = 'bench-token';
const LARGE_FILES = 300;
const MIB = 1024 ** 2;

/** Rows for `starts` dynos of each kind, one after the other. */
export async function dynoRows(deps: { starts: number; note: (line: string) => void }): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'af-bench-dynos-'));
  try {
    const example = join(folder, 'example');
    await cp(EXAMPLE, example, { recursive: true, filter: (from) => !from.endsWith('.autofiles') });
    const large = join(folder, 'large');
    await mkdir(large);
    for (let n = 0; n < LARGE_FILES; n += 1) await writeFile(join(large, `file-${n}`), randomBytes(MIB));
    deps.note(`${deps.starts} dynos of the example app and of one of 300 MB …`);
    const [small, big, plain] = [
      await postToOutput(example, join(folder, 'one'), deps.starts, 'auto'),
      await postToOutput(large, join(folder, 'two'), deps.starts, 'auto'),
      await postToOutput(example, join(folder, 'three'), deps.starts, 'plain'),
    ];
    const bare: number[] = [];
    for (let n = 0; n < deps.starts; n += 1) bare.push(await spawnToOutput('bash', ['-c', 'echo up']));
    const rows: Row[] = [
      { name: `dyno: POST → output, example app (${small.kind}), p50`, value: percentile(small.ms, 0.5), unit: 'ms', bar: { most: 150 } },
      { name: `dyno: POST → output, 300 MB app (${big.kind}), p50`, value: percentile(big.ms, 0.5), unit: 'ms', bar: { most: 1_000 } },
      { name: 'dyno: POST → output, example app (plain copy), p50', value: percentile(plain.ms, 0.5), unit: 'ms' },
      { name: 'bare spawn of bash → output, p50', value: percentile(bare, 0.5), unit: 'ms' },
    ];
    if (existsSync(HEROKU)) {
      const local: number[] = [];
      for (let n = 0; n < 3; n += 1) local.push(await spawnToOutput(process.execPath, [HEROKU, 'local:run', 'echo', 'up'], example));
      rows.push({ name: 'heroku local:run → output, p50', value: percentile(local, 0.5), unit: 'ms' });
    } else deps.note('no row for heroku local:run: `npm run test:clients` installs the CLI');
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function postToOutput(
  appDir: string,
  dir: string,
  starts: number,
  copies: 'auto' | 'plain',
): Promise<{ ms: number[]; kind: string }> {
  const dynos = await startDynos({
    dir,
    appDir,
    appName: 'bench',
    token: TOKEN,
    userPath: process.env['PATH'] ?? '',
    now: Date.now,
    id: randomUUID,
    report: (message) => console.error(message),
    rateLimit: 1_000_000,
    copies,
  });
  try {
    const api = openHerokuApi({ host: `http://127.0.0.1:${dynos.port}`, token: TOKEN, app: 'bench' });
    const ms: number[] = [];
    // the first finds the snapshot being made and is left out
    for (let n = 0; n <= starts; n += 1) {
      const began = performance.now();
      const { name } = await api.start({ command: 'echo up', attach: false, env: {} });
      for await (const _ of api.logs({ dyno: name, source: 'app', tail: true, lines: 10 })) break;
      if (n > 0) ms.push(performance.now() - began);
    }
    return { ms, kind: dynos.copies.kind === 'namespace' ? 'at /app' : 'plain copy' };
  } finally {
    await dynos.close();
  }
}

function spawnToOutput(file: string, args: readonly string[], cwd?: string): Promise<number> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const env = { ...process.env, DISABLE_TELEMETRY: 'true', HEROKU_DISABLE_AUTOUPDATE: '1', HEROKU_SKIP_NEW_VERSION_CHECK: 'true' };
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'ignore'], ...(cwd === undefined ? {} : { cwd }) });
    child.once('error', reject);
    child.stdout.once('data', () => resolve(performance.now() - began));
    child.stdout.resume();
  });
}

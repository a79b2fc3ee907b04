// The direction of imports and the injected clock are promises of the house: each rule is broken once here, in a copy of
// the house, and must be caught, so that a rule that stops working is noticed.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const LAYER = 'lint/style/noRestrictedImports';
const INJECTED = 'plugin';

interface Planted {
  readonly folder: string;
  readonly text: string;
  /** The rule that must complain; undefined: none of the two may. */
  readonly rule: string | undefined;
}

const importing = (folder: string, module: string, rule: string | undefined): Planted => ({
  folder,
  text: `import { x } from '${module}';\n\nexport const y = x;\n`,
  rule,
});
const calling = (folder: string, call: string, rule: string | undefined): Planted => ({
  folder,
  text: `export const y = ${call};\n`,
  rule,
});

/** Each folder, and what it may not import. */
const walls: Record<string, readonly string[]> = {
  schema: ['node:fs', 'ioredis', '../queues/runs.ts', '../clients/s3.ts', '../local/store/xml.ts', '../cli/put.ts', 'hono', 'bullmq'],
  clients: [
    '../queues/runs.ts',
    '../processors/task.ts',
    '../http/app.ts',
    '../local/store/xml.ts',
    '../cli/put.ts',
    'bullmq',
    'ioredis',
    'hono',
  ],
  queues: [
    '../clients/s3.ts',
    '../processors/task.ts',
    '../http/app.ts',
    '../local/store/xml.ts',
    '../cli/put.ts',
    '@aws-sdk/client-s3',
    'hono',
  ],
  processors: ['../http/app.ts', '../local/store/xml.ts', '../cli/put.ts', '@aws-sdk/client-sqs', 'heroku-client', 'ioredis', 'hono'],
  http: ['../processors/task.ts', '../local/store/xml.ts', '../cli/put.ts', '@aws-sdk/client-s3', 'heroku-client', 'bullmq', 'ioredis'],
  local: [
    '../queues/runs.ts',
    '../processors/task.ts',
    '../http/app.ts',
    '../clients/s3.ts',
    '../cli/put.ts',
    '@aws-sdk/client-s3',
    'bullmq',
    'ioredis',
  ],
};

const planted: readonly Planted[] = [
  ...Object.entries(walls).flatMap(([folder, modules]) => modules.map((module) => importing(folder, module, LAYER))),
  ...['Date.now()', 'new Date()', 'Math.random()', 'performance.now()', "process.env['X']"].map((call) =>
    calling('queues', call, INJECTED),
  ),
  ...['a.secret === b', 'password !== a.b', 'a == apiToken', 'csrfOf(a) !== b', 'hmac(a) === b', 'timingSafeEqual(a, b)'].map(
    (comparison) => calling('http', comparison, INJECTED),
  ),
  ...['a.secret === undefined', "password !== ''", "typeof token === 'string'", 'state === b', 'sameSecret(a, b)'].map((comparison) =>
    calling('http', comparison, undefined),
  ),
  importing('queues', '../schema/ids.ts', undefined),
  importing('processors', '../queues/runs.ts', undefined),
  importing('processors', '../clients/ports.ts', undefined),
  importing('http', '../queues/views.ts', undefined),
  importing('local', '../schema/ids.ts', undefined),
  importing('cli', '../local/store/endpoint-rules.ts', undefined),
  calling('cli', 'Date.now()', undefined),
];

let house: string;
let report: string;

beforeAll(async () => {
  house = await mkdtemp(join(tmpdir(), 'af-house-'));
  for (const name of ['biome.json', 'package.json', 'lint', '.gitignore'])
    await cp(join(root, name), join(house, name), { recursive: true });
  for (const [i, { folder, text }] of planted.entries()) {
    const path = join(house, 'src', folder, `planted-${i}.ts`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const args = [biome, 'lint', '--max-diagnostics=none', '--reporter=github', '--vcs-enabled=false', '--colors=off', 'src'];
  report = await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: house, maxBuffer: 64 * 1024 * 1024 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
});
afterAll(async () => {
  await rm(house, { recursive: true, force: true });
});

/** The rules that complain about a planted file. */
function complaints(i: number): readonly string[] {
  const lines = report.split('\n').filter((line) => line.includes(`planted-${i}.ts`));
  return lines.flatMap((line) => /title=([^,]+),/.exec(line)?.[1] ?? []);
}

it.each(planted.map((one, i) => [one.folder, one.text.split('\n')[0] ?? '', one.rule ?? 'allowed', i] as const))(
  'src/%s: %s → %s',
  (_folder, _line, rule, i) => {
    const found = complaints(i).filter((title) => title === LAYER || title === INJECTED);
    expect([...new Set(found)], report.slice(0, 2000)).toEqual(rule === 'allowed' ? [] : [rule]);
  },
);

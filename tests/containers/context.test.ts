// What a build gets to see of a clone that was worked in: what the image is made of, and none of the secrets beside it.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { build, ROOT } from './build.ts';

const run = promisify(execFile);
const IMAGE = `autofiles:context-test-${process.pid}`;
/** What docker/Dockerfile copies. */
const IN_THE_IMAGE = ['package.json', 'package-lock.json', 'bin', 'src', 'examples/node-starter'];
/** What a folder that was worked in holds besides: keys of the local cloud, of the developer, of npm; what is large; what is private. */
const PLANTED = [
  '.env',
  '.git/config',
  'node_modules/left-pad/index.js',
  'docker/.env',
  'tests/secret.txt',
  'src/.env',
  'src/http/.env.local',
  'bin/.npmrc',
  'examples/node-starter/.env',
  'examples/node-starter/.autofiles/env',
  'examples/node-starter/.autofiles/store/store.sqlite',
  'examples/node-starter/node_modules/left-pad/index.js',
  'examples/node-starter/npm-debug.log',
  'examples/python-starter/.env',
];

let clone: string;
/** Names of the files that the image is made of. */
let made: string[];
beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), 'af-context-'));
  for (const name of ['.dockerignore', 'docker', ...IN_THE_IMAGE])
    await cp(join(ROOT, name), join(clone, name), { recursive: true, filter: (path) => !/[/](\.autofiles|node_modules)$/.test(path) });
  made = await filesUnder(clone, IN_THE_IMAGE);
  for (const file of PLANTED) {
    await mkdir(dirname(join(clone, file)), { recursive: true });
    await writeFile(join(clone, file), 'SECRET=planted\n');
  }
  // in the Dockerfile's place, so that what belongs to the Dockerfile is obeyed too; it needs no base image
  await writeFile(join(clone, 'docker/Dockerfile'), 'FROM scratch\nCOPY . /\nCMD ["nothing"]\n');
});
afterAll(async () => {
  await rm(clone, { recursive: true, force: true });
  await run('docker', ['image', 'rm', '-f', IMAGE]);
});

it('holds what the image is made of, and nothing that was left beside it', async () => {
  await build(IMAGE, { folder: clone });
  const files = (await filesOf(IMAGE)).filter((file) => !file.endsWith('/'));
  expect(files.filter((file) => PLANTED.includes(file))).toEqual([]);
  expect(files.sort()).toEqual(made.sort());
});

async function filesUnder(folder: string, names: readonly string[]): Promise<string[]> {
  const { stdout } = await run('find', [...names, '-type', 'f', '-not', '-name', '.*', '-not', '-name', '*.log'], {
    cwd: folder,
    maxBuffer: 10_000_000,
  });
  return stdout.trim().split('\n');
}

/** Names of all files in an image, without a leading slash, but those that the engine adds for a container. */
async function filesOf(image: string): Promise<string[]> {
  const { stdout } = await run('docker', ['create', image]);
  const container = stdout.trim();
  const archive = join(clone, 'image.tar');
  try {
    await run('docker', ['export', '-o', archive, container]);
    const { stdout } = await run('tar', ['-tf', archive], { maxBuffer: 50_000_000 });
    return stdout
      .trim()
      .split('\n')
      .filter((file) => !/^(\.dockerenv|(dev|etc|proc|sys)\/.*)$/.test(file));
  } finally {
    await run('docker', ['rm', '-f', container]);
  }
}

// docker/compose.yaml as an operator starts it: with Compose 2 (`docker compose`), or with Debian's docker-compose 1.29, which knows all of the file
// but its line `name:` and therefore gets a copy without it.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from './build.ts';

const run = promisify(execFile);

export type Compose = (args: readonly string[]) => Promise<string>;

/** A function that runs Compose on the file with the local profile, as the given project; undefined where there is no Compose. */
export async function findCompose(
  project: string,
  env: NodeJS.ProcessEnv,
): Promise<{ compose: Compose; close(): Promise<void> } | undefined> {
  const works = (command: string, ...args: string[]) =>
    run(command, args).then(
      () => true,
      () => false,
    );
  const second = await works('docker', 'compose', 'version');
  if (!second && !(await works('docker-compose', 'version'))) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'af-compose-'));
  const file = join(folder, 'compose.yaml');
  const text = await readFile(join(ROOT, 'docker/compose.yaml'), 'utf8');
  await writeFile(file, second ? text : text.replace(/^name: .*\n/m, ''));
  const always = ['-f', file, '--project-directory', 'docker', '-p', project, '--env-file', 'docker/local.env', '--profile', 'local'];
  return {
    compose: async (args) => {
      const [command, first] = second ? (['docker', ['compose']] as const) : (['docker-compose', []] as const);
      const { stdout } = await run(command, [...first, ...always, ...args], {
        cwd: ROOT,
        env: { ...process.env, ...env },
        maxBuffer: 50_000_000,
      });
      return stdout;
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

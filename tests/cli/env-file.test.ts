// `.autofiles/env`: what a shell, `heroku local` (Node's parseEnv) and our own commands read from it.
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { findAccess } from '../../src/cli/access.ts';
import { openAppFolder, writeEnvFile } from '../../src/cli/app-folder.ts';
import { keepEnvFile } from '../../src/cli/env-file.ts';
import { until } from '../support/until.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function appIn(name: string): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'af-env-'));
  folders.push(parent);
  const app = join(parent, name);
  await mkdir(app);
  return app;
}

/** The variables as a shell has them that sources the file. */
function inShell(file: string, names: readonly string[]): Record<string, string> {
  const print = names.map((name) => `printf '%s\\0' "$${name}"`).join('; ');
  const printed = execFileSync('sh', ['-c', `set -a; . "$1"; ${print}`, 'sh', file], { env: {} }).toString();
  return Object.fromEntries(
    printed
      .split('\0')
      .slice(0, -1)
      .map((value, index) => [names[index] ?? '', value]),
  );
}

describe('.autofiles/env', () => {
  it.each(['plain', 'two words', "it's an app", 'a "quoted" $HOME `date` \\n', '# %&;|<>!*'])(
    'is the same for a shell, heroku local and our own commands in a folder named %s',
    async (name) => {
      const folder = await openAppFolder(await appIn(name));
      const variables = { FIRST: `${folder.state}/ca.pem`, EMPTY: '', LAST: 'a/b+c=' };
      await writeEnvFile(folder, variables);
      const file = join(folder.state, 'env');
      expect(inShell(file, Object.keys(variables))).toEqual(variables);
      expect(parseEnv(await readFile(file, 'utf8'))).toEqual(variables);
      expect(await findAccess({}, folder.app, 'no fallback')).toEqual(variables);
    },
  );

  it('keeps a config var that has no common form for a shell and our own commands, and the lines behind it for all', async () => {
    const folder = await openAppFolder(await appIn('app'));
    const variables = { LD_ODD: `it's "$odd"\nand on`, LAST: 'x' };
    await writeEnvFile(folder, variables);
    const file = join(folder.state, 'env');
    expect(inShell(file, Object.keys(variables))).toEqual(variables);
    expect(await findAccess({}, folder.app, 'no fallback')).toEqual(variables);
    expect(parseEnv(await readFile(file, 'utf8'))).toMatchObject({ LAST: 'x' });
  });

  it.each([`it's "mine"`, `it's $HOME`, "it's `date`", "it's \\n", 'a\nb'])(
    'refuses a folder named %j, of which there is no such form',
    async (name) => {
      const app = await appIn(name);
      await expect(openAppFolder(app)).rejects.toThrow(
        expect.objectContaining({
          code: 'config_invalid',
          detail: expect.stringMatching(/^--app: found .*expected .*Rename or move the folder\.$/),
        }),
      );
      await expect(readFile(join(app, '.autofiles'))).rejects.toThrow(/ENOENT/);
    },
  );
});

describe('the file while the cloud runs', () => {
  it('outlives a disk that takes nothing: says so once, and is written when it can be', async () => {
    const folder = await openAppFolder(await appIn('app'));
    let secret = 'first';
    const said: string[] = [];
    const kept = await keepEnvFile({
      folder,
      configVars: async () => ({ LD_SECRET: secret }),
      constant: {},
      say: (line) => said.push(line),
    });
    try {
      // as good as a full disk, for root too
      await mkdir(join(folder.state, 'env.new'));
      secret = 'second';
      await until('a failed write', async () => said.length > 0, 20_000);
      expect(said).toEqual([expect.stringMatching(/env could not be written \(.*EISDIR.*\).*tried again/)]);
      expect(await readFile(join(folder.state, 'env'), 'utf8')).toBe("LD_SECRET='first'\n");
      await rm(join(folder.state, 'env.new'), { recursive: true });
      await until('the new secret', async () => (await readFile(join(folder.state, 'env'), 'utf8')) === "LD_SECRET='second'\n", 20_000);
      expect(said).toHaveLength(1);
    } finally {
      await kept.stop();
    }
  });
});

// Processes that are started with gathered-packages.ts load what set-up gathered, and it is the same TypeBox.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = `
  import Type from 'typebox';
  import { Compile } from 'typebox/compile';
  const named = Compile(Type.Object({ name: Type.String({ minLength: 1 }) }));
  const loaded = Object.keys(await import('typebox')).includes('Compile') ? 'gathered' : 'package';
  console.log(JSON.stringify([loaded, named.Check({ name: 'a' }), named.Check({ name: '' }), named.Errors({ name: '' }).map(({ message }) => message)]));
`;

function run(...options: readonly string[]): unknown {
  const { stdout, stderr } = spawnSync(process.execPath, [...options, '--input-type=module', '--eval', PROGRAM], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

it('what set-up gathered is loaded, and decides as the package does', () => {
  const verdicts = [true, false, ['must not have fewer than 1 characters']];
  expect(run('--disable-warning=ExperimentalWarning', '--import', './src/cli/gathered-packages.ts')).toEqual(['gathered', ...verdicts]);
  expect(run()).toEqual(['package', ...verdicts]);
});

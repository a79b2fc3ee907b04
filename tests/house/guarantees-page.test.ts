// docs/guarantees.md names the test of each promise: the files are there, the tests in them are called so, each promise stands there once, and no
// invariant of the chaos checker is left out of the basic promises. What was measured names its commit.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const page = await readFile(join(ROOT, 'docs/guarantees.md'), 'utf8');

/** The rows of the tables of a part of the page, or of all of them. */
function rowsOf(text: string, title = ''): string[][] {
  const part = text.split(/^## /m).filter((one) => title === '' || one.startsWith(`${title}\n`));
  return part.flatMap((one) => [...one.matchAll(/^\| (?!-)(.*)\|$/gm)].map(([, row = '']) => row.split('|').map((cell) => cell.trim())));
}

/** Files of tests that a cell names, each with what it says of the tests in it: `tests/a.test.ts (one; another), tests/b.test.ts`. */
function testsIn(cell: string): { file: string; names: string[] }[] {
  return [...cell.matchAll(/(tests\/[\w/.-]+\.ts)(?: \(([^)]*)\))?/g)].map(([, file = '', names]) => ({
    file,
    names: names === undefined ? [] : names.split('; '),
  }));
}

/** What the page names of tests and is not there. */
async function missing(text: string): Promise<string[]> {
  const faults: string[] = [];
  for (const { file, names } of rowsOf(text).flatMap(([, cell = '']) => testsIn(cell))) {
    const source = await readFile(join(ROOT, file), 'utf8').catch(() => undefined);
    if (source === undefined) faults.push(file);
    else for (const name of names) if (!source.includes(name)) faults.push(`${file} (${name})`);
  }
  return faults;
}

/** What the checker looks at: I1 to I32, and what the chaos runs added. */
async function invariants(): Promise<string[]> {
  const folder = join(ROOT, 'tests/chaos/checker');
  const sources = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')));
  return sources.flatMap((source) => [...source.matchAll(/\blook\(\s*'(\w+)'/g)].map(([, id = '']) => id));
}

it('names tests that are there', async () => {
  expect(rowsOf(page).flatMap(([, cell = '']) => testsIn(cell)).length).toBeGreaterThan(100);
  expect(await missing(page)).toEqual([]);
  const planted = '## x\n\n| a | tests/house/guarantees-page.test.ts (names tests; no such), tests/no.test.ts | |\n';
  expect(await missing(planted.replace('no such', ['n', 'owhere'].join('')))).toEqual([
    `tests/house/guarantees-page.test.ts (${['n', 'owhere'].join('')})`,
    'tests/no.test.ts',
  ]);
});

/** Promises that name no test, or a file without saying which of its tests. */
const unproven = (rows: readonly string[][]): string[] =>
  rows.flatMap(([promise = '', test = '']) => {
    const named = testsIn(test);
    const proven = named.length === 0 ? test.includes('npm run chaos') : named.every(({ names }) => names.length > 0);
    return proven ? [] : [promise];
  });

it('says of each promise which tests hold it, and promises nothing twice', () => {
  for (const title of ['Nothing lost', 'History', 'Launches']) {
    const rows = rowsOf(page, title).slice(1);
    expect(rows.length, title).toBeGreaterThan(10);
    expect(unproven(rows), title).toEqual([]);
  }
  const promises = rowsOf(page).map(([promise = '']) => promise);
  expect(promises.filter((promise, at) => promise !== 'promise' && promises.indexOf(promise) !== at)).toEqual([]);
  const planted = [
    'tests/house/guarantees-page.test.ts',
    'by hand',
    'tests/house/guarantees-page.test.ts (names tests)',
    '`npm run chaos -- --ci`',
  ];
  expect(unproven(planted.map((test) => [test, test]))).toEqual(planted.slice(0, 2));
});

it('has every invariant of the chaos checker among the basic promises, and none that is not looked at', async () => {
  const rows = rowsOf(page, 'The basic promises').slice(1);
  expect(rows.filter(([, test = '']) => testsIn(test).length === 0 && !test.includes('npm run chaos'))).toEqual([]);
  // of the run and not of the engine: that each fault met live work; two versions side by side, which the page says are tried by hand
  const looked = (await invariants()).filter((id) => id !== 'FAULTS' && id !== 'I23');
  expect(looked.length).toBeGreaterThan(30);
  const named = rows
    .flatMap(([, , cell = '']) => cell.match(/\b\w+\b/g) ?? [])
    .filter((word) => /^I\d+$/.test(word) || looked.includes(word));
  expect([...new Set(named)].toSorted()).toEqual(looked.toSorted());
});

it('has reports that each name the commit they were made on', async () => {
  const folder = join(ROOT, 'docs/reports');
  const unnamed: string[] = [];
  for (const name of await readdir(folder))
    if (!/\b(?=[0-9a-f]*[a-f])[0-9a-f]{7}\b/.test(await readFile(join(folder, name), 'utf8'))) unnamed.push(name);
  expect(unnamed).toEqual([]);
});

// The seeded bugs can be planted: each has its place in the source, once, changes it, and names a test that is there; and the page tells of each
// what was seen when it was tried last.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SEEDED_BUGS } from '../seeded/all-bugs.ts';
import { mergedPage, rowOf } from '../seeded/page.ts';
import type { SeededBug } from '../seeded/seeded-bug.ts';

const ROOT = join(import.meta.dirname, '../..');

/** What keeps bugs from being planted, or from being told apart. */
async function faultsOf(bugs: readonly SeededBug[]): Promise<string[]> {
  const read = async (path: string) => await readFile(join(ROOT, path), 'utf8').catch(() => undefined);
  const sources = new Map<string, string | undefined>();
  for (const file of new Set(bugs.map((bug) => bug.file))) sources.set(file, await read(`src/${file}`));
  const names = new Set<string>();
  const faults: string[] = [];
  for (const bug of bugs) {
    const places = sources.get(bug.file)?.split(bug.from).length;
    if (places === undefined) faults.push(`${bug.name}: no src/${bug.file}`);
    else if (places !== 2) faults.push(`${bug.name}: ${places - 1} times in src/${bug.file}`);
    if (bug.from === bug.to) faults.push(`${bug.name}: changes nothing`);
    if ((await read(bug.caughtBy)) === undefined) faults.push(`${bug.name}: no ${bug.caughtBy}`);
    if (names.has(bug.name)) faults.push(`${bug.name}: twice`);
    names.add(bug.name);
  }
  return faults;
}

it('have their places in the source', async () => {
  expect(SEEDED_BUGS.length).toBeGreaterThan(100);
  expect(await faultsOf(SEEDED_BUGS)).toEqual([]);
  const [good] = SEEDED_BUGS;
  if (good === undefined) throw new Error('no bug');
  const planted = [
    good,
    { ...good, name: 'gone', from: 'nothing that stands there' },
    { ...good, name: 'anywhere', from: '\n' },
    { ...good, name: 'no change', to: good.from },
    { ...good, name: 'no file', file: 'no.ts' },
    { ...good, name: 'no test', caughtBy: 'tests/no.test.ts' },
    good,
  ];
  expect(await faultsOf(planted)).toEqual([
    `gone: 0 times in src/${good.file}`,
    expect.stringMatching(/^anywhere: \d{2,} times in /),
    'no change: changes nothing',
    'no file: no src/no.ts',
    'no test: no tests/no.test.ts',
    `${good.name}: twice`,
  ]);
});

it('have a row each on their page, of when each was tried last', () => {
  const bug = (name: string): SeededBug => ({ name, file: 'a.ts', from: 'a', to: 'b', caughtBy: 'tests/a.test.ts', says: /a/ });
  const [first, second, third] = [bug('first'), bug('second'), bug('third')] as const;
  const page = (before: string, bugs: readonly SeededBug[], ...tried: (readonly [SeededBug, string, string, string])[]) =>
    mergedPage(before, bugs, new Map(tried.map(([of, ...seen]) => [of, rowOf(of, ...seen)])), 'a run');
  const rows = (text: string) => text.split('\n').filter((line) => /^\| (first|second|third) /.test(line));
  const before = page('', [first, second, third], [first, 'caught', 'a | b', '1111111'], [second, 'caught', 'old', '1111111']);
  expect(before).toContain('2 of 3 caught, 1 without a line');
  expect(rows(before)).toHaveLength(2);
  // a part is tried: what was not stays as it was
  const after = page(before, [first, second, third], [second, '**unnoticed**', 'new', '2222222+'], [third, 'caught', 'third', '2222222+']);
  expect(rows(after).map((row) => row.replaceAll(/ +/g, ' '))).toEqual([
    '| first | `src/a.ts` | caught | `tests/a.test.ts` | a \\| b | 1111111 |',
    '| second | `src/a.ts` | **unnoticed** | `tests/a.test.ts` | new | 2222222+ |',
    '| third | `src/a.ts` | caught | `tests/a.test.ts` | third | 2222222+ |',
  ]);
  expect(after).toContain('2 of 3 caught. Last put in by a run.');
  // nothing is said of a bug that is gone, or for whose file or test there is another
  expect(
    rows(
      page(after, [
        { ...first, caughtBy: 'tests/b.test.ts' },
        { ...second, file: 'b.ts' },
      ]),
    ),
  ).toEqual([]);
});

// docs/reports/seeded-bugs.md: a row for each bug, of when it was tried last. What was tried now is put in; what was not stays as it was.
import { pageTable } from '../chaos/page-table.ts';
import type { SeededBug } from './seeded-bug.ts';

const HEAD = ['bug', 'file', 'verdict', 'test', 'what it said', 'tried at'];
/** Characters of a failure that are shown in a row. */
const SHOWN = 160;
/** The verdict on a bug whose test went red for it. */
export const CAUGHT = 'caught';

/** One row of the page. `at`: the commit that the bug was planted on. */
export function rowOf(bug: SeededBug, verdict: string, words: string, at: string): readonly string[] {
  return [bug.name, `\`src/${bug.file}\``, verdict, `\`${bug.caughtBy}\``, words.slice(0, SHOWN), at];
}

/** The rows of a page, the head among them. */
function rowsIn(page: string): string[][] {
  const lines = page.split('\n').filter((line) => line.startsWith('| '));
  // a | within a cell is written \|
  return lines.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );
}

/** The row of a bug that a page has, when it is of the same file and test; a row of another was of something else. */
function keptRow(old: ReadonlyMap<string | undefined, string[]>, bug: SeededBug): string[] | undefined {
  const [, file, , test] = rowOf(bug, '', '', '');
  const last = old.get(bug.name);
  return last?.length === HEAD.length && last[1] === file && last[3] === test ? last : undefined;
}

/** Those of the bugs that a page calls caught. */
export function caughtIn(page: string, bugs: readonly SeededBug[]): ReadonlySet<SeededBug> {
  const rows = new Map(rowsIn(page).map((row) => [row[0], row]));
  return new Set(bugs.filter((bug) => keptRow(rows, bug)?.[2] === CAUGHT));
}

/**
 * The page with what was `tried` now. A row of before stays when its bug is still there, in the same file and for the same test; all others
 * were of something else. `how`: what was run, when and on what.
 */
export function mergedPage(
  before: string,
  bugs: readonly SeededBug[],
  tried: ReadonlyMap<SeededBug, readonly string[]>,
  how: string,
): string {
  const old = new Map(rowsIn(before).map((row) => [row[0], row]));
  const rows = bugs.flatMap((bug) => {
    const now = tried.get(bug);
    if (now !== undefined) return [now];
    const last = keptRow(old, bug);
    return last === undefined ? [] : [last];
  });
  const caught = rows.filter(([, , verdict]) => verdict === CAUGHT).length;
  const without = bugs.length - rows.length;
  return [
    '# Seeded bugs',
    '',
    'What the tests are worth: each line is a bug that was planted in a copy of the engine, the test that went red for it, and what that test said: a test that is red',
    'for another reason than the bug has not caught it. Each line is of the commit that it names, a `+` behind which stands for changes that were not committed yet:',
    '`npm run seeded-bugs` tries all bugs, `-- --only TEXT` those whose name or test has the text, `-- --left` those that are not caught here; each puts in what it has tried.',
    '',
    `${caught} of ${bugs.length} caught${without > 0 ? `, ${without} without a line: not tried since lines are kept one by one` : ''}. Last put in by ${how}.`,
    '',
    pageTable([HEAD, ...rows]),
    '',
  ].join('\n');
}

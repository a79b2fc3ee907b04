/** A page of a list whose entries share a delimiter: those that go on behind it are rolled up into their common prefix. */
export type RolledPage<T> = { entries: T[]; prefixes: string[]; truncated: boolean; last: { key: string; id: string } | undefined };

/**
 * Cuts a sorted list to a page of at most `max` entries and prefixes. `passed`: a common prefix that the page before ended
 * with, not to be shown again.
 */
export function rollUp<T extends { key: string; id: string }>(
  sorted: T[],
  { prefix, delimiter, max, passed }: { prefix: string; delimiter: string; max: number; passed: string | undefined },
): RolledPage<T> {
  const page: RolledPage<T> = { entries: [], prefixes: [], truncated: false, last: undefined };
  for (const entry of sorted) {
    const cut = delimiter === '' ? -1 : entry.key.indexOf(delimiter, prefix.length);
    const common = cut < 0 ? undefined : entry.key.slice(0, cut + delimiter.length);
    if (common !== undefined && (common === page.prefixes.at(-1) || common === passed)) continue;
    if (page.entries.length + page.prefixes.length >= max) {
      page.truncated = max > 0;
      return page;
    }
    if (common === undefined) page.entries.push(entry);
    else page.prefixes.push(common);
    page.last = common === undefined ? { key: entry.key, id: entry.id } : { key: common, id: '' };
  }
  return page;
}

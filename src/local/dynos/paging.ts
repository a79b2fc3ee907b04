import type { Context } from 'hono';
import { ApiError } from './api-error.ts';

// heroku.md 2.1: 200 to a page unless asked, 1,000 at most.
const defaultPage = 200;
const longestPage = 1_000;

/**
 * Answers a list in Heroku's pages: sorted by id, `Range: id ]after..until; max=N; order=asc|desc`, 206 with Next-Range while more follows.
 * @throws {ApiError} 416 for a Range that is not understood.
 */
export function pageOf<T extends { id: string }>(c: Context, items: readonly T[], toJson: (item: T) => Record<string, unknown>): Response {
  return pageBy(c, items, 'id', ({ id }) => id, toJson);
}

/** The same for a list that is sorted by another member; `keyOf` gives its text (uuids, whole numbers). */
export function pageBy<T>(
  c: Context,
  items: readonly T[],
  key: string,
  keyOf: (item: T) => string,
  toJson: (item: T) => Record<string, unknown>,
): Response {
  const range = parseRange(c.req.header('range') ?? '', key);
  const direction = range.descending ? -1 : 1;
  const sorted = items.toSorted((a, b) => compare(keyOf(a), keyOf(b)) * direction);
  const rest = sorted.filter((item) => {
    const id = keyOf(item);
    const [low, high] = range.descending ? [range.until, range.from] : [range.from, range.until];
    return (low === '' || compare(id, low) >= 0) && (high === '' || compare(id, high) <= 0) && id !== range.excluded;
  });
  const page = rest.slice(0, range.max);
  const last = page.at(-1);
  c.header('Accept-Ranges', key);
  if (page[0] !== undefined && last !== undefined) c.header('Content-Range', `${key} ${keyOf(page[0])}..${keyOf(last)}`);
  if (last === undefined || page.length === rest.length) return c.json(page.map(toJson));
  c.header('Next-Range', `${key} ]${keyOf(last)}..${range.until}; max=${range.max}${range.descending ? ', order=desc' : ''}`);
  return c.json(page.map(toJson), 206);
}

// Shorter first, so that whole numbers compare as numbers; uuids have one length.
function compare(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

interface Range {
  from: string;
  until: string;
  excluded: string | undefined;
  max: number;
  descending: boolean;
}

function parseRange(header: string, key: string): Range {
  if (header.trim() === '') return { from: '', until: '', excluded: undefined, max: defaultPage, descending: false };
  const found = /^(\w+)(?:\s+(\]?)([^\s;,\].]*)\.\.([^\s;,\].]*))?\s*(?:;\s*(.*))?$/.exec(header.trim());
  if (found === null || found[1] !== key) {
    throw new ApiError(416, 'requested_range_not_satisfiable', `Range is ${JSON.stringify(header)}; expected "${key} ..; max=200"`);
  }
  const [, , open = '', from = '', until = '', options = ''] = found;
  const max = Number(/\bmax\s*=\s*(\d+)/.exec(options)?.[1] ?? defaultPage);
  return {
    from,
    until,
    excluded: open === ']' ? from : undefined,
    max: Math.min(longestPage, Math.max(1, max)),
    descending: /\border\s*=\s*desc\b/.test(options),
  };
}

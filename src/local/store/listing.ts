import type { Bucket } from './buckets.ts';
import type { Database } from './database.ts';

/** One line of a list of objects. */
export type ListedVersion = {
  id: number;
  key: string;
  version: string;
  current: boolean;
  marker: boolean;
  etag: string;
  size: number;
  modified: number;
  storageClass: string | undefined;
  checksum: { algorithm: string; type: string } | undefined;
};

/** A page of a list: keys in the order of their UTF-8 bytes, common prefixes rolled up; `next` is where the following page begins. */
export type Page<T> = { entries: T[]; prefixes: string[]; truncated: boolean; last: { key: string; id?: number } | undefined };

/** What to list. `after`: the last key (or common prefix) of the page before; with `id`, the last version of that key. */
type ListOptions = { prefix: string; delimiter: string; max: number; after?: { key: string; id?: number | undefined } | undefined };

/** Lists of objects and versions. */
export type Listing = {
  objects(bucket: Bucket, options: ListOptions): Page<ListedVersion>;
  versions(bucket: Bucket, options: ListOptions): Page<ListedVersion>;
};

type Row = {
  id: number;
  key: Uint8Array;
  version: string;
  current: number;
  marker: number;
  etag: string;
  size: number;
  modified: number;
  attributes: string;
};

const COLUMNS = 'id, key, version, current, marker, etag, size, modified, attributes';
// Rows fetched at a time at most; skipping a common prefix starts a new fetch.
const BATCH = 250;

/** Opens the lists over the store's file. */
export function openListing(deps: { db: Database }): Listing {
  const { db } = deps;
  const objects = db.query<Row>(
    `SELECT ${COLUMNS} FROM versions WHERE bucket = ? AND key >= ? AND current = 1 AND marker = 0 ORDER BY key LIMIT ?`,
  );
  const sameKey = db.query<Row>(`SELECT ${COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND id < ? ORDER BY id DESC LIMIT ?`);
  const versions = db.query<Row>(`SELECT ${COLUMNS} FROM versions WHERE bucket = ? AND key >= ? ORDER BY key, id DESC LIMIT ?`);

  function* scanObjects(bucket: Bucket, from: Buffer, batch: number): Scan {
    let start = from;
    for (;;) {
      const rows = objects.all(bucket.id, start, batch);
      for (const row of rows) {
        const skip: Buffer | undefined = yield row;
        if (skip) {
          start = skip;
          break;
        }
        start = successor(Buffer.from(row.key));
      }
      if (rows.length === 0) return;
    }
  }

  function* scanVersions(bucket: Bucket, from: Buffer, batch: number, within?: { key: Buffer; id: number }): Scan {
    let start = from;
    let inside = within;
    for (;;) {
      // First the rest of a key that was begun, then whatever follows it.
      const rows: Row[] = inside ? sameKey.all(bucket.id, inside.key, inside.id, batch) : versions.all(bucket.id, start, batch);
      let skipped = false;
      for (const row of rows) {
        const skip: Buffer | undefined = yield row;
        if (skip) {
          start = skip;
          skipped = true;
          break;
        }
      }
      const last = rows.at(-1);
      if (skipped) inside = undefined;
      else if (last) {
        const key = Buffer.from(last.key);
        inside = { key, id: last.id };
        start = successor(key);
      } else if (inside) inside = undefined;
      else return;
    }
  }

  return {
    objects(bucket, options) {
      return collect(scanObjects(bucket, firstKey(options), batchFor(options)), options);
    },
    versions(bucket, options) {
      const { after } = options;
      const batch = batchFor(options);
      if (after?.id === undefined) return collect(scanVersions(bucket, firstKey(options), batch), options);
      const key = Buffer.from(after.key);
      return collect(scanVersions(bucket, successor(key), batch, { key, id: after.id }), options);
    },
  };
}

/** Yields rows in order; what is passed to `next` is the key to go on from instead. */
type Scan = Generator<Row, void, Buffer | undefined>;

function collect(scan: Scan, { prefix, delimiter, max, after }: ListOptions): Page<ListedVersion> {
  const page: Page<ListedVersion> = { entries: [], prefixes: [], truncated: false, last: undefined };
  if (max === 0) return page;
  let skip: Buffer | undefined;
  for (;;) {
    const { value: row, done } = scan.next(skip);
    skip = undefined;
    if (done || !row) return page;
    const key = Buffer.from(row.key).toString('utf8');
    if (!key.startsWith(prefix)) return page;
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const common = cut < 0 ? undefined : key.slice(0, cut + delimiter.length);
    if (common !== undefined && after?.key === common) {
      // The page before ended with this common prefix.
      skip = afterAll(Buffer.from(common));
      if (!skip) return page;
      continue;
    }
    if (page.entries.length + page.prefixes.length >= max) {
      page.truncated = true;
      return page;
    }
    if (common === undefined) {
      page.entries.push(listed(row, key));
      page.last = { key, id: row.id };
      continue;
    }
    page.prefixes.push(common);
    page.last = { key: common };
    skip = afterAll(Buffer.from(common));
    if (!skip) return page;
  }
}

function batchFor({ max }: ListOptions): number {
  // One more than the page holds tells whether another page follows.
  return Math.min(BATCH, max + 1);
}

function firstKey({ prefix, after }: ListOptions): Buffer {
  const start = Buffer.from(prefix);
  if (!after) return start;
  const next = successor(Buffer.from(after.key));
  return Buffer.compare(next, start) > 0 ? next : start;
}

/** The smallest key above this one. */
function successor(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

/** The smallest key above all keys that begin with these bytes; undefined when there is none. */
function afterAll(prefix: Buffer): Buffer | undefined {
  const next = Buffer.from(prefix);
  for (let index = next.length - 1; index >= 0; index -= 1) {
    const byte = next[index] ?? 0;
    if (byte < 0xff) {
      next[index] = byte + 1;
      return next.subarray(0, index + 1);
    }
  }
  return undefined;
}

function listed(row: Row, key: string): ListedVersion {
  // Written by objects.ts as ObjectAttributes; only these two are shown in lists.
  const attributes = JSON.parse(row.attributes) as { headers: Record<string, string>; checksum?: { algorithm: string; type: string } };
  return {
    id: row.id,
    key,
    version: row.version,
    current: row.current === 1,
    marker: row.marker === 1,
    etag: row.etag,
    size: row.size,
    modified: row.modified,
    storageClass: attributes.headers['x-amz-storage-class'],
    checksum: attributes.checksum,
  };
}

// `autofiles export`: takes the bucket along before the add-on is removed: every file with its metadata, and the history of every ended run, which
// lies in the bucket. May be broken off and begun again: what is there already is not fetched again.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { BucketReader, ListedFile } from '../clients/s3-reader.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { createExportPlaces, type ExportPlaces } from './export-path.ts';

/** The list of what was taken along, in the folder itself: a line of JSON for each file. */
const MANIFEST = 'export.jsonl';
/** A folder of ours in it; no key's path begins so (export-path.ts encodes `%`). */
const PARTS = '%parts';
/** What a file system says of a file where a folder is to be, and the other way round. */
const IN_THE_WAY: ReadonlySet<string> = new Set(['EEXIST', 'ENOTDIR', 'EISDIR', 'ENOTEMPTY']);
/** Files that are fetched at a time. */
const AT_A_TIME = 8;

const Entry = Type.Object({
  key: Type.String(),
  /** Relative to the folder. */
  path: Type.String(),
  version_id: Type.String(),
  etag: Type.String(),
  /** Bytes. */
  size: Type.Number(),
  sha256: Type.String(),
  content_type: Type.Union([Type.String(), Type.Null()]),
  metadata: Type.Record(Type.String(), Type.String()),
  modified_at: Type.String(),
});
/** What the manifest says of a file. */
type ExportEntry = Static<typeof Entry>;
const entry = Compile(Entry);

interface ExportReport {
  readonly fetched: number;
  /** Were there from an export before, unchanged. */
  readonly kept: number;
  /** Bytes fetched. */
  readonly bytes: number;
  /** Files that could not be fetched, each with its reason. */
  readonly failed: readonly string[];
}

/**
 * Exports all files below `prefix` into `folder`. A file counts only when its bytes are those that S3 announced; it appears in the folder whole or not at
 * all. `say` gets a line a file. Rejects with Failure when the bucket cannot be listed or the folder not be written.
 */
export async function exportBucket(deps: {
  reader: Pick<BucketReader, 'files' | 'open'>;
  bucket: string;
  prefix: string;
  folder: string;
  say: (line: string) => void;
  signal: AbortSignal;
}): Promise<ExportReport> {
  const { reader, bucket, folder, signal, say } = deps;
  await mkdir(join(folder, PARTS), { recursive: true });
  const before = await readManifest(join(folder, MANIFEST));
  const places = createExportPlaces(before.values(), MANIFEST);
  const manifest = await open(join(folder, MANIFEST), 'a');
  // a line that a broken export left in half must not swallow the next one
  if ((await manifest.stat()).size > 0) await manifest.appendFile('\n');
  let [fetched, kept, bytes] = [0, 0, 0];
  const failed: string[] = [];

  const one = async (file: ListedFile): Promise<void> => {
    const known = before.get(file.key);
    if (known !== undefined && !places.isDoubtful(file.key) && (await isThere(folder, known, file))) {
      kept += 1;
      return;
    }
    try {
      const written = await fetchFile(reader, { bucket, key: file.key, known: known?.path, folder, places }, signal);
      // deleted between list and fetch: it is not part of the bucket any more
      if (written === undefined) return;
      await manifest.appendFile(`${JSON.stringify(written)}\n`);
      fetched += 1;
      bytes += written.size;
      say(`${written.path}  ${written.size} bytes`);
    } catch (error) {
      signal.throwIfAborted();
      failed.push(`${JSON.stringify(file.key)}: ${messageOf(error)}`);
    }
  };

  const running = new Set<Promise<void>>();
  try {
    for await (const file of reader.files(bucket, deps.prefix, signal)) {
      const work = one(file).finally(() => running.delete(work));
      running.add(work);
      if (running.size >= AT_A_TIME) await Promise.race(running);
    }
    await Promise.all(running);
    signal.throwIfAborted();
    await manifest.sync();
    await rm(join(folder, PARTS), { recursive: true, force: true });
  } finally {
    // one that is broken off takes its part away, which the next export may be writing by then
    await Promise.allSettled(running);
    await manifest.close();
  }
  return { fetched, kept, bytes, failed };
}

async function fetchFile(
  reader: Pick<BucketReader, 'open'>,
  order: { bucket: string; key: string; known: string | undefined; folder: string; places: ExportPlaces },
  signal: AbortSignal,
): Promise<ExportEntry | undefined> {
  const { key, folder } = order;
  const opened = await reader.open(order.bucket, key, { signal });
  if (opened === undefined) return undefined;
  const hash = createHash('sha256');
  let size = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  const part = join(folder, PARTS, createHash('sha256').update(key).digest('hex'));
  let path: string;
  try {
    await pipeline(opened.body, counted, createWriteStream(part, { flush: true }), { signal });
    if (size !== opened.size) throw new Failure('s3_unavailable', `Found ${size} bytes, expected ${opened.size}.`);
    path = await place(part, order);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  return {
    key,
    path,
    version_id: opened.versionId,
    etag: opened.etag,
    size,
    sha256: hash.digest('hex'),
    content_type: opened.contentType ?? null,
    metadata: { ...opened.metadata },
    modified_at: new Date(opened.modifiedAt).toISOString(),
  };
}

/** Moves a fetched file to its place; answers with its path. A key such as `a/b` beside a file `a` gets one name for both parts. */
async function place(
  part: string,
  { key, known, folder, places }: { key: string; known: string | undefined; folder: string; places: ExportPlaces },
): Promise<string> {
  let inTheWay: unknown;
  for (const path of places.of(key, known)) {
    if (!places.take(path, key)) continue;
    try {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await rename(part, join(folder, path));
      return path;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (!IN_THE_WAY.has(code)) throw error;
      inTheWay = error;
    }
  }
  throw inTheWay;
}

async function isThere(folder: string, known: ExportEntry, file: ListedFile): Promise<boolean> {
  if (known.etag !== file.etag || known.size !== file.size) return false;
  const found = await stat(join(folder, known.path)).catch(() => undefined);
  return found?.isFile() === true && found.size === file.size;
}

/** The newest line of each key. A last line that a broken export left in half is none. */
async function readManifest(path: string): Promise<ReadonlyMap<string, ExportEntry>> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const entries = text.split('\n').flatMap((line): [string, ExportEntry][] => {
    try {
      const parsed: unknown = JSON.parse(line);
      return entry.Check(parsed) ? [[parsed.key, parsed]] : [];
    } catch {
      return [];
    }
  });
  return new Map(entries);
}

import { mkdirSync, readdirSync, rmSync, unlinkSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Database, idsOf } from './database.ts';

/** A run of bytes of one blob: [blob id, offset, length]. A body is a list of them, so copies and parts share bytes. */
export type Segment = [blob: number, offset: number, length: number];

/** A received body that no row names yet: in memory when small, else a finished file. */
export type StagedBody = { size: number; data?: Buffer; file?: string };

/** Takes a body piece by piece. Write returns a promise only when it has to wait for the disk. */
type BodySink = {
  write(chunk: Buffer): Promise<void> | undefined;
  /** Makes the body durable; for a file: fsync and rename into place. */
  finish(): Promise<StagedBody>;
  /** Throws away what was written. */
  abort(): Promise<void>;
};

/** The bytes of all objects and parts, with a count of who uses them. */
export type Blobs = {
  sink(): BodySink;
  /** Throws away a staged body that did not become a row. */
  discard(staged: StagedBody): Promise<void>;
  /** Inside a transaction: turns a staged body into segments. */
  keep(staged: StagedBody): Segment[];
  /** Inside a transaction: one more user of these bytes. False when some of them are gone meanwhile. */
  retain(segments: Segment[]): boolean;
  /** Inside a transaction: one user less; bytes without a user go once nobody reads them. */
  release(segments: Segment[]): void;
  /** The bytes in one buffer when they are all in the database; undefined when a file has to be read. */
  inline(segments: Segment[]): Buffer | undefined;
  /** The bytes piece by piece, readable to the end even when released meanwhile. Must be read to the end or returned. */
  read(segments: Segment[]): AsyncGenerator<Buffer, void, void>;
};

// Bodies up to this many bytes live in SQLite: one write instead of a file made, synced and renamed.
const INLINE_BYTES = 64 * 1024;
const READ_BYTES = 256 * 1024;

type BlobRow = { refs: number; file: string | null; data: Uint8Array | null };

/** Opens the blob folder below `dir` and removes files that no row names (left by a killed process). */
export function openBlobs(deps: { db: Database; dir: string; id: () => string }): Blobs {
  const { db, id } = deps;
  const root = join(deps.dir, 'blobs');
  const temporary = join(deps.dir, 'tmp');
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
  mkdirSync(root, { recursive: true, mode: 0o700 });
  removeUnnamed(db, root);

  const insert = db.command('INSERT INTO blobs (id, refs, size, file, data) VALUES (?, 1, ?, ?, ?)');
  const nextId = idsOf(db, 'blobs');
  const count = db.command('UPDATE blobs SET refs = refs + ? WHERE id = ?');
  const remove = db.command('DELETE FROM blobs WHERE id = ?');
  const load = db.query<BlobRow>('SELECT refs, file, data FROM blobs WHERE id = ?');
  const usage = db.query<{ refs: number; file: string | null }>('SELECT refs, file FROM blobs WHERE id = ?');
  const readers = new Map<string, { count: number; doomed: boolean }>();

  function dropFile(file: string): void {
    const reader = readers.get(file);
    if (reader) reader.doomed = true;
    else rmSync(join(root, file), { force: true });
  }

  function unpin(file: string): void {
    const reader = readers.get(file);
    if (!reader) return;
    reader.count -= 1;
    if (reader.count > 0) return;
    readers.delete(file);
    if (reader.doomed) rmSync(join(root, file), { force: true });
  }

  function pin(file: string): void {
    const reader = readers.get(file) ?? { count: 0, doomed: false };
    reader.count += 1;
    readers.set(file, reader);
  }

  function read(segments: Segment[]): AsyncGenerator<Buffer, void, void> {
    const sources = segments.map((segment) => ({ segment, blob: load.get(segment[0]) }));
    const files = sources.flatMap(({ blob }) => (blob?.file ? [blob.file] : []));
    for (const file of files) pin(file);
    return pinned(chunks(sources), () => {
      for (const file of files.splice(0)) unpin(file);
    });
  }

  async function* chunks(sources: { segment: Segment; blob: BlobRow | undefined }[]): AsyncGenerator<Buffer, void, void> {
    for (const { segment, blob } of sources) {
      const [id, offset, length] = segment;
      if (blob?.data) yield view(blob.data).subarray(offset, offset + length);
      else if (blob?.file) yield* readFile(join(root, blob.file), offset, length);
      else throw new Error(`blob ${id} is gone although a row names it`);
    }
  }

  return {
    sink: () => createSink({ temporary, root, id }),
    async discard(staged) {
      if (staged.file) await rm(join(root, staged.file), { force: true });
    },
    keep(staged) {
      if (staged.size === 0) return [];
      const blob = nextId();
      insert(blob, staged.size, staged.file ?? null, staged.data ?? null);
      return [[blob, 0, staged.size]];
    },
    retain(segments) {
      return [...new Set(segments.map(([blob]) => blob))].every((blob) => count(1, blob).changes === 1);
    },
    release(segments) {
      for (const blob of new Set(segments.map(([id]) => id))) {
        const row = usage.get(blob);
        if (!row) continue;
        if (row.refs > 1) {
          count(-1, blob);
          continue;
        }
        remove(blob);
        const { file } = row;
        if (file) db.afterCommit(() => dropFile(file));
      }
    },
    inline(segments) {
      const pieces: Buffer[] = [];
      for (const [blob, offset, length] of segments) {
        const row = load.get(blob);
        if (!row?.data) return undefined;
        pieces.push(view(row.data).subarray(offset, offset + length));
      }
      return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
    },
    read,
  };
}

function createSink(deps: { temporary: string; root: string; id: () => string }): BodySink {
  let pieces: Buffer[] = [];
  let size = 0;
  let file: { handle: FileHandle; path: string } | undefined;

  async function spill(): Promise<void> {
    const path = join(deps.temporary, deps.id());
    file = { handle: await open(path, 'wx', 0o600), path };
    const held = Buffer.concat(pieces);
    pieces = [];
    await file.handle.writeFile(held);
  }

  return {
    write(chunk) {
      size += chunk.length;
      if (file) return file.handle.writeFile(chunk);
      pieces.push(chunk);
      return size > INLINE_BYTES ? spill() : undefined;
    },
    async finish() {
      if (!file) return { size, data: pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces) };
      const { handle, path } = file;
      await handle.sync();
      await handle.close();
      const name = deps.id();
      const folder = name.slice(-2);
      await mkdir(join(deps.root, folder), { recursive: true, mode: 0o700 });
      await rename(path, join(deps.root, folder, name));
      file = undefined;
      return { size, file: `${folder}/${name}` };
    },
    async abort() {
      pieces = [];
      if (!file) return;
      const { handle, path } = file;
      file = undefined;
      await handle.close();
      await rm(path, { force: true });
    },
  };
}

// A generator that was never started runs no `finally`, so the unpinning hangs on the methods.
function pinned(source: AsyncGenerator<Buffer, void, void>, unpin: () => void): AsyncGenerator<Buffer, void, void> {
  return {
    async next() {
      const result = await source.next().catch((error: unknown) => {
        unpin();
        throw error;
      });
      if (result.done) unpin();
      return result;
    },
    async return() {
      const result = await source.return();
      unpin();
      return result;
    },
    async throw(error: unknown) {
      unpin();
      return await source.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    async [Symbol.asyncDispose]() {
      await this.return();
    },
  };
}

async function* readFile(path: string, offset: number, length: number): AsyncGenerator<Buffer, void, void> {
  const handle = await open(path, 'r');
  try {
    let position = offset;
    const end = offset + length;
    while (position < end) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(READ_BYTES, end - position)), 0, null, position);
      if (bytesRead === 0) throw new Error(`the file ${path} ends at ${position}, before the expected ${end} bytes`);
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

function view(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

function removeUnnamed(db: Database, root: string): void {
  const rows = db.query<{ file: string }>('SELECT file FROM blobs WHERE file IS NOT NULL').all();
  const named = new Set(rows.map((row) => row.file));
  for (const folder of readdirSync(root)) {
    for (const name of readdirSync(join(root, folder))) {
      if (!named.has(`${folder}/${name}`)) unlinkSync(join(root, folder, name));
    }
  }
}

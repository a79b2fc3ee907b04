import type { Blobs, Segment, StagedBody } from './blobs.ts';
import type { Bucket } from './buckets.ts';
import type { Checksum, ChecksumAlgorithm } from './checksums.ts';
import type { Database } from './database.ts';
import type { ObjectAttributes } from './objects.ts';
import { S3Error } from './s3-error.ts';
import type { Sequence } from './sequence.ts';
import { writeVersionId } from './version-id.ts';

/** A multipart upload under way. Its id sorts by the time of its beginning. */
export type Upload = {
  id: string;
  bucket: number;
  key: string;
  /** Milliseconds since 1970. */
  created: number;
  attributes: ObjectAttributes;
  algorithm: ChecksumAlgorithm | undefined;
  checksumType: Checksum['type'] | undefined;
};

/** One part of an upload. */
export type Part = { number: number; size: number; etag: string; modified: number; checksum: Checksum | undefined; segments: Segment[] };

/** A body to become a part. */
type NewPart = {
  number: number;
  body: { staged: StagedBody } | { segments: Segment[] };
  size: number;
  etag: string;
  checksum: Checksum | undefined;
};

/** Where a list of uploads begins: behind all uploads of a key, or behind one of them. */
type UploadMarker = { key: string; uploadId: string | undefined };

/** The multipart uploads under way. */
export type Uploads = {
  create(bucket: Bucket, upload: Pick<Upload, 'key' | 'attributes' | 'algorithm' | 'checksumType'>): Upload;
  /** Throws S3Error NoSuchUpload. */
  get(bucket: Bucket, key: string, id: string): Upload;
  /** Keeps a part; one with the same number goes. Throws S3Error NoSuchUpload when the upload ended meanwhile. Returns its time. */
  putPart(bucket: Bucket, upload: Upload, part: NewPart): number;
  /** Parts in the order of their numbers, after the number `after`. */
  parts(upload: Upload, after: number, max: number): Part[];
  /** Uploads in the order of keys, then of their beginning. */
  list(bucket: Bucket, from: { prefix: string; after: UploadMarker | undefined; max: number }): Upload[];
  /** Throws away an upload and its parts; inside the running transaction when there is one. */
  drop(upload: Upload): void;
  /** Inside a transaction: throws away all uploads of a bucket. */
  dropAll(bucket: Bucket): void;
  /** Inside a transaction: remembers the answer to a completion, for a client that asks again because it never got it. */
  remember(bucket: Bucket, upload: Upload, answer: string): void;
  /** The remembered answer to a completion. */
  recall(bucket: Bucket, key: string, id: string): string | undefined;
};

type UploadRow = {
  id: string;
  bucket: number;
  key: Uint8Array;
  created: number;
  attributes: string;
  algorithm: ChecksumAlgorithm | null;
  checksum_type: Checksum['type'] | null;
};
type PartRow = { number: number; size: number; etag: string; modified: number; checksums: string; segments: string };

// A client that lost the answer asks again within seconds; a day is plenty.
const REMEMBER_MS = 24 * 3600 * 1000;

/** Opens the uploads kept in the store's file. */
export function openUploads(deps: { db: Database; blobs: Blobs; sequence: Sequence; now: () => number; token: () => string }): Uploads {
  const { db, blobs, sequence, now, token } = deps;
  const insert = db.command(
    'INSERT INTO uploads (id, bucket, key, created, attributes, algorithm, checksum_type) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const load = db.query<UploadRow>('SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?');
  const page = db.query<UploadRow>('SELECT * FROM uploads WHERE bucket = ? AND (key, id) > (?, ?) ORDER BY key, id LIMIT ?');
  const all = db.query<UploadRow>('SELECT * FROM uploads WHERE bucket = ?');
  const removeUpload = db.command('DELETE FROM uploads WHERE id = ?');
  const insertPart = db.command(
    'INSERT INTO parts (upload, number, size, etag, modified, checksums, segments) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const loadPart = db.query<PartRow>('SELECT * FROM parts WHERE upload = ? AND number = ?');
  const pageParts = db.query<PartRow>('SELECT * FROM parts WHERE upload = ? AND number > ? ORDER BY number LIMIT ?');
  const removePart = db.command('DELETE FROM parts WHERE upload = ? AND number = ?');
  const saveAnswer = db.command('INSERT INTO completed_uploads (id, bucket, key, answer, completed) VALUES (?, ?, ?, ?, ?)');
  const loadAnswer = db.query<{ answer: string }>('SELECT answer FROM completed_uploads WHERE id = ? AND bucket = ? AND key = ?');
  const forget = db.command('DELETE FROM completed_uploads WHERE bucket = ?');
  db.command('DELETE FROM completed_uploads WHERE completed < ?')(now() - REMEMBER_MS);

  function drop(upload: Upload): void {
    db.transaction(() => {
      for (const row of pageParts.all(upload.id, 0, -1)) {
        blobs.release(toPart(row).segments);
        removePart(upload.id, row.number);
      }
      removeUpload(upload.id);
    });
  }

  return {
    create(bucket, { key, attributes, algorithm, checksumType }) {
      const id = writeVersionId(sequence.next(), token());
      const created = now();
      insert(id, bucket.id, Buffer.from(key), created, JSON.stringify(attributes), algorithm ?? null, checksumType ?? null);
      return { id, bucket: bucket.id, key, created, attributes, algorithm, checksumType };
    },
    get(bucket, key, id) {
      const row = load.get(id, bucket.id, Buffer.from(key));
      if (!row) throw new S3Error('NoSuchUpload', undefined, { details: { UploadId: id } });
      return toUpload(row);
    },
    putPart(bucket, upload, { number, body, size, etag, checksum }) {
      const modified = now();
      return db.transaction(() => {
        if (!load.get(upload.id, bucket.id, Buffer.from(upload.key)))
          throw new S3Error('NoSuchUpload', undefined, { details: { UploadId: upload.id } });
        const segments = 'staged' in body ? blobs.keep(body.staged) : body.segments;
        if ('segments' in body && !blobs.retain(segments)) throw new S3Error('NoSuchKey', 'The source of the copy was deleted meanwhile.');
        const held = loadPart.get(upload.id, number);
        if (held) {
          blobs.release(toPart(held).segments);
          removePart(upload.id, number);
        }
        insertPart(upload.id, number, size, etag, modified, JSON.stringify(checksum ?? null), JSON.stringify(segments));
        return modified;
      });
    },
    parts: (upload, after, max) => pageParts.all(upload.id, after, max).map(toPart),
    list(bucket, { prefix, after, max }) {
      const start = Buffer.from(prefix);
      const key = Buffer.from(after?.key ?? '');
      // Behind all uploads of a key: `~` sorts after every id.
      const marker = after && Buffer.compare(key, start) >= 0 ? { key, id: after.uploadId ?? '~' } : { key: start, id: '' };
      const found: Upload[] = [];
      for (const row of page.all(bucket.id, marker.key, marker.id, max)) {
        const upload = toUpload(row);
        if (!upload.key.startsWith(prefix)) break;
        found.push(upload);
      }
      return found;
    },
    drop,
    dropAll(bucket) {
      for (const row of all.all(bucket.id)) drop(toUpload(row));
      forget(bucket.id);
    },
    remember(bucket, upload, answer) {
      saveAnswer(upload.id, bucket.id, Buffer.from(upload.key), answer, now());
    },
    recall: (bucket, key, id) => loadAnswer.get(id, bucket.id, Buffer.from(key))?.answer,
  };
}

function toUpload(row: UploadRow): Upload {
  return {
    id: row.id,
    bucket: row.bucket,
    key: Buffer.from(row.key).toString('utf8'),
    created: row.created,
    // Written by `create` above.
    attributes: JSON.parse(row.attributes) as ObjectAttributes,
    algorithm: row.algorithm ?? undefined,
    checksumType: row.checksum_type ?? undefined,
  };
}

function toPart(row: PartRow): Part {
  return {
    number: row.number,
    size: row.size,
    etag: row.etag,
    modified: row.modified,
    // Both texts were written by `putPart` above.
    checksum: (JSON.parse(row.checksums) as Checksum | null) ?? undefined,
    segments: JSON.parse(row.segments) as Segment[],
  };
}

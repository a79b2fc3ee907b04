import type { Blobs, Segment, StagedBody } from './blobs.ts';
import type { Bucket } from './buckets.ts';
import type { Checksum } from './checksums.ts';
import type { Database } from './database.ts';
import type { Events, ObjectChange, Requester } from './events.ts';
import { S3Error } from './s3-error.ts';
import type { Sequence } from './sequence.ts';
import { readVersionId, writeVersionId } from './version-id.ts';

/** What is kept with a body: headers to be given back, user metadata, checksum, sizes of the parts it was made of. */
export type ObjectAttributes = {
  headers: Record<string, string>;
  metadata: Record<string, string>;
  checksum?: Checksum;
  parts?: number[];
};

/** One version of an object, or a delete marker. */
export type ObjectVersion = {
  id: number;
  key: string;
  /** 'null' for a version made while the bucket had no versions. */
  version: string;
  current: boolean;
  marker: boolean;
  /** Without quotes. */
  etag: string;
  size: number;
  /** Milliseconds since 1970. */
  modified: number;
  attributes: ObjectAttributes;
  segments: Segment[];
};

/** A body to become an object: one that was just received, or bytes that the store holds already. */
type NewBody = { staged: StagedBody } | { segments: Segment[] };

/** Checked against the current version in the transaction of the write itself. Throws S3Error to refuse it. */
export type Precondition = (current: ObjectVersion | undefined) => void;

/** The objects of all buckets. */
export type Objects = {
  /** Writes a new current version and its events in one transaction. `also` runs in it too, last. */
  put(
    bucket: Bucket,
    object: { key: string; body: NewBody; etag: string; size: number; attributes: ObjectAttributes },
    change: {
      event: ObjectChange['event'];
      requester: Requester;
      precondition?: Precondition | undefined;
      also?: () => void;
    },
  ): PutResult;
  /** The current version (also when it is a delete marker), or the one named. */
  find(bucket: Bucket, key: string, versionId?: string): ObjectVersion | undefined;
  /** Without a version id: what DELETE means in this bucket. With one: that version goes for good. */
  remove(
    bucket: Bucket,
    key: string,
    requester: Requester,
    options: { versionId?: string | undefined; precondition?: Precondition | undefined },
  ): RemoveResult;
};

/** What a write made. `versionId` is absent in a bucket that never had versions. */
type PutResult = { versionId: string | undefined; modified: number };
/** What a removal did: `deleteMarker` when a marker was made or removed. */
type RemoveResult = { deleteMarker: boolean; versionId: string | undefined };

type VersionRow = {
  id: number;
  key: Uint8Array;
  version: string;
  current: number;
  marker: number;
  etag: string;
  size: number;
  modified: number;
  attributes: string;
  segments: string;
};

const COLUMNS = 'id, key, version, current, marker, etag, size, modified, attributes, segments';

/** Opens the objects kept in the store's file. */
export function openObjects(deps: {
  db: Database;
  blobs: Blobs;
  sequence: Sequence;
  events: Events;
  now: () => number;
  token: () => string;
}): Objects {
  const { db, blobs, sequence, events, now, token } = deps;
  const current = db.query<VersionRow>(`SELECT ${COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND current = 1`);
  const byId = db.query<VersionRow>(`SELECT ${COLUMNS} FROM versions WHERE id = ? AND bucket = ? AND key = ?`);
  const nullVersion = db.query<VersionRow>(`SELECT ${COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND version = 'null'`);
  const newest = db.query<{ id: number }>('SELECT id FROM versions WHERE bucket = ? AND key = ? ORDER BY id DESC LIMIT 1');
  const insert = db.command(
    `INSERT INTO versions (id, bucket, key, version, current, marker, etag, size, modified, attributes, segments)
     VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?)`,
  );
  const setCurrent = db.command('UPDATE versions SET current = ? WHERE id = ?');
  const removeRow = db.command('DELETE FROM versions WHERE id = ?');

  function drop(version: ObjectVersion): void {
    removeRow(version.id);
    blobs.release(version.segments);
  }

  // Makes room for a new current version: in a bucket without (or with suspended) versions it takes the place of the null version.
  function displace(bucket: Bucket, key: Buffer, held: ObjectVersion | undefined): void {
    if (bucket.versioning === 'Enabled') {
      if (held) setCurrent(0, held.id);
      return;
    }
    if (held && held.version !== 'null') setCurrent(0, held.id);
    const replaced = held?.version === 'null' ? held : toVersion(nullVersion.get(bucket.id, key));
    if (replaced) drop(replaced);
  }

  function shownId(bucket: Bucket, version: string): string | undefined {
    return bucket.versioning === undefined ? undefined : version;
  }

  return {
    put(bucket, { key, body, etag, size, attributes }, { event, requester, precondition, also }) {
      const id = sequence.next();
      const modified = now();
      const version = bucket.versioning === 'Enabled' ? writeVersionId(id, token()) : 'null';
      const keyBytes = Buffer.from(key);
      return db.transaction(() => {
        const held = toVersion(current.get(bucket.id, keyBytes));
        precondition?.(held?.marker ? undefined : held);
        const segments = 'staged' in body ? blobs.keep(body.staged) : body.segments;
        if ('segments' in body && !blobs.retain(segments)) throw new S3Error('NoSuchKey', 'The source of the copy was deleted meanwhile.');
        displace(bucket, keyBytes, held);
        insert(id, bucket.id, keyBytes, version, 0, etag, size, modified, JSON.stringify(attributes), JSON.stringify(segments));
        const versionId = shownId(bucket, version);
        events.announce(bucket, { event, key, versionId, sequence: id, time: modified, created: { size, etag } }, requester);
        also?.();
        return { versionId, modified };
      });
    },
    find(bucket, key, versionId) {
      const keyBytes = Buffer.from(key);
      if (versionId === undefined) return toVersion(current.get(bucket.id, keyBytes));
      if (versionId === 'null') return toVersion(nullVersion.get(bucket.id, keyBytes));
      const id = readVersionId(versionId);
      if (id === undefined)
        throw new S3Error('InvalidArgument', 'Invalid version id specified', {
          details: { ArgumentName: 'versionId', ArgumentValue: versionId },
        });
      const found = toVersion(byId.get(id, bucket.id, keyBytes));
      return found?.version === versionId ? found : undefined;
    },
    remove(bucket, key, requester, { versionId, precondition }) {
      const id = sequence.next();
      const time = now();
      const keyBytes = Buffer.from(key);
      const announce = (event: ObjectChange['event'], shown: string | undefined): void =>
        events.announce(bucket, { event, key, versionId: shown, sequence: id, time }, requester);

      const markDeleted = (held: ObjectVersion | undefined): RemoveResult => {
        const version = bucket.versioning === 'Enabled' ? writeVersionId(id, token()) : 'null';
        displace(bucket, keyBytes, held);
        insert(id, bucket.id, keyBytes, version, 1, '', 0, time, '{"headers":{},"metadata":{}}', '[]');
        announce('ObjectRemoved:DeleteMarkerCreated', version);
        return { deleteMarker: true, versionId: version };
      };

      const removeVersion = (target: ObjectVersion | undefined): RemoveResult => {
        if (!target) return { deleteMarker: false, versionId };
        drop(target);
        if (target.current) {
          const next = newest.get(bucket.id, keyBytes);
          if (next) setCurrent(1, next.id);
        }
        announce('ObjectRemoved:Delete', shownId(bucket, target.version));
        return { deleteMarker: target.marker, versionId };
      };

      return db.transaction(() => {
        const held = toVersion(current.get(bucket.id, keyBytes));
        precondition?.(held?.marker ? undefined : held);
        if (versionId !== undefined) return removeVersion(this.find(bucket, key, versionId));
        if (bucket.versioning !== undefined) return markDeleted(held);
        return { ...removeVersion(held), versionId: undefined };
      });
    },
  };
}

function toVersion(row: VersionRow | undefined): ObjectVersion | undefined {
  if (!row) return undefined;
  return {
    ...row,
    key: Buffer.from(row.key).toString('utf8'),
    current: row.current === 1,
    marker: row.marker === 1,
    // Both texts were written by `put` above.
    attributes: JSON.parse(row.attributes) as ObjectAttributes,
    segments: JSON.parse(row.segments) as Segment[],
  };
}

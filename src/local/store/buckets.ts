import { type Database, idsOf } from './database.ts';
import { type NotificationRule, readStoredRules } from './notification-rules.ts';
import { S3Error } from './s3-error.ts';

/** A bucket as the store needs it for every request. */
export type Bucket = {
  id: number;
  name: string;
  /** Milliseconds since 1970. */
  created: number;
  versioning: 'Enabled' | 'Suspended' | undefined;
  /** What is sent to which queue when an object changes. */
  rules: NotificationRule[];
};

/** A document kept with a bucket and given back as it was put. */
export type BucketSetting = 'lifecycle' | 'policy' | 'publicAccessBlock' | 'notification' | 'cors';

/** The buckets of the store. */
export type Buckets = {
  /** Throws S3Error NoSuchBucket. */
  get(name: string): Bucket;
  find(name: string): Bucket | undefined;
  /** All buckets in the order of their names. */
  list(): Bucket[];
  /** Throws S3Error InvalidBucketName or BucketAlreadyOwnedByYou. */
  create(name: string): Bucket;
  /** Throws S3Error BucketNotEmpty while it holds any version or delete marker. Unfinished uploads go with it. */
  remove(bucket: Bucket, dropUploads: () => void): void;
  setVersioning(bucket: Bucket, versioning: 'Enabled' | 'Suspended'): void;
  setting(bucket: Bucket, kind: BucketSetting): string | undefined;
  /** Undefined removes it. */
  setSetting(bucket: Bucket, kind: BucketSetting, body: string | undefined): void;
};

type BucketRow = { id: number; name: string; created: number; versioning: 'Enabled' | 'Suspended' | null };

/** Opens the buckets kept in the store's file. They are also held in memory: this process is the file's only writer. */
export function openBuckets(deps: { db: Database; now: () => number }): Buckets {
  const { db, now } = deps;
  const insert = db.command('INSERT INTO buckets (id, name, created) VALUES (?, ?, ?)');
  const nextId = idsOf(db, 'buckets');
  const removeRow = db.command('DELETE FROM buckets WHERE id = ?');
  const removeSettings = db.command('DELETE FROM bucket_settings WHERE bucket = ?');
  const anyVersion = db.query<{ id: number }>('SELECT id FROM versions WHERE bucket = ? LIMIT 1');
  const updateVersioning = db.command('UPDATE buckets SET versioning = ? WHERE id = ?');
  const load = db.query<{ body: string }>('SELECT body FROM bucket_settings WHERE bucket = ? AND kind = ?');
  const save = db.command(
    'INSERT INTO bucket_settings (bucket, kind, body) VALUES (?, ?, ?) ON CONFLICT (bucket, kind) DO UPDATE SET body = excluded.body',
  );
  const unset = db.command('DELETE FROM bucket_settings WHERE bucket = ? AND kind = ?');
  const byName = new Map<string, Bucket>();
  for (const row of db.query<BucketRow>('SELECT * FROM buckets').all()) {
    const rules = readStoredRules(load.get(row.id, 'notification')?.body);
    byName.set(row.name, { id: row.id, name: row.name, created: row.created, versioning: row.versioning ?? undefined, rules });
  }

  return {
    get(name) {
      const bucket = byName.get(name);
      if (!bucket) throw new S3Error('NoSuchBucket', undefined, { details: { BucketName: name } });
      return bucket;
    },
    find: (name) => byName.get(name),
    list: () => [...byName.values()].sort((left, right) => (left.name < right.name ? -1 : 1)),
    create(name) {
      if (!isBucketName(name)) throw new S3Error('InvalidBucketName', undefined, { details: { BucketName: name } });
      if (byName.has(name)) throw new S3Error('BucketAlreadyOwnedByYou', undefined, { details: { BucketName: name } });
      const created = now();
      const id = nextId();
      insert(id, name, created);
      const bucket: Bucket = { id, name, created, versioning: undefined, rules: [] };
      byName.set(name, bucket);
      return bucket;
    },
    remove(bucket, dropUploads) {
      if (anyVersion.get(bucket.id)) throw new S3Error('BucketNotEmpty', undefined, { details: { BucketName: bucket.name } });
      db.transaction(() => {
        dropUploads();
        removeSettings(bucket.id);
        removeRow(bucket.id);
        db.afterCommit(() => byName.delete(bucket.name));
      });
    },
    setVersioning(bucket, versioning) {
      updateVersioning(versioning, bucket.id);
      bucket.versioning = versioning;
    },
    setting: (bucket, kind) => load.get(bucket.id, kind)?.body,
    setSetting(bucket, kind, body) {
      if (body === undefined) unset(bucket.id, kind);
      else save(bucket.id, kind, body);
      if (kind === 'notification') db.afterCommit(() => (bucket.rules = readStoredRules(body)));
    },
  };
}

/** The rules of S3 for the name of a general purpose bucket (S3 user guide, "Bucket naming rules"). */
function isBucketName(name: string): boolean {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) return false;
  if (/\.\.|\.-|-\./.test(name)) return false;
  return !/^\d{1,3}(\.\d{1,3}){3}$/.test(name) && !/^(xn--|sthree-)/.test(name) && !/(-s3alias|--ol-s3)$/.test(name);
}

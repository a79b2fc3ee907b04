// An id that was given back is not given out again: whoever still holds it must not meet another's row.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBlobs } from '../../src/local/store/blobs.ts';
import { openBuckets } from '../../src/local/store/buckets.ts';
import { type Database, openDatabase } from '../../src/local/store/database.ts';
import { openQueues } from '../../src/local/store/queue/queues.ts';

let dir: string;
let db: Database;
const faults: unknown[] = [];

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'autofiles-ids-'));
  db = openDatabase(dir, (error) => faults.push(error));
});
afterAll(() => {
  db.close();
  rmSync(dir, { recursive: true });
});

it('gives a new bucket, queue and file ids of their own', async () => {
  const buckets = openBuckets({ db, now: Date.now });
  const gone = buckets.create('one');
  buckets.remove(gone, () => {});
  expect(buckets.create('two').id).not.toBe(gone.id);

  const queues = openQueues({ db, now: Date.now, region: 'us-east-1' });
  const left = queues.create('one', {});
  queues.remove(left);
  expect(queues.create('two', {}).id).not.toBe(left.id);

  const blobs = openBlobs({ db, dir, id: () => 'x' });
  const keep = async (text: string) => {
    const sink = blobs.sink();
    await sink.write(Buffer.from(text));
    return blobs.keep(await sink.finish());
  };
  const old = await keep('mine');
  blobs.release(old);
  await keep('a stranger’s');
  expect(blobs.retain(old)).toBe(false);
});

it('takes what was committed for done, whatever goes wrong after it', () => {
  db.transaction(() => {
    db.afterCommit(() => {
      throw new Error('no such file');
    });
  });
  expect(faults).toEqual([new Error('no such file')]);
});

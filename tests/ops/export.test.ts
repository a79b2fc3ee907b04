// `autofiles export` from a real store: every file as it is, whatever its key, also when it was broken off.
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { exportBucket } from '../../src/cli/export.ts';
import { flatPathOfKey, folded, pathOfKey } from '../../src/cli/export-path.ts';
import { type BucketReader, createBucketReader } from '../../src/clients/s3-reader.ts';
import { root, runStore, type TestStore } from '../store/running-store.ts';

const BUCKET = 'ld-private-export';

let store: TestStore;
let reader: BucketReader;
let folder: string;

beforeAll(async () => {
  store = await runStore();
  await store.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  reader = createBucketReader({ endpoint: store.endpoint, region: 'us-east-1', credentials: root });
});
afterAll(async () => {
  reader.close();
  await store.close();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'autofiles-export-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const save = (Key: string, Body: string, Metadata: Record<string, string> = {}) =>
  store.s3().send(new PutObjectCommand({ Bucket: BUCKET, Key, Body, Metadata, ContentType: 'text/plain' }));
const take = (prefix: string, more: Partial<Parameters<typeof exportBucket>[0]> = {}) =>
  exportBucket({ reader, bucket: BUCKET, prefix, folder, say: () => {}, signal: AbortSignal.timeout(60_000), ...more });
const manifest = async (): Promise<Record<string, unknown>[]> =>
  (await readFile(join(folder, 'export.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    // one that goes on begins a new line
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('an export', () => {
  it('has every file with its bytes, and says of each what S3 knows', async () => {
    await save('one/in/data.json', '{"a":1}', { ld_run: 'true' });
    await save('one/out/x', 'output');
    expect(await take('one/')).toEqual({ fetched: 2, kept: 0, bytes: 13, failed: [] });
    expect(await readFile(join(folder, 'one/in/data.json'), 'utf8')).toBe('{"a":1}');
    expect((await manifest()).find(({ key }) => key === 'one/in/data.json')).toMatchObject({
      path: 'one/in/data.json',
      size: 7,
      etag: createHash('md5').update('{"a":1}').digest('hex'),
      sha256: createHash('sha256').update('{"a":1}').digest('hex'),
      content_type: 'text/plain',
      metadata: { ld_run: 'true' },
      version_id: expect.any(String),
      modified_at: expect.stringMatching(/^\d{4}-/),
    });
  });

  it('keeps hostile keys inside the folder, and apart', async () => {
    const keys = [
      '../../up',
      '/etc/passwd',
      'a',
      'a/b',
      'a/',
      'a//b',
      './x',
      'x',
      'line\nbreak',
      'back\\slash',
      '100%',
      '%flat/y',
      `long/${'n'.repeat(700)}`,
      'é/ü',
    ];
    for (const key of keys) await save(`hostile/${key}`, key);
    const done = await take('hostile/');
    expect(done).toMatchObject({ fetched: keys.length, failed: [] });
    const entries = await manifest();
    expect(new Set(entries.map(({ path }) => path)).size).toBe(keys.length);
    for (const { key, path } of entries) {
      const text = await readFile(join(folder, String(path)), 'utf8');
      expect({ key, text }).toEqual({ key, text: String(key).slice('hostile/'.length) });
      expect(join(folder, String(path)).startsWith(`${folder}/`)).toBe(true);
    }
    expect(await readdir(folder)).not.toContain('%parts');
  });

  it('fetches what is new or changed alone when it is begun again', async () => {
    for (const n of [1, 2, 3]) await save(`again/${n}`, `text ${n}`);
    await take('again/');
    await save('again/2', 'other text');
    await save('again/4', 'new');
    await rm(join(folder, 'again/3'));
    expect(await take('again/')).toMatchObject({ fetched: 3, kept: 1 });
    expect(await readFile(join(folder, 'again/2'), 'utf8')).toBe('other text');
    expect(await take('again/')).toMatchObject({ fetched: 0, kept: 4 });
  });

  it('keeps files apart that some file systems take for one, also when it is begun again', async () => {
    const names = ['Data.json', 'data.json', 'Sub/x', 'sub/x', 'sub/X', 'caf\u00e9', 'cafe\u0301', 'CAFE\u0301', 'stra\u00dfe', 'STRASSE'];
    for (const name of names) await save(`alike/${name}`, name);
    expect(await take('alike/')).toMatchObject({ fetched: names.length, failed: [] });
    await save('alike/DATA.json', 'DATA.json');
    expect(await take('alike/')).toMatchObject({ fetched: 1, kept: names.length, failed: [] });
    const entries = await manifest();
    expect(new Set(entries.map(({ path }) => folded(String(path)))).size).toBe(names.length + 1);
    for (const { key, path } of entries)
      expect(await readFile(join(folder, String(path)), 'utf8')).toBe(String(key).slice('alike/'.length));
    expect(await take('alike/')).toMatchObject({ fetched: 0, kept: names.length + 1 });
    // one that is written anew stays where it is
    await save('alike/data.json', 'other');
    await take('alike/');
    const [before, after] = [entries, await manifest()].map((all) => all.findLast(({ key }) => key === 'alike/data.json')?.['path']);
    expect(after).toBe(before);
  });

  it('fetches anew what an export before may have put one over the other', async () => {
    const keys = ['over/Data', 'over/data'];
    for (const key of keys) await save(key, key);
    await take('over/');
    const lines = (await manifest()).map((entry) => JSON.stringify({ ...entry, path: entry['key'] }));
    await writeFile(join(folder, 'export.jsonl'), `${lines.join('\n')}\n`);
    expect(await take('over/')).toMatchObject({ fetched: 2, kept: 0 });
    expect(await take('over/')).toMatchObject({ fetched: 0, kept: 2 });
    for (const { key, path } of (await manifest()).slice(-2)) expect(await readFile(join(folder, String(path)), 'utf8')).toBe(key);
  });

  it('goes on after it was broken off, with no file in half', async () => {
    for (const n of [1, 2, 3, 4]) await save(`broken/${n}`, `text ${n}`);
    const stop = new AbortController();
    const reason = new Error('Ctrl-C');
    await expect(take('broken/', { signal: stop.signal, say: () => stop.abort(reason) })).rejects.toThrow(/Ctrl-C|abort/i);
    // the last line may be in half, too
    await writeFile(join(folder, 'export.jsonl'), `${await readFile(join(folder, 'export.jsonl'), 'utf8')}{"key":"brok`);
    await take('broken/');
    for (const n of [1, 2, 3, 4]) expect(await readFile(join(folder, `broken/${n}`), 'utf8')).toBe(`text ${n}`);
    expect(await take('broken/')).toMatchObject({ fetched: 0, kept: 4 });
  });

  it('names the files that came short, keeps nothing of them, and takes the others', async () => {
    for (const n of [1, 2]) await save(`short/${n}`, `text ${n}`);
    const short: Pick<BucketReader, 'files' | 'open'> = {
      files: reader.files,
      open: async (bucket, key, options) => {
        const opened = await reader.open(bucket, key, options);
        if (key !== 'short/1' || opened === undefined) return opened;
        opened.body.destroy();
        return { ...opened, body: Readable.from([Buffer.from('te')]) };
      },
    };
    const done = await take('short/', { reader: short });
    expect(done).toMatchObject({
      fetched: 1,
      failed: [expect.stringContaining('"short/1": S3 does not answer. Found 2 bytes, expected 6.')],
    });
    await expect(stat(join(folder, 'short/1'))).rejects.toThrow('ENOENT');
  });

  it('leaves out what is deleted while it goes on', async () => {
    await save('gone/1', 'text');
    const late: Pick<BucketReader, 'files' | 'open'> = {
      files: reader.files,
      open: async (bucket, key, options) => {
        await store.s3().send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
        return await reader.open(bucket, key, options);
      },
    };
    expect(await take('gone/', { reader: late })).toEqual({ fetched: 0, kept: 0, bytes: 0, failed: [] });
  });
});

it('has one path for a key and one key for a path, none above the folder', () => {
  const part = fc.oneof(fc.constantFrom('', '.', '..', '%', '%2F', '%flat', 'a'), fc.string({ unit: 'binary', maxLength: 6 }));
  const key = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/').toWellFormed());
  fc.assert(
    fc.property(key, key, (one, other) => {
      const paths = [pathOfKey(one), pathOfKey(other)];
      expect(paths[0] === paths[1]).toBe(one === other);
      expect(flatPathOfKey(one) === flatPathOfKey(other)).toBe(one === other);
      for (const name of paths.flatMap((path) => path.split('/'))) {
        expect(['', '.', '..', '%parts', '%flat']).not.toContain(name);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
      }
    }),
    { numRuns: 500 },
  );
});

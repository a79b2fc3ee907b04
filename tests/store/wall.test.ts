// The wall between tenants at the store: every operation × everybody who may ask, with credentials as the engine makes them.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bucketPolicy } from '../../src/clients/sts.ts';
import { sendRaw, sendSigned } from './raw-request.ts';
import { type Keys, openSession, runStore, type TestStore } from './running-store.ts';

const BUCKET = 'ld-private-a';
/** `none`: unsigned; `removed`: credentials that have ended; a viewer, Heroku and an operator have none at all. */
const CALLERS = ['none', 'guess', 'removed', 'other', 'owner'] as const;

interface Door {
  /** HTTP statuses in the order of CALLERS. */
  readonly statuses: string;
  readonly query?: string;
  readonly body?: string;
}
const closed: Door = { statuses: '403 403 400 403 403' };
const open = (status: number): Door => ({ statuses: `403 403 400 403 ${status}` });

/** `METHOD what ?subresource`; `copy` has x-amz-copy-source. */
const WALL: Readonly<Record<string, Door>> = {
  // each sees its own buckets in it
  'GET service': { statuses: '403 403 400 200 200' },
  'PUT bucket': closed,
  'HEAD bucket': open(200),
  'DELETE bucket': closed,
  'GET bucket': open(200),
  'GET bucket ?versions': open(200),
  'GET bucket ?uploads': open(200),
  // answers for each key by itself
  'POST bucket ?delete': { statuses: '403 403 400 200 200', body: '<Delete><Object><Key>file</Key></Object></Delete>' },
  'GET bucket ?location': open(200),
  'GET bucket ?versioning': closed,
  'PUT bucket ?versioning': closed,
  'GET bucket ?notification': closed,
  'PUT bucket ?notification': closed,
  'GET bucket ?lifecycle': closed,
  'PUT bucket ?lifecycle': closed,
  'DELETE bucket ?lifecycle': closed,
  'GET bucket ?cors': closed,
  'PUT bucket ?cors': closed,
  'DELETE bucket ?cors': closed,
  'GET bucket ?policy': closed,
  'PUT bucket ?policy': closed,
  'DELETE bucket ?policy': closed,
  'GET bucket ?publicAccessBlock': closed,
  'PUT bucket ?publicAccessBlock': closed,
  'DELETE bucket ?publicAccessBlock': closed,
  'GET object': open(200),
  'HEAD object': open(200),
  'PUT object': open(200),
  'PUT object copy': open(200),
  'DELETE object': open(204),
  'GET object ?tagging': open(200),
  'POST object ?uploads': open(200),
  // inside, and there is no such upload
  'PUT object ?uploadId': { ...open(404), query: 'partNumber=1&uploadId=x' },
  'PUT object ?uploadId copy': { ...open(404), query: 'partNumber=1&uploadId=x' },
  'POST object ?uploadId': {
    ...open(404),
    body: '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag></Part></CompleteMultipartUpload>',
  },
  'DELETE object ?uploadId': open(404),
  'GET object ?uploadId': open(404),
};

let test: TestStore;
const keys = new Map<string, Keys>();

beforeAll(async () => {
  test = await runStore();
  for (const bucket of [BUCKET, 'ld-private-b']) await test.s3().send(new CreateBucketCommand({ Bucket: bucket }));
  await test.s3().send(new PutObjectCommand({ Bucket: 'ld-private-b', Key: 'file', Body: 'theirs' }));
  keys.set('removed', await openSession(test.sts(), bucketPolicy(BUCKET, 'us-east-1'), 900));
  keys.set('owner', await openSession(test.sts(), bucketPolicy(BUCKET, 'us-east-1')));
  keys.set('other', await openSession(test.sts(), bucketPolicy('ld-private-b', 'us-east-1')));
  keys.set('guess', { accessKeyId: 'ASIAGUESS', secretAccessKey: 'guess', sessionToken: 'guess' });
  // 20 minutes: those of a quarter of an hour have ended
  test.clock.offsetMs = 1_200_000;
});
afterAll(async () => {
  await test?.close();
});

/** The operations that the store has, read from its own list. */
function served(): readonly string[] {
  const source = readFileSync(new URL('../../src/local/store/s3/routes.ts', import.meta.url), 'utf8');
  return [...source.matchAll(/\{\s*method: '(\w+)',\s*about: '(\w+)'[^{}]*\}/g)].map(([entry, method, about]) => {
    const sub = /subresource: '(\w+)'/.exec(entry)?.[1];
    return `${method} ${about}${sub === undefined ? '' : ` ?${sub}`}${entry.includes("header: 'x-amz-copy-source'") ? ' copy' : ''}`;
  });
}

async function knock(caller: string, operation: string, door: Door): Promise<{ status: number; text: string }> {
  const [method = '', about = '', ...more] = operation.split(' ');
  const sub = more.find((part) => part.startsWith('?'))?.slice(1);
  const path = about === 'service' ? '/' : about === 'bucket' ? `/${BUCKET}` : `/${BUCKET}/file`;
  const query = door.query ?? (sub === undefined ? '' : `${sub}=`);
  const headers: Record<string, string> = more.includes('copy')
    ? { 'x-amz-copy-source': `/${BUCKET}/file`, 'x-amz-metadata-directive': 'REPLACE' }
    : {};
  const body = door.body ?? '';
  // what deletes many wants a checksum
  if (body !== '') headers['content-md5'] = hash('md5', body, 'base64');
  const own = keys.get(caller);
  if (own === undefined) return await sendRaw(test.endpoint, method, path + (query === '' ? '' : `?${query}`), headers, Buffer.from(body));
  return await sendSigned(test.endpoint, { method, path, query, headers, body, keys: own, time: later() });
}

const later = () => Date.now() + test.clock.offsetMs;
const restore = async () => await sendSigned(test.endpoint, { method: 'PUT', path: `/${BUCKET}/file`, body: 'mine', time: later() });

const rowless = (operations: readonly string[]) => operations.filter((operation) => !Object.hasOwn(WALL, operation));

describe('the table', () => {
  it('has a row for every operation, and for nothing else', () => {
    expect(served().length).toBeGreaterThan(30);
    expect(rowless(served())).toEqual([]);
    expect(Object.keys(WALL).filter((operation) => !served().includes(operation))).toEqual([]);
  });

  it('misses an operation that somebody adds', () => {
    expect(rowless([...served(), 'PUT object ?acl'])).toEqual(['PUT object ?acl']);
  });
});

describe('everybody at every door', () => {
  it.each(Object.entries(WALL))('%s', async (operation, door) => {
    await restore();
    const found: number[] = [];
    for (const caller of CALLERS) {
      const { status, text } = await knock(caller, operation, door);
      found.push(status);
      expect([caller, caller !== 'owner' && text.includes('mine')]).toEqual([caller, false]);
      if (caller !== 'owner') expect((await sendSigned(test.endpoint, { path: `/${BUCKET}/file`, time: later() })).text).toBe('mine');
    }
    expect(found.join(' ')).toBe(door.statuses);
    expect(test.faults).toEqual([]);
  });
});

// The hash that signs AWS calls, held against node:crypto.
import { createHash, createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { Sha256 } from '../../src/clients/sha256.ts';

const TEXT = 'AWS4-HMAC-SHA256\n20261129T000000Z\nü';
const bytes = new TextEncoder().encode(TEXT);
const secret = new Uint8Array([0, 1, 2, 253, 254, 255, 7, 8]);

const hex = async (hash: Sha256) => Buffer.from(await hash.digest()).toString('hex');

it('is SHA-256 of what it was given, in parts and as text or bytes', async () => {
  const hash = new Sha256();
  hash.update(TEXT.slice(0, 10));
  hash.update(new TextEncoder().encode(TEXT.slice(10)));
  expect(await hex(hash)).toBe(createHash('sha256').update(TEXT).digest('hex'));
});

it.each([
  ['text', 'sécret', Buffer.from('sécret')],
  ['bytes', secret, secret],
  ['a part of a buffer', secret.subarray(2, 6), secret.slice(2, 6)],
  ['a buffer', secret.buffer, secret],
])('with %s for a secret is the HMAC, each time', async (_, key, plain) => {
  for (let i = 0; i < 2; i += 1) {
    const hash = new Sha256(key);
    hash.update(bytes);
    expect(await hex(hash)).toBe(createHmac('sha256', plain).update(TEXT).digest('hex'));
  }
});

it('can be used again after a reset, with its secret', async () => {
  const hash = new Sha256(secret);
  hash.update('something else');
  await hash.digest();
  hash.reset();
  hash.update(bytes);
  expect(await hex(hash)).toBe(createHmac('sha256', secret).update(TEXT).digest('hex'));
});

it('with an empty secret is a hash, as the SDK has it', async () => {
  const hash = new Sha256('');
  hash.update(bytes);
  expect(await hex(hash)).toBe(createHash('sha256').update(TEXT).digest('hex'));
});

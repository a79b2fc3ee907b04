import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { inOrder } from './fault-proxy.ts';

it('bytes that the proxy holds up come before those that it does not', async () => {
  const wire = new PassThrough();
  const send = inOrder(wire);
  for (const [byte, delay] of [
    ['a', 0],
    ['b', 200],
    ['c', 50],
    ['d', 0],
  ] as const)
    send(Buffer.from(byte), delay);
  let said = '';
  for await (const data of wire) {
    said += data;
    if (said.length === 4) break;
  }
  expect(said).toBe('abcd');
});

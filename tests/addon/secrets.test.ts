import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createSealer } from '../../src/queues/secrets.ts';

const master = randomBytes(32);

describe('the envelope', () => {
  test('a secret opens with its resource, kind and data key, and with nothing else', () => {
    const sealer = createSealer(master);
    const key = sealer.newKey('a');
    const sealed = sealer.seal('a', 'partner', key, 'HRKU-secret');
    expect(sealer.open('a', 'partner', key, sealed)).toBe('HRKU-secret');
    expect(() => sealer.open('b', 'partner', key, sealed)).toThrow('does not open');
    expect(() => sealer.open('a', 'customer', key, sealed)).toThrow('does not open');
    expect(() => sealer.open('a', 'partner', sealer.newKey('a'), sealed)).toThrow('sealed with another key');
    // what is sealed looks random, and may end in what would be put there
    const otherEnd = sealed.endsWith('AA') ? 'BB' : 'AA';
    expect(() => sealer.open('a', 'partner', key, `${sealed.slice(0, -2)}${otherEnd}`)).toThrow('does not open');
    expect(() => sealer.open('a', 'partner', key, sealed.slice(0, 20))).toThrow('does not open');
  });

  test('neither the wrapped key nor the sealed text tells anything', () => {
    const sealer = createSealer(master);
    const key = sealer.newKey('a');
    expect(`${key}${sealer.seal('a', 'grant', key, 'canary-value')}`).not.toContain('canary');
    expect(key.split('.')[0]).toBe('k1');
  });

  test('a new master key opens what the previous one wrapped, and wraps it again while everything runs', () => {
    const before = createSealer(master);
    const key = before.newKey('a');
    const sealed = before.seal('a', 'partner', key, 'text');
    const next = randomBytes(32);
    expect(() => createSealer(next).open('a', 'partner', key, sealed)).toThrow('AUTOFILES_PREVIOUS_MASTER_KEYS');
    const both = createSealer(next, [master]);
    expect(both.open('a', 'partner', key, sealed)).toBe('text');
    const rewrapped = both.rewrap('a', key) ?? '';
    expect(both.rewrap('a', rewrapped)).toBeUndefined();
    expect(createSealer(next).open('a', 'partner', rewrapped, sealed)).toBe('text');
  });

  test('a master key of another length is refused', () => {
    expect(() => createSealer(randomBytes(16))).toThrow('16 bytes, expected 32');
  });

  test('no nonce comes twice in a hundred thousand', () => {
    const sealer = createSealer(master);
    const key = sealer.newKey('a');
    const nonces = new Set<string>();
    for (let i = 0; i < 100_000; i += 1) nonces.add((sealer.seal('a', 'k', key, '').split('.')[2] ?? '').slice(0, 16));
    expect(nonces.size).toBe(100_000);
  });
});

import { createHash, timingSafeEqual } from 'node:crypto';

/**
 * Whether a text that a caller sent is the secret one. Hashes of both are compared, byte by byte to the end: how long it takes tells neither how much of
 * it is right nor how long the secret is. The one comparison of secrets on the HTTP side (lint/secrets.grit).
 */
export function sameSecret(found: string, expected: string): boolean {
  return timingSafeEqual(digest(found), digest(expected));
}

const digest = (text: string) => createHash('sha256').update(text, 'utf8').digest();

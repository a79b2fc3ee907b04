import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { Failure } from '../schema/failures.ts';

/** AES-256-GCM: 12-byte nonce, 16-byte tag (NIST SP 800-38D). */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface Sealer {
  /** Encrypts text for one resource; the result names the key it was sealed with. */
  seal(resource: string, text: string): string;
  /** Throws Failure internal when it was changed, moved to another resource or sealed with an unknown key. */
  open(resource: string, sealed: string): string;
}

/** Seals secrets at rest. `masterKey`: 32 bytes. The resource id is associated data, so records cannot be swapped. */
export function createSealer(masterKey: Uint8Array): Sealer {
  if (masterKey.length !== 32) throw new Failure('config_invalid', `The master key has ${masterKey.length} bytes, expected 32.`);
  const keyId = createHash('sha256').update(masterKey).digest('hex').slice(0, 8);
  return {
    seal: (resource, text) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', masterKey, nonce).setAAD(Buffer.from(resource));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return `1.${keyId}.${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')}`;
    },
    open: (resource, sealed) => {
      const [version, id, data] = sealed.split('.');
      if (version !== '1' || id !== keyId || data === undefined) {
        throw new Failure('internal', `A secret of resource ${resource} was sealed with another key (${id ?? 'none'}), expected ${keyId}.`);
      }
      const bytes = Buffer.from(data, 'base64url');
      const decipher = createDecipheriv('aes-256-gcm', masterKey, bytes.subarray(0, NONCE_BYTES))
        .setAAD(Buffer.from(resource))
        .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
      } catch (cause) {
        throw new Failure('internal', `A secret of resource ${resource} does not open: it was changed.`, { cause });
      }
    },
  };
}

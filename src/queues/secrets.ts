// Secrets at rest: each resource has a data key that seals its secrets, and the data key is wrapped by the master key. A new master
// key then means wrapping one short text per resource again, while everything runs (`rewrap`).
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { Failure } from '../schema/failures.ts';

/** AES-256-GCM: 32-byte key, 12-byte random nonce, 16-byte tag (NIST SP 800-38D). */
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Data keys kept open in this process. */
const OPEN_KEYS = 10_000;

export interface Sealer {
  /** A new data key for a resource, wrapped: `k1.<master key id>.<base64url>`. */
  newKey(resource: string): string;
  /**
   * Encrypts a text of one kind for one resource under its data key: `s1.<data key id>.<base64url>`. Resource and kind are associated data:
   * a sealed text opens nowhere else.
   */
  seal(resource: string, kind: string, wrappedKey: string, text: string): string;
  /** Throws Failure internal when it was changed, moved to another resource or kind, or sealed with a key that is not known here. */
  open(resource: string, kind: string, wrappedKey: string, sealed: string): string;
  /** The same data key wrapped by the current master key; undefined when it is already. */
  rewrap(resource: string, wrappedKey: string): string | undefined;
}

/**
 * `masterKey`: 32 bytes that wrap new data keys; `previous` ones still unwrap old data keys. Throws Failure config_invalid for a key of
 * another length.
 */
export function createSealer(masterKey: Uint8Array, previous: readonly Uint8Array[] = []): Sealer {
  const masters = new Map<string, Uint8Array>();
  for (const key of [masterKey, ...previous]) {
    if (key.length !== KEY_BYTES) throw new Failure('config_invalid', `A master key has ${key.length} bytes, expected ${KEY_BYTES}.`);
    masters.set(idOf(key), key);
  }
  const current = idOf(masterKey);
  const opened = new Map<string, Uint8Array>();

  const wrap = (resource: string, key: Uint8Array) => `k1.${current}.${encrypt(masterKey, `key\n${resource}`, key)}`;

  const unwrap = (resource: string, wrapped: string): Uint8Array => {
    const held = opened.get(`${resource}\n${wrapped}`);
    if (held !== undefined) return held;
    const [version, id = 'none', data] = wrapped.split('.');
    const master = masters.get(id);
    if (version !== 'k1' || master === undefined || data === undefined) {
      throw new Failure(
        'internal',
        `The data key of resource ${resource} is wrapped by master key ${id}, expected ${[...masters.keys()].join(' or ')}. Put that key into AUTOFILES_PREVIOUS_MASTER_KEYS.`,
      );
    }
    const key = decrypt(master, `key\n${resource}`, data, `The data key of resource ${resource}`);
    if (opened.size >= OPEN_KEYS) opened.clear();
    opened.set(`${resource}\n${wrapped}`, key);
    return key;
  };

  return {
    newKey: (resource) => wrap(resource, randomBytes(KEY_BYTES)),
    seal: (resource, kind, wrappedKey, text) => {
      const key = unwrap(resource, wrappedKey);
      return `s1.${idOf(key)}.${encrypt(key, `${kind}\n${resource}`, Buffer.from(text, 'utf8'))}`;
    },
    open: (resource, kind, wrappedKey, sealed) => {
      const key = unwrap(resource, wrappedKey);
      const [version, id = 'none', data] = sealed.split('.');
      if (version !== 's1' || id !== idOf(key) || data === undefined) {
        throw new Failure('internal', `A secret of resource ${resource} was sealed with another key (${id}), expected ${idOf(key)}.`);
      }
      return decrypt(key, `${kind}\n${resource}`, data, `A secret of resource ${resource}`).toString('utf8');
    },
    rewrap: (resource, wrappedKey) => {
      if (wrappedKey.startsWith(`k1.${current}.`)) return undefined;
      return wrap(resource, unwrap(resource, wrappedKey));
    },
  };
}

/** Eight hex digits that name a key and tell nothing about it. */
function idOf(key: Uint8Array): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 8);
}

function encrypt(key: Uint8Array, associated: string, plain: Uint8Array): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(associated));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url');
}

function decrypt(key: Uint8Array, associated: string, data: string, what: string): Buffer {
  const bytes = Buffer.from(data, 'base64url');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(associated))
      .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new Failure('internal', `${what} does not open: it was changed.`, { cause });
  }
}

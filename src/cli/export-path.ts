// Where a file of the bucket lies in the folder of an export. Keys are whatever somebody wrote: `..`, `/etc/passwd`, line breaks.
import { createHash } from 'node:crypto';

/** Bytes that a name may have in the usual file systems. */
const NAME_LIMIT = 255;

/**
 * The relative path for a key, its parts joined by `/`: never above or outside the folder, never empty, the key as it is where a path can be that.
 * Different keys have different paths: what is changed is percent-encoded, and so is every `%` of a changed part.
 */
export function pathOfKey(key: string): string {
  const parts = key.split('/');
  return parts.map((part, i) => nameOf(part, i === parts.length - 1)).join('/');
}

/** The path for a key where a file lies in the way of its folders: one name, the borders encoded. */
export function flatPathOfKey(key: string): string {
  return cut(encodeURIComponent(key));
}

function nameOf(part: string, last: boolean): string {
  // an empty part is a folder's name at the end, or stands between two slashes
  if (part === '') return last ? '%2F' : '%';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const plain = !/[\u0000-\u001f\u007f\\%]/.test(part) && part !== '.' && part !== '..';
  if (plain && Buffer.byteLength(part) <= NAME_LIMIT) return part;
  // encodeURIComponent throws at half a surrogate pair, and leaves dots alone
  return cut(encodeURIComponent(part.toWellFormed()).replaceAll('.', '%2E'));
}

/** Names that are too long for a file system end in a digest of themselves. */
function cut(name: string): string {
  if (name.length <= NAME_LIMIT) return name;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 32);
  return `${name.slice(0, NAME_LIMIT - digest.length - 1)}~${digest}`;
}

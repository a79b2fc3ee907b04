// Where a file of the bucket lies in the folder of an export. Keys are whatever somebody wrote: `..`, `/etc/passwd`, line breaks.
import { createHash } from 'node:crypto';

/** The folder of ours for files whose key can be no path, or not beside another one; no key's path begins so: `%` is encoded. */
const FLAT = '%flat';
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

/** Places of an export, each taken by one key. */
export type ExportPlaces = ReturnType<typeof createExportPlaces>;

/**
 * Whose place is which: macOS and Windows take paths for one that differ in case or Unicode form alone, and a folder may come to such a file system
 * later. `before`: where an export before put its files. `reserved`: a path that is no key's.
 */
export function createExportPlaces(before: Iterable<{ readonly key: string; readonly path: string }>, reserved: string) {
  const owners = new Map<string, string | undefined>([[folded(reserved), undefined]]);
  const doubtful = new Set<string>();
  for (const { key, path } of before) {
    const owner = owners.get(folded(path));
    // one may have been put over the other
    if (owner !== undefined) doubtful.add(key).add(owner);
    else if (!owners.has(folded(path))) owners.set(folded(path), key);
  }
  return {
    /** Whether what an export before put there may be another key's file. */
    isDoubtful: (key: string): boolean => doubtful.has(key),

    /** The paths that a key may have, the best one first; `known`: the one that it has, which it keeps. */
    of: (key: string, known: string | undefined): readonly string[] => {
      const all = [pathOfKey(key), `${FLAT}/${flatPathOfKey(key)}`, `${FLAT}/${marked(flatPathOfKey(key), key)}`];
      return known !== undefined && all.includes(known) ? [known, ...all.filter((path) => path !== known)] : all;
    },

    /** Takes a place for a key; answers false when it is another one's. */
    take: (path: string, key: string): boolean => {
      const place = folded(path);
      if (owners.has(place) && owners.get(place) !== key) return false;
      owners.set(place, key);
      return true;
    },
  };
}

/** The same text for all paths that a usual file system may take for one: capitals last, of which `ß`, `ſ` and `ς` have no own. */
export function folded(path: string): string {
  return path.normalize('NFC').toLowerCase().toUpperCase().normalize('NFC');
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
  return marked(name, name);
}

function marked(name: string, of: string): string {
  const digest = createHash('sha256').update(of).digest('hex').slice(0, 32);
  return `${name.slice(0, NAME_LIMIT - digest.length - 1)}~${digest}`;
}

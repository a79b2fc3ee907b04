// Requests name sizes in lower case, answers capitalise them (heroku.md 2.2).
const names = [
  'Eco',
  'Basic',
  'Standard-1X',
  'Standard-2X',
  'Performance-M',
  'Performance-L',
  'Performance-L-RAM',
  'Performance-XL',
  'Performance-2XL',
  'Private-S',
  'Private-M',
  'Private-L',
  'Private-L-RAM',
  'Private-XL',
  'Private-2XL',
  'Shield-S',
  'Shield-M',
  'Shield-L',
  'Shield-XL',
  'Shield-2XL',
];
const byRequest = new Map(names.map((name) => [name.toLowerCase(), name]));

/** Heroku's name of a requested size (`standard-1x` → `Standard-1X`), whatever its case; undefined when there is no such size. */
export function dynoSize(requested: string): string | undefined {
  return byRequest.get(requested.toLowerCase());
}

/** The sizes that may be asked for, for messages. */
export const dynoSizes: readonly string[] = [...byRequest.keys()];

const mib = 1024 ** 2;
// MiB of memory, and processes with threads (heroku.md 4.5; there marked as remembered and as old text).
const quotas = new Map<string, { memory: number; processes: number }>([
  ['Standard-2X', { memory: 1_024, processes: 512 }],
  ['Performance-M', { memory: 2_560, processes: 16_384 }],
  ['Performance-L', { memory: 14_336, processes: 16_384 }],
  ['Performance-L-RAM', { memory: 30_720, processes: 32_768 }],
  ['Performance-XL', { memory: 63_488, processes: 32_768 }],
  ['Performance-2XL', { memory: 129_024, processes: 32_768 }],
]);

/** What a dyno of a size may use on Heroku: bytes of memory, and processes with their threads. */
export function dynoQuota(size: string): { memory: number; processes: number } {
  const common = size.replace(/^(Private|Shield)-S$/, 'Standard-2X').replace(/^(Private|Shield)-/, 'Performance-');
  const { memory, processes } = quotas.get(common) ?? { memory: 512, processes: 256 };
  return { memory: memory * mib, processes };
}

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

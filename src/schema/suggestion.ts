// "Did you mean": the known word that somebody wanted to write.
import { distance } from 'fastest-levenshtein';

/** Characters; nobody means one of our short words with a longer one. */
const LONGEST = 40;

/**
 * The one of `known` that `written` most likely stands for: what other systems call it (`synonyms`, whose keys are in
 * lower case, letters and digits alone), the same letters in another spelling, its beginning, or the nearest by edit
 * distance (a third of its length, at most 3). Undefined when nothing is close.
 */
export function suggest(written: string, known: readonly string[], synonyms: ReadonlyMap<string, string> = new Map()): string | undefined {
  const plain = plainOf(written);
  if (plain === '' || written.length > LONGEST) return undefined;
  const candidates = [
    ...known.map((word) => ({ spelling: plainOf(word), word })),
    ...[...synonyms].filter(([, word]) => known.includes(word)).map(([spelling, word]) => ({ spelling, word })),
  ];
  const same = candidates.find(({ spelling }) => spelling === plain);
  if (same !== undefined) return same.word;
  const begun = plain.length >= 3 ? candidates.find(({ spelling }) => spelling.startsWith(plain)) : undefined;
  if (begun !== undefined) return begun.word;
  const near = candidates
    .map(({ spelling, word }) => ({ word, steps: distance(plain, spelling), most: Math.min(3, Math.ceil(spelling.length / 3)) }))
    .filter(({ steps, most }) => steps <= most)
    .sort((a, b) => a.steps - b.steps);
  return near[0]?.word;
}

function plainOf(word: string): string {
  return word.toLowerCase().replace(/[^a-z0-9]/g, '');
}

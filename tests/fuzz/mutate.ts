import type { Dice } from '../chaos/dice.ts';

/** Characters that parsers trip over: quotes, brackets, separators, controls, blanks of Unicode, halves of pairs, what folds or composes. */
const ODD = [
  ...'"\'\\{}[]():,;=#%+&/~`$ \t\r\n',
  ...[
    '\0',
    '\x1b',
    '\x7f',
    '\u00a0',
    '\u2028',
    '\u202e',
    '\ufeff',
    '\ud800',
    '\udfff',
    '\u0130',
    'e\u0301',
    '💥',
    '=?utf-8?B?',
    '%E0%A4%A',
    '%00',
  ],
  ...[
    '__proto__',
    'constructor',
    'null',
    'true',
    'NaN',
    '1e999',
    '-0',
    '9007199254740993',
    '\\u0000',
    '\\ud800',
    '/*',
    '//',
    '<<EOF',
    '../',
    "'''",
  ],
];

/** Length of the largest inputs, in characters: a workflow may have 64 KB. */
const LARGE = 65_536;
/** Share of inputs that are blown up to the largest size. */
const BLOWN_UP = 0.005;

/** One input made of samples: pieces cut, doubled, swapped and put together, odd characters in between; now and then a large one. */
export function mutate(dice: Dice, samples: readonly string[]): string {
  let text = dice.pick(samples);
  const times = dice.between(0, 6);
  for (let n = 0; n < times; n += 1) text = change(dice, text, samples);
  return dice.chance(BLOWN_UP) ? blowUp(dice, text) : text;
}

function change(dice: Dice, text: string, samples: readonly string[]): string {
  const at = dice.between(0, text.length);
  const to = Math.min(text.length, at + dice.between(1, dice.chance(0.2) ? 200 : 8));
  switch (dice.between(0, 6)) {
    case 0:
      return text.slice(0, at) + dice.pick(ODD) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(to);
    case 2:
      return text.slice(0, to) + text.slice(at, to).repeat(dice.between(1, 5)) + text.slice(to);
    case 3:
      return text.slice(0, at) + dice.pick(ODD) + text.slice(to);
    case 4: {
      const other = dice.pick(samples);
      const from = dice.between(0, other.length);
      return text.slice(0, at) + other.slice(from, from + dice.between(1, 60)) + text.slice(to);
    }
    case 5:
      return text.slice(0, at);
    default:
      return text.slice(0, at) + String.fromCharCode(dice.between(0, 65_535)) + text.slice(at);
  }
}

/** Repeats a piece of the text, or an odd character, until it is as large as inputs may be. */
function blowUp(dice: Dice, text: string): string {
  const at = dice.between(0, text.length);
  const piece = dice.chance(0.4) ? dice.pick(ODD) : text.slice(at, at + dice.between(1, 40)) || dice.pick(ODD);
  const size = dice.chance(0.5) ? LARGE : dice.between(1_000, LARGE);
  const filling = piece.repeat(Math.ceil(size / piece.length)).slice(0, Math.max(0, size - text.length));
  return text.slice(0, at) + filling + text.slice(at);
}

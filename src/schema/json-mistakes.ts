// What people write where JSON was expected, and what to tell them.

import { quote } from './fault.ts';
import type { Token } from './json-tokens.ts';

const PYTHON = 'this looks like a Python dict; send json.dumps(workflow)';
const OTHER_FILE = 'a workflow looks like {"run": [{"cmd": "…"}]}; to attach one to a file, send it as ld_code instead of ld_run';
const NAMES_AND_TEXTS = 'names and texts stand in double quotes';

export interface Advice {
  readonly found: string;
  readonly expected: string;
  readonly hint?: string | undefined;
}

/**
 * What to say about a token that cannot stand where it is, with the tokens before and behind it.
 */
export function adviceOn(
  token: Token,
  around: { readonly before: Token | undefined; readonly next: Token | undefined },
  expected: string,
): Advice {
  const { before, next } = around;
  switch (token.kind) {
    case 'end':
      return { found: 'the end of the document', expected, hint: 'is it cut off?' };
    case 'open':
      return {
        found: 'a text that does not end on its line',
        expected: 'a closing double quote',
        hint: 'a line break inside a text is written \\n',
      };
    case 'word':
      // Not even the beginning is JSON: a file of some other kind.
      if (before === undefined) return { expected: 'a JSON object', hint: OTHER_FILE, ...adviceOnWord(token.text, next) };
      return { expected, hint: NAMES_AND_TEXTS, ...adviceOnWord(token.text, next) };
    case 'string':
      if (before?.text === '""' && before.offset + 2 === token.offset)
        return { found: 'a text in three quotes', expected: 'one double quote', hint: PYTHON };
      return { found: `the text ${quote(token.value)}`, expected, hint: 'a double quote inside a text is written \\"' };
    default:
      return { found: quote(token.text), expected };
  }
}

function adviceOnWord(word: string, next: Token | undefined): Partial<Advice> & { found: string } {
  const found = quote(word);
  if (/^'[{[]?$/.test(word) && (next?.kind === '{' || next?.kind === '[')) {
    return { found: 'a single quote', hint: 'remove the quotes around the document' };
  }
  if (word.startsWith("'")) return { found: 'a text in single quotes', expected: 'double quotes', hint: PYTHON };
  if (/^b('|$)/.test(word))
    return { found: 'bytes as Python prints them', hint: 'this looks like Python; send json.dumps(workflow).encode()' };
  if (word.startsWith('\\')) return { found, hint: 'the double quotes are escaped once too often: send them without the backslashes' };
  if (/^[\u2018-\u201f\u00ab\u00bb]/.test(word)) return { found: 'a typographic quote', expected: 'straight double quotes' };
  return { found };
}

/** A word that cannot be a value; `value` is what was meant, when that is clear. */
export interface WordReading {
  readonly advice: Advice;
  readonly value: boolean | undefined;
}

/**
 * What to say about a word that stands for a value as other languages write it; undefined for one that gives no clue,
 * behind which reading on is guessing.
 */
export function readForeignWord(word: string): WordReading | undefined {
  if (word === 'True' || word === 'False') {
    return { advice: { found: word, expected: word.toLowerCase(), hint: PYTHON }, value: word === 'True' };
  }
  if (word === 'None') return { advice: { found: word, expected: 'a JSON value', hint: PYTHON }, value: undefined };
  if (/^[+-]?(nan|inf|infinity)$/i.test(word) || word === 'undefined') {
    return {
      advice: { found: word, expected: 'a JSON value', hint: `JSON has no ${word}: leave the field out for its default` },
      value: undefined,
    };
  }
  if (/^(true|yes|on)$/i.test(word)) return { advice: { found: word, expected: 'a JSON value', hint: 'did you mean true?' }, value: true };
  if (/^(false|no|off)$/i.test(word))
    return { advice: { found: word, expected: 'a JSON value', hint: 'did you mean false?' }, value: false };
  if (/^null$/i.test(word)) return { advice: { found: word, expected: 'a JSON value', hint: 'did you mean null?' }, value: undefined };
  if (/^[+-]?\.?\d/.test(word)) {
    const hint = 'JSON numbers have digits, a point and an exponent alone, no plus sign, leading zero, unit or separator';
    return { advice: { found: quote(word), expected: 'a JSON number', hint }, value: undefined };
  }
  return undefined;
}

/**
 * Where a string literal is no JSON, counted from its start, and what to say about it.
 */
export function readBadString(text: string): Advice & { readonly at: number } {
  for (const written of text.matchAll(/\\(?:u[0-9A-Fa-f]{4}|u|["\\/bfnrt]|[\s\S]?)/g)) {
    if (/^\\(?:u[0-9A-Fa-f]{4}|["\\/bfnrt])$/.test(written[0])) continue;
    const hint = written[0] === '\\u' ? 'four hexadecimal digits follow \\u' : 'a backslash itself is written \\\\';
    return {
      at: written.index,
      found: `the escape ${quote(written[0])}`,
      expected: '\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u with four digits',
      hint,
    };
  }
  const at = text.split('').findIndex((char) => char < ' ');
  const code = (text.charCodeAt(at) || 0).toString(16).padStart(4, '0');
  return {
    at: Math.max(at, 0),
    found: `the control character U+${code.toUpperCase()}`,
    expected: 'a text without control characters',
    hint: `write \\u${code}`,
  };
}

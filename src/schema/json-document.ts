// Strict JSON with the position of everything in it. Unlike JSON.parse it says what was written instead of JSON, and it
// goes on behind mistakes that leave no doubt about the rest, so that the faults of a document come all at once.
import { type Finding, pointerTo, quote } from './fault.ts';
import { type Advice, adviceOn, readBadString, readForeignWord } from './json-mistakes.ts';
import { type Token, type Tokens, tokensOf } from './json-tokens.ts';

export interface ObjectNode {
  readonly kind: 'object';
  readonly offset: number;
  readonly members: readonly Member[];
}

export interface Member {
  readonly name: string;
  /** Of the name. */
  readonly offset: number;
  readonly value: JsonNode;
}

/** `broken`: something that is no JSON value and was reported as such. Offsets count UTF-16 units from 0. */
export type JsonNode =
  | ObjectNode
  | { readonly kind: 'array'; readonly offset: number; readonly items: readonly JsonNode[] }
  | { readonly kind: 'string'; readonly offset: number; readonly value: string }
  | { readonly kind: 'number'; readonly offset: number; readonly value: number; readonly text: string }
  | { readonly kind: 'boolean'; readonly offset: number; readonly value: boolean }
  | { readonly kind: 'null'; readonly offset: number }
  | { readonly kind: 'broken'; readonly offset: number };

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** Findings after which a text is not read any further. */
const ENOUGH = 100;

/** Stands for the end of a text that is not read any further. */
const END: Token = { kind: 'end', offset: 0, text: '', value: '', valid: true, startsLine: true };

interface Reading {
  readonly tokens: Tokens;
  readonly findings: Finding[];
  readonly maxDepth: number;
  at: number;
}

/**
 * Reads a text as JSON whose arrays and objects nest at most `maxDepth` deep (at most some hundred: reading recurses).
 * The text is JSON if and only if there are no findings; `root` is undefined when a finding left no way to go on.
 * Never throws.
 */
export function readJson(text: string, maxDepth: number): { readonly root: JsonNode | undefined; readonly findings: readonly Finding[] } {
  const reading: Reading = { tokens: tokensOf(text), findings: [], maxDepth, at: 0 };
  const first = peek(reading, '');
  if (first.kind === 'end') {
    const hint = 'send the workflow as JSON text';
    return {
      root: undefined,
      findings: [...reading.findings, { pointer: '', offset: 0, found: 'an empty document', expected: 'a JSON object', hint }],
    };
  }
  const root = readValue(reading, '', 1);
  if (root === undefined) return { root, findings: reading.findings };
  const rest = peek(reading, '');
  if (rest.kind !== 'end') {
    note(reading, '', rest, { found: `${quote(rest.text)} behind the document`, expected: 'its end', hint: 'send one JSON object alone' });
  }
  return { root, findings: reading.findings };
}

/** The next token; what has no place in JSON but does no harm is reported and passed over. */
function peek(reading: Reading, pointer: string): Token {
  for (;;) {
    const token = reading.findings.length >= ENOUGH ? END : (reading.tokens.at(reading.at) ?? END);
    if (token.kind !== 'stray') return token;
    const isComment = /^[/#]/.test(token.text);
    const code = (token.text.codePointAt(0) ?? 0).toString(16).padStart(4, '0').toUpperCase();
    const advice = isComment
      ? { found: 'a comment', expected: 'JSON, which has none', hint: 'remove it' }
      : { found: `the character U+${code}`, expected: 'blanks and line breaks alone between values', hint: 'write a plain blank' };
    note(reading, pointer, token, advice);
    reading.at += 1;
  }
}

function note(reading: Reading, pointer: string, at: { readonly offset: number }, advice: Advice): void {
  // nobody reads on behind so many
  if (reading.findings.length < ENOUGH) reading.findings.push({ pointer, offset: at.offset, ...advice });
}

/** A fault behind which everything would be guessing. */
function stop(reading: Reading, pointer: string, token: Token, expected: string): undefined {
  note(
    reading,
    pointer,
    token,
    adviceOn(token, { before: reading.tokens.at(reading.at - 1), next: reading.tokens.at(reading.at + 1) }, expected),
  );
  return undefined;
}

function readValue(reading: Reading, pointer: string, depth: number): JsonNode | undefined {
  const token = peek(reading, pointer);
  if (token.kind === '{' || token.kind === '[') {
    if (depth > reading.maxDepth) {
      note(reading, pointer, token, { found: `level ${depth} of nesting`, expected: `at most ${reading.maxDepth} levels` });
      return undefined;
    }
    reading.at += 1;
    return token.kind === '{' ? readObject(reading, pointer, depth, token) : readArray(reading, pointer, depth, token);
  }
  if (token.kind === 'string') {
    reading.at += 1;
    checkString(reading, pointer, token);
    return { kind: 'string', offset: token.offset, value: token.value };
  }
  return token.kind === 'word' ? readWord(reading, pointer, token) : stop(reading, pointer, token, 'a JSON value');
}

function checkString(reading: Reading, pointer: string, token: Token): void {
  if (token.valid) return;
  const { at, ...advice } = readBadString(token.text);
  note(reading, pointer, { offset: token.offset + at }, advice);
}

function readWord(reading: Reading, pointer: string, token: Token): JsonNode | undefined {
  const { offset, text } = token;
  if (text === 'true' || text === 'false' || text === 'null' || NUMBER.test(text)) {
    reading.at += 1;
    if (text === 'null') return { kind: 'null', offset };
    return text === 'true' || text === 'false'
      ? { kind: 'boolean', offset, value: text === 'true' }
      : { kind: 'number', offset, value: Number(text), text };
  }
  const foreign = readForeignWord(text);
  if (foreign === undefined) return stop(reading, pointer, token, 'a JSON value');
  reading.at += 1;
  note(reading, pointer, token, foreign.advice);
  return foreign.value === undefined ? { kind: 'broken', offset } : { kind: 'boolean', offset, value: foreign.value };
}

function readObject(reading: Reading, pointer: string, depth: number, start: Token): ObjectNode | undefined {
  const members: Member[] = [];
  const firsts = new Set<string>();
  for (;;) {
    const token = peek(reading, pointer);
    if (token.kind === '}') {
      reading.at += 1;
      return { kind: 'object', offset: start.offset, members };
    }
    if (skipExtraComma(reading, pointer, token)) continue;
    if (token.kind !== 'string') return stop(reading, pointer, token, 'a name in double quotes or "}"');
    reading.at += 1;
    const name = token.value;
    const inside = pointerTo(pointer, name);
    checkString(reading, inside, token);
    if (firsts.has(name)) {
      note(reading, inside, token, { found: `${quote(name)} a second time`, expected: 'each name once', hint: 'remove one of them' });
    }
    firsts.add(name);
    const colon = peek(reading, inside);
    if (colon.kind !== ':') return stop(reading, inside, colon, `":" behind ${quote(name)}`);
    reading.at += 1;
    const value = readValue(reading, inside, depth + 1);
    if (value === undefined) return undefined;
    members.push({ name, offset: token.offset, value });
    if (!readSeparator(reading, pointer, '}')) return undefined;
  }
}

function readArray(reading: Reading, pointer: string, depth: number, start: Token): JsonNode | undefined {
  const items: JsonNode[] = [];
  for (;;) {
    const token = peek(reading, pointer);
    if (token.kind === ']') {
      reading.at += 1;
      return { kind: 'array', offset: start.offset, items };
    }
    if (skipExtraComma(reading, pointer, token)) continue;
    const item = readValue(reading, pointerTo(pointer, items.length), depth + 1);
    if (item === undefined) return undefined;
    items.push(item);
    if (!readSeparator(reading, pointer, ']')) return undefined;
  }
}

function skipExtraComma(reading: Reading, pointer: string, token: Token): boolean {
  if (token.kind !== ',') return false;
  note(reading, pointer, token, { found: 'a comma with nothing before it', expected: 'a value', hint: 'remove the comma' });
  reading.at += 1;
  return true;
}

/** What stands between two entries, or the end of them (left to the caller); false when neither does. */
function readSeparator(reading: Reading, pointer: string, close: '}' | ']'): boolean {
  const token = peek(reading, pointer);
  if (token.kind === close) return true;
  if (token.kind === ',') {
    reading.at += 1;
    if (peek(reading, pointer).kind === close) {
      note(reading, pointer, token, {
        found: `a comma before "${close}"`,
        expected: 'an entry behind each comma',
        hint: 'remove the comma',
      });
    }
    return true;
  }
  // At the end of a line a forgotten comma is beyond doubt; within one it may be anything.
  const isNextEntry = token.kind === 'string' || (close === ']' && (token.kind === '{' || token.kind === '['));
  if (isNextEntry && token.startsLine) {
    note(reading, pointer, token, { found: 'the next entry', expected: 'a comma before it' });
    return true;
  }
  stop(reading, pointer, token, `"," or "${close}"`);
  return false;
}

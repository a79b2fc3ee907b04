// A JSON text in tokens, with what is no JSON kept as tokens of its own, so that the reader can say what it is.
import { createScanner, type ScanError, type SyntaxKind } from 'jsonc-parser';

export interface Token {
  /** `stray`: a comment or a blank that JSON does not know. `open`: a text without its closing quote. */
  readonly kind: '{' | '}' | '[' | ']' | ':' | ',' | 'string' | 'open' | 'word' | 'stray' | 'end';
  /** Position in the text, in UTF-16 units. */
  readonly offset: number;
  /** As written. */
  readonly text: string;
  /** What a string says. */
  readonly value: string;
  /** Whether a string is JSON as it is written. */
  readonly valid: boolean;
  /** Whether it is the first token of its line. */
  readonly startsLine: boolean;
}

// The library declares const enums, which have no values at run time.
const PUNCTUATION: ReadonlyMap<SyntaxKind, Token['kind']> = new Map([
  [1, '{'],
  [2, '}'],
  [3, '['],
  [4, ']'],
  [5, ','],
  [6, ':'],
] as const);
const STRING: SyntaxKind = 10;
const LINE_COMMENT: SyntaxKind = 12;
const BLOCK_COMMENT: SyntaxKind = 13;
const LINE_BREAK: SyntaxKind = 14;
const BLANK: SyntaxKind = 15;
const END: SyntaxKind = 17;
const UNCLOSED_STRING: ScanError = 2;

/** Up to what JSON gives a meaning to. */
const WORD = /[^ \t\r\n,:{}[\]"]+/y;
const HASH_COMMENT = /#[^\r\n]*/y;
/** Blanks of Unicode that are none in JSON, the zero-width ones included. */
const STRAY_BLANK = /[\s\u200b-\u200d\u2060\ufeff]+/y;

/** The tokens of a text, cut when they are asked for: whoever stops reading early has paid for no more. */
export interface Tokens {
  /** The token of that number, counted from 0; the last one, `end`, for every number behind it; undefined below 0. */
  at(index: number): Token | undefined;
}

/**
 * Cuts a text into tokens, the last of them `end`; white space is left out. Never throws.
 */
export function tokensOf(text: string): Tokens {
  const scanner = createScanner(text, false);
  const tokens: Token[] = [];
  let startsLine = true;
  let ended = false;

  /** Adds one token, or passes over one piece of white space. */
  const scan = (): void => {
    const kind = scanner.scan();
    const offset = scanner.getTokenOffset();
    const punctuation = PUNCTUATION.get(kind);
    // most of a document, and of a hostile one nearly all
    if (punctuation !== undefined) {
      tokens.push({ kind: punctuation, offset, text: punctuation, value: punctuation, valid: true, startsLine });
      startsLine = false;
      return;
    }
    if (kind === BLANK) return;
    if (kind === LINE_BREAK) {
      startsLine = true;
      return;
    }
    const raw = text.slice(offset, offset + scanner.getTokenLength());
    const token = (of: Token['kind'], written: string = raw): Token => ({
      kind: of,
      offset,
      text: written,
      value: scanner.getTokenValue(),
      valid: scanner.getTokenError() === 0,
      startsLine,
    });
    if (kind === END) {
      tokens.push(token('end', ''));
      ended = true;
      return;
    }
    if (kind === STRING && scanner.getTokenError() === UNCLOSED_STRING) tokens.push(token('open'));
    else if (kind === STRING) tokens.push(token('string'));
    else if (kind === LINE_COMMENT || kind === BLOCK_COMMENT) tokens.push(token('stray'));
    else {
      const stray = match(HASH_COMMENT, text, offset) ?? match(STRAY_BLANK, text, offset);
      const written = stray ?? match(WORD, text, offset) ?? raw;
      tokens.push(token(stray === undefined ? 'word' : 'stray', written));
      scanner.setPosition(offset + written.length);
    }
    startsLine = false;
  };

  return {
    at: (index) => {
      while (!ended && tokens.length <= index) scan();
      return tokens[index] ?? (index < 0 ? undefined : tokens.at(-1));
    },
  };
}

function match(pattern: RegExp, text: string, offset: number): string | undefined {
  pattern.lastIndex = offset;
  return pattern.exec(text)?.[0];
}

// A fault of a document: where it is, what was found, what was expected and how to fix it.

export interface Fault {
  /** JSON pointer (RFC 6901) of the value; empty for the document itself. */
  readonly pointer: string;
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1, in UTF-16 units as editors count; a byte order mark is not counted. */
  readonly column: number;
  readonly found: string;
  readonly expected: string;
  /** How to fix it: what to write, or "did you mean …?". */
  readonly hint?: string;
  /** All of it in one sentence. */
  readonly message: string;
}

/** A fault before its place is known as line and column. */
export interface Finding {
  readonly pointer: string;
  /** Position in the text, in UTF-16 units from 0. */
  readonly offset: number;
  readonly found: string;
  readonly expected: string;
  /** A function where it costs something: only those of the faults that are shown are called. */
  readonly hint?: string | (() => string | undefined) | undefined;
}

const LF = 10;
const CR = 13;

/**
 * Turns findings into faults: ordered by position, at most `limit`.
 */
export function faultsOf(text: string, findings: readonly Finding[], limit: number): Fault[] {
  const ordered = [...findings].sort((a, b) => a.offset - b.offset).slice(0, limit);
  const placeOf = placesIn(text);
  return ordered.map(({ pointer, offset, found, expected, ...rest }) => {
    const hint = typeof rest.hint === 'function' ? rest.hint() : rest.hint;
    const { line, column } = placeOf(offset);
    const place = `${pointer === '' ? 'The document' : pointer} (${line}:${column})`;
    const sentence = `${place}: found ${found}, expected ${expected}${hint === undefined ? '' : `; ${hint}`}`;
    const message = sentence.endsWith('?') ? sentence : `${sentence}.`;
    return { pointer, line, column, found, expected, ...(hint !== undefined && { hint }), message };
  });
}

/** Line and column of offsets that are asked for in ascending order: one walk for all of them. A line ends with LF, CR LF or CR. */
function placesIn(text: string): (offset: number) => { line: number; column: number } {
  let line = 1;
  let start = 0;
  let at = 0;
  return (offset) => {
    for (; at < offset; at += 1) {
      const unit = text.charCodeAt(at);
      if (unit !== LF && (unit !== CR || text.charCodeAt(at + 1) === LF)) continue;
      line += 1;
      start = at + 1;
    }
    return { line, column: offset - start + 1 };
  };
}

/** What a pointer spells in another way, lone surrogates included. */
const SPECIAL = /[~/\ud800-\udfff]/;

/**
 * The pointer of a member or item of `pointer`.
 */
export function pointerTo(pointer: string, name: string | number): string {
  // every value of a document gets one: what needs no change is not looked at twice
  if (typeof name === 'number' || !SPECIAL.test(name)) return `${pointer}/${name}`;
  return `${pointer}/${name.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/**
 * A text in quotes, on one line, long ones cut, for a message.
 */
export function quote(text: string): string {
  const clipped = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(clipped.toWellFormed());
}

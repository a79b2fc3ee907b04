// Finds the here-documents (`<<EOF`) that a shell command leaves open at its end. bash takes everything up to the end of
// the command for their text, so nothing can be put behind such a command before they are closed.

export interface OpenHereDocuments {
  /** The lines that would close them, in this order. */
  readonly delimiters: readonly string[];
  /** Whether the command ends in the text of one with a quoted delimiter, where a backslash is only a backslash. */
  readonly raw: boolean;
}

interface HereDocument {
  readonly delimiter: string;
  readonly quoted: boolean;
  /** `<<-`: tabs before its lines do not count. */
  readonly dashed: boolean;
}

interface Lexing {
  readonly text: string;
  at: number;
  /** Begun in this order and read from the next line on. */
  pending: HereDocument[];
  raw: boolean;
}

/** A construct that may hold others. */
interface Frame {
  readonly closer: string;
  /** `code`: commands, `quote`: a text in double quotes, `raw`: neither (arithmetic, a parameter's name and default). */
  readonly kind: 'code' | 'quote' | 'raw';
  /** Here-documents that were pending when it began. */
  readonly pending: number;
}

/**
 * The here-documents that are open at the end of a command. None as well when the command ends inside a quote or a
 * substitution: no shell runs that anyway. Follows bash; never throws.
 */
export function openHereDocuments(command: string): OpenHereDocuments {
  const lexing: Lexing = { text: command, at: 0, pending: [], raw: false };
  const stack: Frame[] = [];
  while (lexing.at < command.length) step(lexing, stack);
  return stack.length === 0 ? { delimiters: lexing.pending.map((one) => one.delimiter), raw: lexing.raw } : { delimiters: [], raw: false };
}

/** Reads one character, or one construct that holds no other. */
function step(lexing: Lexing, stack: Frame[]): void {
  const { text, at } = lexing;
  const { closer, kind } = stack.at(-1) ?? { closer: '', kind: 'code' };
  if (text[at] === '\\') {
    lexing.at += 2;
    return;
  }
  if (closer !== '' && text.startsWith(closer, at)) {
    const ended = stack.pop();
    // Between backquotes stands a script of its own, whose here-documents end with it.
    if (closer === '`') lexing.pending = lexing.pending.slice(0, ended?.pending);
    lexing.at += closer.length;
    return;
  }
  const opened = openingAt(text, at, kind);
  if (opened !== undefined) {
    stack.push({ ...opened.frame, pending: lexing.pending.length });
    lexing.at += opened.length;
  } else if (kind !== 'code') lexing.at += kind === 'quote' ? 1 : quotedLength(text, at);
  else if (text[at] === '\n') {
    lexing.at += 1;
    readTexts(lexing);
  } else if (text[at] === '#' && (at === 0 || /[\s;&|()`]/.test(text[at - 1] ?? ''))) lexing.at = endOfLine(text, at);
  else if (text.startsWith('<<<', at)) lexing.at += 3;
  else if (text.startsWith('<<', at)) readOperator(lexing);
  else lexing.at += quotedLength(text, at);
}

function openingAt(text: string, at: number, kind: Frame['kind']): { frame: Omit<Frame, 'pending'>; length: number } | undefined {
  if (text.startsWith('$((', at)) return { frame: { closer: '))', kind: 'raw' }, length: 3 };
  if (text.startsWith('$(', at)) return { frame: { closer: ')', kind: 'code' }, length: 2 };
  if (text.startsWith('${', at)) return { frame: { closer: '}', kind: kind === 'quote' ? 'quote' : 'raw' }, length: 2 };
  if (text[at] === '`') return { frame: { closer: '`', kind: 'code' }, length: 1 };
  if (kind === 'quote') return undefined;
  if (text[at] === '"') return { frame: { closer: '"', kind: 'quote' }, length: 1 };
  if (text.startsWith('((', at) && kind === 'code') return { frame: { closer: '))', kind: 'raw' }, length: 2 };
  return text[at] === '(' ? { frame: { closer: ')', kind }, length: 1 } : undefined;
}

/** Of a text in single quotes, else of one character. */
function quotedLength(text: string, at: number): number {
  if (text[at] !== "'") return 1;
  const ansi = text[at - 1] === '$';
  for (let end = at + 1; end < text.length; end += 1) {
    if (ansi && text[end] === '\\') end += 1;
    else if (text[end] === "'") return end + 1 - at;
  }
  return text.length - at;
}

/** `<<` or `<<-` and the delimiter behind it, whose quotes are taken off. */
function readOperator(lexing: Lexing): void {
  const { text } = lexing;
  const dashed = text[lexing.at + 2] === '-';
  let at = lexing.at + (dashed ? 3 : 2);
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  const word = /(?:\\[\s\S]|'[^']*'|"(?:\\[\s\S]|[^"\\])*"|[^ \t\n;&|()<>'"\\])+/y;
  word.lastIndex = at;
  const [found = ''] = word.exec(text) ?? [];
  lexing.at = at + found.length;
  // A backslash before a line break takes both away, as everywhere outside single quotes.
  const written = found.replaceAll('\\\n', '');
  if (written === '') return;
  const delimiter = written.replace(
    /\\([\s\S])|'([^']*)'|"((?:\\[\s\S]|[^"\\])*)"/g,
    (_, escaped = '', single = '', double = '') => escaped + single + double,
  );
  lexing.pending.push({ delimiter, quoted: delimiter !== written, dashed });
}

/** Reads the texts of the pending here-documents, which begin here; leaves those pending whose end is missing. */
function readTexts(lexing: Lexing): void {
  for (let [first] = lexing.pending; first !== undefined; [first] = lexing.pending) {
    if (!readText(lexing, first)) {
      lexing.raw = first.quoted;
      return;
    }
    lexing.pending = lexing.pending.slice(1);
  }
}

function readText(lexing: Lexing, { delimiter, quoted, dashed }: HereDocument): boolean {
  const { text } = lexing;
  let line = '';
  while (lexing.at < text.length) {
    const end = endOfLine(text, lexing.at);
    line += text.slice(lexing.at, end);
    lexing.at = end + 1;
    // Without quotes, a backslash at the end joins the next line to this one.
    if (!quoted && endsInBackslash(line)) line = line.slice(0, -1);
    else if ((dashed ? line.replace(/^\t+/, '') : line) === delimiter) return true;
    else line = '';
  }
  return false;
}

function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

/** Whether an odd number of backslashes stands at the end. Counted from there: a pattern would begin anew at each of thousands. */
export function endsInBackslash(text: string): boolean {
  let from = text.length;
  while (from > 0 && text[from - 1] === '\\') from -= 1;
  return (text.length - from) % 2 === 1;
}

// Log lines of dynos as a page shows them: time, text, and the colours that the process asked for. What else a process
// sends to a terminal (cursor movements, titles, bells) is dropped.
import Anser from 'anser';

/** A piece of a line and the classes it is drawn with; only names of CLASSES. */
export type Piece = readonly [text: string, classes: string];

export interface LogLineView {
  /** ISO 8601; empty where the line does not tell. */
  readonly at: string;
  /** Whether the platform wrote it, not the process. */
  readonly platform: boolean;
  readonly pieces: readonly Piece[];
}

/** Characters of one line that are shown; Heroku cuts at 10,000 bytes. */
const MAX_LINE = 10_000;
const ESC = String.fromCharCode(27);
const BEL = String.fromCharCode(7);
/** Titles and links (OSC), control sequences other than colours (CSI … m), two-character escapes, other control characters. */
const OTHER_SEQUENCES = new RegExp(
  `${ESC}\\][^${BEL}${ESC}]*(?:${BEL}|${ESC}\\\\)?|${ESC}\\[[0-9;?]*[A-Za-ln-z]|${ESC}[^\\[\\]]|(?![\\t${ESC}])\\p{Cc}`,
  'gu',
);
/** A sequence that was cut off. */
const RESTS = new RegExp(`${ESC}(\\[[0-9;]*m?)?`, 'g');

/** Reads `2026-11-22T01:27:50.332000+00:00 app[run.1234]: text`. */
export function readLogLine(line: string): LogLineView {
  const match = /^(\S+) ([\w-]+)\[([^\]]+)\]: (.*)$/s.exec(line.slice(0, MAX_LINE));
  if (match === null) return { at: '', platform: false, pieces: piecesOf(line.slice(0, MAX_LINE)) };
  const [, time = '', source = '', , text = ''] = match;
  const at = Date.parse(time);
  return { at: Number.isNaN(at) ? '' : new Date(at).toISOString(), platform: source === 'heroku', pieces: piecesOf(text) };
}

function piecesOf(text: string): Piece[] {
  const cleaned = text.replace(OTHER_SEQUENCES, '');
  if (!cleaned.includes(ESC)) return [[cleaned, '']];
  return Anser.ansiToJson(cleaned, { json: true, use_classes: true, remove_empty: true }).map(({ content, fg, bg, decorations }) => {
    // 256 and 16 million colours have no class of ours: the text is shown in its own
    const wanted = [fg === null ? '' : fg, bg === null ? '' : `bg-${bg}`, ...decorations.map((name) => `ansi-${name}`)];
    return [content.replace(RESTS, ''), wanted.filter((name) => CLASSES.has(name)).join(' ')];
  });
}

const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
const CLASSES: ReadonlySet<string> = new Set([
  ...COLOURS.flatMap((name) => [`ansi-${name}`, `ansi-bright-${name}`, `bg-ansi-${name}`, `bg-ansi-bright-${name}`]),
  'ansi-bold',
  'ansi-dim',
  'ansi-italic',
  'ansi-underline',
  'ansi-strikethrough',
]);

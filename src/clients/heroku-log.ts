// The log of an app: fetched by a log session, read for how a dyno ended (heroku.md §2.5).
import type { DynoEnd } from './ports.ts';

/** Lines that Heroku keeps at most. */
export const LOG_HISTORY = 1_500;
/** Bytes of a log that are read: 1,500 lines of 10,000 bytes would be the most Heroku sends. */
const MAX_LOG_BYTES = 16_777_216;
const MAX_LINE_CHARACTERS = 65_536;

interface LogLine {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** `app`, or `heroku` for the platform's own lines. */
  readonly source: string;
  readonly dyno: string;
  readonly text: string;
}

/** Reads `2026-11-22T01:27:50.332000+00:00 app[run.1234]: text`; undefined for anything else. */
function readLine(line: string): LogLine | undefined {
  const match = /^(\S+) ([\w-]+)\[([^\]]+)\]: (.*)$/s.exec(line);
  if (match === null) return undefined;
  const [, time = '', source = '', dyno = '', text = ''] = match;
  return { at: Date.parse(time), source, dyno, text };
}

/**
 * How the dyno ended, from the platform's lines about it alone (a process can print what it likes). Dyno names come round
 * again: lines before `after` (ms since 1970), or before the last start of a process under that name, are another dyno's.
 */
export function readEnd(lines: readonly string[], dynoName: string, after: number | undefined): DynoEnd {
  let status: number | undefined;
  let up = false;
  for (const line of lines) {
    const read = readLine(line);
    if (read === undefined || read.source !== 'heroku' || read.dyno !== dynoName) continue;
    if (after !== undefined && read.at < after) continue;
    if (read.text.startsWith('Starting process with command')) {
      status = undefined;
      up = false;
    }
    const exit = /^Process exited with status (\d+)/.exec(read.text);
    if (exit !== null) status = Number(exit[1]);
    const change = /^State changed from (\w+) to (\w+)/.exec(read.text);
    if (change !== null && (change[1] === 'up' || change[2] === 'up')) up = true;
  }
  return { status, up };
}

/** Keeps the lines that are the dyno's own, the platform's about it included. */
export function linesOf(lines: readonly string[], dynoName: string): string[] {
  return lines.filter((line) => readLine(line)?.dyno === dynoName);
}

/** Keeps the lines that are the dyno's own and no older than `after` (ms since 1970). */
export function linesSince(lines: readonly string[], dynoName: string, after: number): string[] {
  return lines.filter((line) => {
    const read = readLine(line);
    return read !== undefined && read.dyno === dynoName && !(read.at < after);
  });
}

/**
 * The lines behind a tailing session's URL as they come. Ends with the session, or with the signal; throws what fetch throws,
 * and an Error without the URL in it for an answer other than 200.
 */
export async function* followLines(logplexUrl: string, signal: AbortSignal): AsyncGenerator<string> {
  const response = await fetch(logplexUrl, { headers: { accept: 'text/plain' }, signal });
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`HTTP ${response.status} from the log session`);
  }
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n');
    // a line without an end must not grow for ever; Heroku cuts them at 10,000 bytes
    rest = (lines.pop() ?? '').slice(0, MAX_LINE_CHARACTERS);
    for (const line of lines) if (line !== '') yield line;
  }
}

/**
 * The text behind a log session's URL, line by line. The URL is a secret of its own and takes no token. Throws what fetch throws,
 * and an Error without the URL in it for an answer other than 200.
 */
export async function fetchLines(logplexUrl: string, signal: AbortSignal): Promise<string[]> {
  const response = await fetch(logplexUrl, { headers: { accept: 'text/plain' }, signal });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`HTTP ${response.status} from the log session`);
  }
  const decoder = new TextDecoder();
  let text = '';
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_LOG_BYTES) break;
    text += decoder.decode(chunk, { stream: true });
  }
  return text.split('\n').filter((line) => line !== '');
}

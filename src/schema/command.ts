// The command of a dyno. Every launch carries its task and attempt as a shell comment at the end, which dyno lists
// and webhooks show: by it a dyno whose launch call had no answer is found again.
import { endsInBackslash, openHereDocuments } from './here-documents.ts';
import { parseTaskId } from './ids.ts';

const MARKER = /(?:^|\s)# (\S+)\/([1-9]\d{0,8})\s*$/;

/**
 * The command with ` # <task id>/<attempt>` behind it, so that it is the same command to a shell. A command of several
 * lines gets it on a line of its own, behind the ends of here-documents that it left open (bash supplies those itself at
 * the end of a command, with a warning).
 */
export function withMarker(cmd: string, taskId: string, attempt: number): string {
  const marker = `# ${taskId}/${attempt}`;
  const { delimiters, raw } = openHereDocuments(cmd);
  // To bash a single backslash at the very end is a backslash, as two of them are anywhere else.
  const whole = endsInBackslash(cmd) && !raw ? `${cmd}\\` : cmd;
  if (!whole.includes('\n')) return `${whole} ${marker}`;
  if (delimiters.length === 0) return `${whole}\n${marker}`;
  // A line break that a backslash takes away ends no line.
  const endsLine = whole.endsWith('\n') && (raw || !endsInBackslash(whole.slice(0, -1)));
  return [endsLine ? whole.slice(0, -1) : whole, ...delimiters, marker].join('\n');
}

/**
 * Reads the marker at the end of a command; undefined when there is none of ours.
 */
export function readMarker(command: string): { taskId: string; attempt: number } | undefined {
  const [, taskId = '', attempt = ''] = MARKER.exec(command) ?? [];
  return parseTaskId(taskId) === undefined ? undefined : { taskId, attempt: Number(attempt) };
}

/**
 * The first word of a command, by which the platform looks into the Procfile; empty for a blank command.
 */
export function processTypeOf(cmd: string): string {
  return cmd.trimStart().split(/\s/, 1)[0] ?? '';
}

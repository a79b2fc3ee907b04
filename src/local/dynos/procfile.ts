import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const entry = /^([A-Za-z0-9_-]+):(.*)$/;

/** The Procfile's process types and their commands; other lines (blank, `#`) are passed over. */
export function parseProcfile(source: string): Map<string, string> {
  const types = new Map<string, string>();
  for (const line of source.split(/\r?\n/)) {
    const found = entry.exec(line);
    const command = found?.[2]?.trim() ?? '';
    if (found?.[1] !== undefined && command !== '') types.set(found[1], command);
  }
  return types;
}

/** The Procfile of an app folder; an app without one has no process types. */
export async function readProcfile(appDir: string): Promise<Map<string, string>> {
  try {
    return parseProcfile(await readFile(join(appDir, 'Procfile'), 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return new Map();
    throw error;
  }
}

/**
 * What a one-off dyno runs: when the first word of the command is a process type it is replaced, textually, by that type's command, and the rest
 * is kept (`myworker 42` → `python dowork.py 42`; heroku.md 4.1). Any other command is left as it is.
 */
export function expandCommand(command: string, types: ReadonlyMap<string, string>): string {
  const [, before = '', word = '', rest = ''] = /^(\s*)(\S+)([\s\S]*)$/.exec(command) ?? [];
  const replacement = types.get(word);
  return replacement === undefined ? command : before + replacement + rest;
}

// Commands of the heroku CLI as a table: one row for each.
import { expect } from 'vitest';
import { type Finished, heroku } from './heroku.ts';

/** One command, what it must print and do. `after` looks at what it left behind. */
export interface Row {
  command: string[];
  input?: string;
  status?: number;
  stdout?: RegExp;
  stderr?: RegExp;
  after?: (done: Finished) => Promise<unknown>;
}

/** As a table of `it.each`: each row under its command. */
export const rows = (table: Row[]): [string, Row][] => table.map((row) => [`heroku ${row.command.join(' ')}`, row]);

/** Runs a row's command as the user of `env`, and looks at what it says. */
export async function replay({ command, input, status = 0, stdout, stderr, after }: Row, env: Record<string, string>): Promise<void> {
  const done = await heroku(command, env, input === undefined ? {} : { input });
  expect({ ...done, stdout: '', stderr: done.status === status ? '' : done.stderr }).toEqual({ status, stdout: '', stderr: '' });
  if (stdout !== undefined) expect(done.stdout).toMatch(stdout);
  if (stderr !== undefined) expect(done.stderr).toMatch(stderr);
  await after?.(done);
}

// docs/commands.md names every command and option that there is, and none that is not.
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { renderCommandPage } from '../../scripts/command-page/render.ts';
import { createProgram } from '../../src/cli/program.ts';

const page = await readFile(new URL('../../docs/commands.md', import.meta.url), 'utf8');
const program = () => createProgram({ env: {}, exampleApp: 'examples/node-starter' });

it('is the page of the commands as they are: else run `npm run commands-page`', () => {
  expect(page).toBe(renderCommandPage(program()));
});

it('would not be that of a program with one command or option more or less', () => {
  const more = program();
  more.command('dance <partner>').description('dances').option('--slow', 'takes its time');
  expect(renderCommandPage(more)).toMatch(/^\| `dance <partner>` +\| dances +\| options below +\|$/m);
  expect(renderCommandPage(more)).toMatch(/^## dance\n\n.*\n.*\n\| `--slow` \| takes its time \| +\|$/m);
  const optioned = program();
  optioned.commands.find((command) => command.name() === 'runs:cancel')?.option('--json', 'print JSON');
  expect(renderCommandPage(optioned)).not.toBe(page);
});

// `npm run commands-page`: writes docs/commands.md. Run it after a change of a command; tests/cli/command-page.test.ts says when it is due.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createProgram } from '../../src/cli/program.ts';
import { renderCommandPage } from './render.ts';

const file = fileURLToPath(new URL('../../docs/commands.md', import.meta.url));
writeFileSync(file, renderCommandPage(createProgram({ env: {}, exampleApp: 'examples/node-starter' })));
console.log(file);

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Failure, messageOf } from '../schema/failures.ts';
import { createProgram } from './program.ts';

// Five processes start at once: compiled code is kept from one start to the next, and each command loads its own part alone.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/autofiles', import.meta.url)));

/** The app that `npm start` runs when none is named. */
const EXAMPLE_APP = fileURLToPath(new URL('../../examples/node-starter', import.meta.url));

/** Exit statuses: 0 done, 1 the run failed or something went wrong, 2 the command line or a file is not valid. */
try {
  await createProgram({ env: process.env, exampleApp: EXAMPLE_APP }).parseAsync();
} catch (error) {
  console.error(`autofiles: ${messageOf(error)}`);
  const invalid =
    error instanceof Failure && (error.code === 'request_invalid' || error.code === 'workflow_invalid' || error.code === 'config_invalid');
  process.exit(invalid ? 2 : 1);
}

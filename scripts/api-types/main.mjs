// `npm run api-types`: writes src/cli/api-types.ts, the types of the REST API for openapi-fetch, made by openapi-typescript out of
// the OpenAPI document. Run it after a change of a route's schemas; tests/api/api-types.test.ts says when it is due. The
// generator wants TypeScript 5 and has its packages beside this file, which this installs; no other command needs them.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiRoutes } from '../../src/http/api.ts';
import { openApiDocument } from '../../src/http/openapi.ts';
import { installLocked } from '../install-locked.mjs';
import { stamped, typedParts } from './stamp.ts';

const own = dirname(fileURLToPath(import.meta.url));
const root = join(own, '..', '..');
const run = (command, args, options) => {
  if (spawnSync(command, args, { stdio: ['inherit', 2, 2], ...options }).status === 0) return;
  console.error(`api-types: ${command} ${args.join(' ')} failed`);
  process.exit(1);
};

if (!installLocked(own)) process.exit(1);
const { default: openapiTS, astToString } = await import('openapi-typescript');

// only the routes' entries are read: nothing behind them is called
const document = typedParts(openApiDocument(apiRoutes({ tasks: {}, files: {}, resources: {}, webhooks: {} })));
const file = join(root, 'src', 'cli', 'api-types.ts');
writeFileSync(file, astToString(await openapiTS(structuredClone(document), { alphabetize: true })));
run('npx', ['biome', 'check', '--write', '--linter-enabled=false', file], { cwd: root });
writeFileSync(file, stamped(document, readFileSync(file, 'utf8')));
console.log(file);

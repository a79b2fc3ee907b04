// The types that the command line calls the API by are those of the API as it is.
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { stamped, typedParts } from '../../scripts/api-types/stamp.ts';
import { apiRoutes } from '../../src/http/api.ts';
import { openApiDocument } from '../../src/http/openapi.ts';

it('were made of the OpenAPI document as it is now, and nobody edited them: else run `npm run api-types`', async () => {
  // only their entries are read: nothing is called
  const routes = apiRoutes({ tasks: {}, files: {}, resources: {}, webhooks: {} } as unknown as Parameters<typeof apiRoutes>[0]);
  const text = await readFile(new URL('../../src/cli/api-types.ts', import.meta.url), 'utf8');
  const [stamp] = text.split('\n', 1);
  expect(stamp).toBe(stamped(typedParts(openApiDocument(routes)), text).split('\n', 1)[0]);
});

// What anybody may cause any number of times fills no log.
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { type HerokuHooksDeps, herokuHooksRoutes } from '../../src/http/heroku-hooks-routes.ts';

test('refused events are logged ten times a minute, the next line says how many were not', async () => {
  const lines: Readonly<Record<string, unknown>>[] = [];
  let now = 1_000_000;
  const quiet = { debug: () => {}, info: () => {}, error: () => {} };
  const routes = herokuHooksRoutes({
    // what refusing asks for: nobody is known
    resources: { get: async () => await Promise.resolve(undefined) },
    addressOf: () => '192.0.2.1',
    now: () => now,
    log: { ...quiet, warn: (fields: Readonly<Record<string, unknown>>) => lines.push(fields) },
  } as unknown as HerokuHooksDeps);
  const refused = async (times: number) => {
    for (let i = 0; i < times; i += 1) await routes.request(`/?resource=${randomUUID()}`, { method: 'POST', body: '{}' });
  };
  await refused(25);
  expect(lines).toEqual(Array(10).fill({ address: '192.0.2.1' }));
  now += 59_999;
  await refused(1);
  expect(lines).toHaveLength(10);
  now += 1;
  await refused(2);
  expect(lines.slice(10)).toEqual([{ address: '192.0.2.1', unsaid: 16 }, { address: '192.0.2.1' }]);
});

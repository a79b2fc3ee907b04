// When an operator is called because of credentials, and when not.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { credentialAlarm } from '../../src/processors/credentials.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, startAddonWorld } from './addon-world.ts';

const HOUR_MS = 3_600_000;
const held = (leftMs: number) => ({ accessKeyId: 'A', secretAccessKey: 's', sessionToken: 't', expiresAt: leftMs });

let world: AddonWorld;
beforeAll(async () => {
  world = await startAddonWorld();
});
afterAll(async () => {
  await world?.stop();
});

test('a resource that gets no credentials calls for that, from the second look on', async () => {
  // Heroku knows nothing of it, so it cannot be told of any
  const id = randomUUID();
  await world.resources.put({ id, app: 'by-hand', bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'basic' });
  await world.work();
  const alarms = () => world.lines.filter(({ message, fields }) => message.startsWith('ALARM') && fields['resource'] === id);
  await until('an alarm', () => alarms().length > 0);
  expect(alarms().map(({ message }) => message)).toEqual(['ALARM: the resource has no credentials, and its rotation does not give it any']);
  await until('the failed rotation', () => world.lines.some(({ message }) => message === 'resource job not done yet'));
});

test('credentials that end within two hours do, and so does a resource that still has none at the second look', () => {
  expect(credentialAlarm(held(3 * HOUR_MS), false, 0)).toBeUndefined();
  expect(credentialAlarm(held(1.5 * HOUR_MS), false, 0)).toEqual({
    text: 'ALARM: the credentials end in less than two hours and were not rotated',
    leftMinutes: 90,
  });
  expect(credentialAlarm(undefined, false, 0)).toBeUndefined();
  expect(credentialAlarm(undefined, true, 0)).toEqual({
    text: 'ALARM: the resource has no credentials, and its rotation does not give it any',
  });
});

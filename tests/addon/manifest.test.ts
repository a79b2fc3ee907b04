// The manifest that is pushed to Heroku, against Heroku's rules (heroku.md §1.9) and against what the code does.
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { configVarsOf } from '../../src/processors/credentials.ts';
import { awsRegionOf } from '../../src/schema/heroku-regions.ts';

const manifest = JSON.parse(await readFile(new URL('../../addon-manifest.json', import.meta.url), 'utf8'));

test('every config var that we set is declared, under the prefix', () => {
  const set = configVarsOf(
    { bucket: 'b', region: 'us-east-1' },
    { accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't', expiresAt: 0 },
  );
  expect(Object.keys(set).sort()).toEqual([...manifest.api.config_vars].sort());
  for (const name of manifest.api.config_vars) expect(name).toMatch(/^LD_[0-9A-Z_]+$/);
  expect(manifest.api.config_vars_prefix).toBe('LD');
});

test('regions are Heroku’s names, one of them us, and all in one AWS region: a bucket stands where its queue does', () => {
  expect(manifest.api.regions).toContain('us');
  expect(new Set(manifest.api.regions.map(awsRegionOf))).toEqual(new Set(['us-east-1']));
});

test('it holds no secret, and production is HTTPS', () => {
  expect(manifest.id).toMatch(/^[a-z][a-z0-9-]+$/);
  expect(manifest.api.version).toBe('3');
  for (const secret of [manifest.api.password, manifest.api.sso_salt]) expect(secret).toBe('set-by-the-partner-portal');
  for (const url of Object.values<string>(manifest.api.production)) expect(new URL(url).protocol).toBe('https:');
});

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findAccess } from '../../src/cli/access.ts';
import { envLine } from '../../src/cli/env-format.ts';

it('finds the cloud by the file of the app where the variables are empty, and by no empty endpoint', async () => {
  const app = await mkdtemp(join(tmpdir(), 'autofiles-access-'));
  try {
    await mkdir(join(app, '.autofiles'));
    await writeFile(
      join(app, '.autofiles/env'),
      envLine('AUTOFILES_URL', 'http://127.0.0.1:8080') + envLine('AUTOFILES_TOKEN', 'from-the-file'),
    );
    const env = { AUTOFILES_URL: '', AUTOFILES_TOKEN: ' ', AWS_ENDPOINT_URL_S3: '' };
    const found = await findAccess(env, undefined, app);
    expect(found).toEqual({ AUTOFILES_URL: 'http://127.0.0.1:8080', AUTOFILES_TOKEN: 'from-the-file' });
    const given = { AUTOFILES_URL: 'https://autofiles.example', AUTOFILES_TOKEN: 'given', AWS_ENDPOINT_URL_S3: '' };
    expect(await findAccess(given, undefined, app)).toEqual({ AUTOFILES_URL: 'https://autofiles.example', AUTOFILES_TOKEN: 'given' });
  } finally {
    await rm(app, { recursive: true });
  }
});

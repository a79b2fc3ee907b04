import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { processTypeOf } from '../../src/schema/command.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { exampleApp } from '../support/local-cloud.ts';

const EXAMPLES = ['node-starter', 'python-starter', 'thumbnails'];

describe.each(EXAMPLES)('examples/%s', (name) => {
  const app = exampleApp(name);

  it('has a Procfile that `heroku local` reads too: no hyphen in a type, and every file it names is there', async () => {
    const lines = (await readFile(join(app, 'Procfile'), 'utf8')).trimEnd().split('\n');
    for (const line of lines) {
      const [, file = ''] = /^[a-z_]+: (?:node|python3) (\w+\.(?:mjs|py))$/.exec(line) ?? [];
      expect(existsSync(join(app, file)) && file !== '', line).toBe(true);
    }
  });

  it('has valid workflows whose commands are types of its Procfile', async () => {
    const types = new Set([...(await readFile(join(app, 'Procfile'), 'utf8')).matchAll(/^(\w+):/gm)].map(([, type]) => type));
    const files = await workflowsOf(app);
    expect(files).not.toEqual([]);
    for (const file of files) {
      const parsed = parseWorkflow(await readFile(file, 'utf8'));
      if (!parsed.ok) throw new Error(`${file}: ${parsed.faults.map(({ message }) => message).join('; ')}`);
      for (const task of parsed.plan.steps.flatMap(({ tasks }) => tasks)) expect(['bash', ...types]).toContain(processTypeOf(task.cmd));
    }
  });

  it('has an app.json that asks for the add-on, and a README', async () => {
    const manifest: unknown = JSON.parse(await readFile(join(app, 'app.json'), 'utf8'));
    expect(manifest).toMatchObject({ name: expect.any(String), description: expect.any(String), addons: ['line-d'] });
    expect((await readFile(join(app, 'README.md'), 'utf8')).length).toBeGreaterThan(200);
  });
});

describe('examples/node-starter', () => {
  it('depends on nothing', async () => {
    const app = exampleApp('node-starter');
    expect(JSON.parse(await readFile(join(app, 'package.json'), 'utf8'))).not.toHaveProperty('dependencies');
    for (const file of (await readdir(app)).filter((one) => one.endsWith('.mjs'))) {
      const imported = [...(await readFile(join(app, file), 'utf8')).matchAll(/from '([^']+)'/g)].map(([, from]) => from ?? '');
      expect(imported.filter((from) => !from.startsWith('node:') && from !== './s3.mjs')).toEqual([]);
    }
  });
});

describe('examples/thumbnails', () => {
  it('names exact versions', async () => {
    const { dependencies } = JSON.parse(await readFile(join(exampleApp('thumbnails'), 'package.json'), 'utf8'));
    for (const version of Object.values(dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe('examples/python-starter', () => {
  it.each([
    // SHA-256 of the blocks of the add-on's documentation as it prints them, of 26 September 2024
    ['starter_workflow.py', '1b93def44b10a0491360c2bd745b4934ae8e02b07bbf855d912ab8c28a5d5f3b'],
    ['utils.py', '583ac17e5ef3aebb335f58d78454a38cf00657defdd5ecca956ea05e9e7d2a56'],
    ['process_media.py', 'facaa8cc20da5065b28a90cfe4ee66dc128914a8954479cc674d584c8f7bc76c'],
  ])("has the documentation's %s byte for byte", async (file, digest) => {
    expect(
      createHash('sha256')
        .update(await readFile(join(exampleApp('python-starter'), file)))
        .digest('hex'),
    ).toBe(digest);
  });
});

async function workflowsOf(app: string): Promise<string[]> {
  const files = await readdir(app, { recursive: true });
  return files.filter((file) => /^(?:workflows\/[^/]+|workflow)\.json$/.test(file)).map((file) => join(app, file));
}

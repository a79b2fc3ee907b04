import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';

/** What npm says when there is no way to the registry, not when a package or the lock is wrong. */
const UNREACHABLE = /ENOTFOUND|ECONNREFUSED|ECONNRESET|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT/;

describe('examples/thumbnails', { timeout: 240_000 }, () => {
  let cloud: LocalCloud;
  let reachable = false;
  beforeAll(async () => {
    const prepare = async (app: string) => {
      reachable = await installed(app);
    };
    cloud = await startLocalCloud({ app: exampleApp('thumbnails'), prepare });
  }, 400_000);
  afterAll(async () => {
    await cloud?.stop();
  }, 60_000);

  it('makes a real thumbnail of the picture that is uploaded with its workflow', async (test) => {
    if (!reachable) return test.skip('the npm registry cannot be reached');
    expect(await cloud.run('node', ['upload.mjs'])).toMatchObject({ status: 0 });
    const run = await cloud.ended('in/img/picture.jpg');
    expect(run).toMatchObject({ state: 'succeeded', error: null });
    const state = JSON.parse(run.steps[0]?.tasks[0]?.output?.state ?? '');
    expect(state).toMatchObject({ width: 320, height: 213 });
    const look = `
      const { bucketOf } = await import('./s3.mjs');
      const { default: sharp } = await import('sharp');
      const thumbnail = await bucketOf(process.env).get(process.argv[1]);
      const { format, width, height } = await sharp(thumbnail).metadata();
      const { channels } = await sharp(thumbnail).stats();
      console.log(JSON.stringify({ format, width, height, size: thumbnail.length, range: channels[0].max - channels[0].min }));`;
    const seen = await cloud.run('node', ['--input-type=module', '-e', look, '--', state.thumbnail]);
    expect(seen).toMatchObject({ status: 0 });
    const { range, ...picture } = JSON.parse(seen.stdout);
    expect(picture).toEqual({ format: 'jpeg', width: 320, height: 213, size: state.bytes });
    // a picture with light and dark in it, not a blank one
    expect(range).toBeGreaterThan(150);
  });

  it('gives an output for an empty picture', async (test) => {
    if (!reachable) return test.skip('the npm registry cannot be reached');
    await writeFile(join(cloud.app, 'empty.jpg'), '');
    expect(await cloud.run('node', ['upload.mjs', 'empty.jpg'])).toMatchObject({ status: 0 });
    const run = await cloud.ended('in/img/empty.jpg');
    expect(run.state).toBe('succeeded');
    expect(JSON.parse(run.steps[0]?.tasks[0]?.output?.state ?? '')).toEqual({ thumbnail: null, why: 'the file is empty' });
  });

  it('fails the run for a file that is no picture', async (test) => {
    if (!reachable) return test.skip('the npm registry cannot be reached');
    await writeFile(join(cloud.app, 'broken.jpg'), 'this is text');
    expect(await cloud.run('node', ['upload.mjs', 'broken.jpg'])).toMatchObject({ status: 0 });
    const run = await cloud.ended('in/img/broken.jpg');
    expect(run).toMatchObject({ state: 'failed', error: { message: expect.stringContaining('without output') } });
  });
});

/** Installs the example's own locked packages; false when the registry cannot be reached. Throws with npm's words otherwise. */
function installed(app: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const args = ['ci', '--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=1', '--loglevel=error'];
    execFile('npm', args, { cwd: app, timeout: 240_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(true);
      else if (UNREACHABLE.test(stderr)) resolve(false);
      else reject(new Error(`npm ci in ${app}: ${error.message}\n${stdout}\n${stderr}`, { cause: error }));
    });
  });
}

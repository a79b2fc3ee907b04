// An app whose folder has an apostrophe and a space in its path: what `autofiles start` prints can be typed as it stands.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';
import { until } from '../support/until.ts';

const cli = fileURLToPath(new URL('../../bin/autofiles.mjs', import.meta.url));

describe("an app in a folder named it's my app", { timeout: 180_000 }, () => {
  let cloud: LocalCloud;
  beforeAll(async () => {
    cloud = await startLocalCloud({ app: exampleApp('node-starter'), name: "it's my app" });
    await until('what comes next', async () => cloud.printed().includes('Ctrl-C stops'), 100_000);
  }, 180_000);
  afterAll(async () => {
    await cloud?.stop();
  });

  it('has an environment that a shell reads by the printed line', async () => {
    const line = /`(set -a; .*)` gives/.exec(cloud.printed())?.[1] ?? '';
    const { status, stdout, stderr } = await cloud.run('sh', ['-c', `${line}; printf %s "$NODE_EXTRA_CA_CERTS"`], {
      NODE_EXTRA_CA_CERTS: undefined,
    });
    expect([status, stdout, stderr]).toEqual([0, `${cloud.app}/.autofiles/dynos/tls/ca.pem`, '']);
  });

  it('runs commands attached', async () => {
    // nothing but the file in the app's folder says where the cloud is
    const without = Object.fromEntries(Object.keys(cloud.variables).map((name) => [name, undefined]));
    const { status, stdout } = await cloud.run(process.execPath, [cli, 'run', 'echo here; exit 3'], without);
    expect([status, stdout]).toEqual([3, 'here\n']);
  });

  it('is reached from any folder by the printed commands', async () => {
    const without = Object.fromEntries(Object.keys(cloud.variables).map((name) => [name, undefined]));
    const type = (command: string) => cloud.run('sh', ['-c', `cd /tmp && ${command}`], without);
    const [put = '', runs = '', info = ''] = [...cloud.printed().matchAll(/`([^`]* (?:put|runs|runs:info) ?[^`]*)`/g)].map(
      ([, command]) => command,
    );
    const listed = await type(`${runs} --json`);
    expect(listed).toMatchObject({ status: 0, stderr: '' });
    const id = /"id": "([^"]+)"/.exec(listed.stdout)?.[1] ?? '';
    expect(await type(info.replace('ID', id))).toMatchObject({ status: 0, stdout: expect.stringContaining(id), stderr: '' });
    await cloud.write('ours.json', JSON.stringify({ run: [{ cmd: 'true', no_output: true }] }));
    const file = (name: string) => `"$PWD_OF_APP/${name}"`;
    const order = put.replace('FILE', file('Procfile')).replace('WORKFLOW.json', file('ours.json'));
    expect(await cloud.run('sh', ['-c', `cd /tmp && ${order}`], { ...without, PWD_OF_APP: cloud.app })).toMatchObject({ status: 0 });
  });
});

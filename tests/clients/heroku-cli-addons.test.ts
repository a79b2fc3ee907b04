// Heroku's add-on commands, replayed with the real CLI against the local platform and a provider as Heroku's guide has it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PartnerReply, startPartner } from '../dynos/partner.ts';
import { eventually, platformWith } from '../dynos/platform.ts';
import { type Row, replay, rows } from './command-rows.ts';
import { herokuEnv } from './heroku.ts';

let platform: Awaited<ReturnType<typeof platformWith>>;
let partner: Awaited<ReturnType<typeof startPartner>>;
let home: string;
let env: Record<string, string>;

beforeAll(async () => {
  partner = await startPartner(answerAsProvider);
  platform = await platformWith({}, { providers: [partner.provider] });
  home = await mkdtemp(join(tmpdir(), 'autofiles-heroku-'));
  env = herokuEnv({ home, host: platform.base, token: 'secret-token', app: 'myapp', caFile: platform.dynos.caFile });
}, 900_000);

afterAll(async () => {
  await platform?.close();
  await partner?.close();
  if (home !== undefined) await rm(home, { recursive: true, force: true });
});

describe('add-ons', () => {
  it.each(
    rows([
      { command: ['addons:services'], stdout: /line-d\s+line\^d/ },
      { command: ['addons:plans', 'line-d'], stdout: /line-d:free[\s\S]*free[\s\S]*line-d:basic[\s\S]*\$15/ },
      {
        command: ['addons:create', 'line-d'],
        stdout:
          /line-D is being provisioned and will be available shortly\.[\s\S]*line-d-[a-z]+-\d{5} is being created in the background\. The app will restart when complete/,
        stderr: /Creating line-d on .*myapp.*free/s,
        after: () =>
          eventually('it is provisioned', async () => 'LD_S3_BUCKET' in (await platform.json<object>('GET', '/apps/myapp/config-vars'))),
      },
      { command: ['addons'], stdout: /line-d \(line-d-[a-z]+-\d{5}\)\s+free\s+.*created[\s\S]*as LD/ },
      { command: ['addons:info', 'line-d'], stdout: /Plan:\s+line-d:free[\s\S]*Attachments:\s+myapp::LD[\s\S]*State:\s+created/ },
      { command: ['addons:upgrade', 'line-d:basic'], stderr: /from line-d:free to line-d:basic.*done/s },
      {
        command: ['addons:upgrade', 'line-d:huge'],
        status: 1,
        stderr: /Couldn't find either the add-on service or the add-on plan of\s+(?:›\s+)?"line-d:huge"[\s\S]*line-d:basic/,
      },
      {
        command: ['addons:open', 'line-d', '--show-url'],
        async after({ stdout }) {
          const page = await fetch(stdout.trim());
          const html = await page.text();
          const form = new URLSearchParams();
          for (const [, name = '', value = ''] of html.matchAll(/name="([^"]+)" value="([^"]*)"/g)) form.set(name, value);
          const signed = await fetch(/action="([^"]+)"/.exec(html)?.[1] ?? '', { method: 'POST', body: form });
          expect([signed.status, await signed.json()]).toEqual([200, { signed_in: 'you@localhost' }]);
        },
      },
      { command: ['addons:attach', 'LD_ADDON', '--as', 'FILES'], stderr: /Attaching .*as FILES[\s\S]*done/ },
      { command: ['config:get', 'FILES_S3_BUCKET'], stdout: /^ld-private-\S+\n$/ },
      { command: ['addons:detach', 'FILES'], stderr: /Detaching FILES[\s\S]*done/ },
      { command: ['config:set', 'LD_S3_BUCKET=mine'], status: 2, stderr: /Cannot overwrite attachment values LD_S3_BUCKET/ },
      { command: ['addons:destroy', 'line-d', '--confirm', 'myapp'], stderr: /Destroying line-d-\S+ on .*myapp.*done/s },
      { command: ['config'], stdout: /^((?!LD_S3_BUCKET)[\s\S])*$/ },
      {
        command: ['addons:create', 'line-d', '--wait', '--name', 'mine', '--as', 'STORE'],
        stderr: /done/,
        stdout: /Created mine as STORE_S3_BUCKET/,
      },
      { command: ['addons:destroy', 'mine', '--confirm', 'myapp', '--wait'], stderr: /done/ },
      { command: ['addons:create', 'nothing-like-it'], status: 2, stderr: /Couldn't find either the add-on service/ },
    ]).map(([says, row]): [string, Row] => [says, row]),
  )('%s', async (_, row) => {
    // The name is not known before it is made.
    const addons = await platform.json<{ name: string }[]>('GET', '/addons');
    await replay({ ...row, command: row.command.map((word) => (word === 'LD_ADDON' ? (addons[0]?.name ?? word) : word)) }, env);
  });
});

/** A provider that provisions in the background as Heroku's guide has it: grant, token, config, provision. */
function answerAsProvider({ method, path, body }: { method: string; path: string; body: Record<string, never> }): PartnerReply {
  if (path === '/heroku/sso') return { status: 200, body: { signed_in: body['email'] } };
  if (method !== 'POST') return { status: 200, body: {} };
  provisionInBackground(body).catch((error: unknown) => console.error('the provider of the test failed:', error));
  return { status: 202, body: { id: body['uuid'], message: 'line-D is being provisioned and will be available shortly.' } };
}

async function provisionInBackground(body: { uuid?: string; oauth_grant?: { code: string } }): Promise<void> {
  const grant = new URLSearchParams({
    grant_type: 'authorization_code',
    code: body.oauth_grant?.code ?? '',
    client_secret: 'client-secret',
  });
  const answer = await fetch(`${platform.base}/oauth/token`, { method: 'POST', body: grant });
  const { access_token } = (await answer.json()) as { access_token: string };
  const headers = { authorization: `Bearer ${access_token}` };
  // Errors until our own answer has arrived there.
  await eventually(
    'the answer is accepted',
    async () => (await platform.call('GET', `/addons/${body.uuid}`, undefined, headers)).status === 200,
  );
  const config = [{ name: 'LD_S3_BUCKET', value: `ld-private-${body.uuid}` }];
  await platform.call('PATCH', `/addons/${body.uuid}/config`, { config }, headers);
  await platform.call('POST', `/addons/${body.uuid}/actions/provision`, undefined, headers);
}

// A platform whose add-ons one provider has. Whoever imports this has both closed after each test.
import { afterEach, expect } from 'vitest';
import { type PartnerCall, type PartnerReply, startPartner } from './partner.ts';
import { platformWith } from './platform.ts';

/** As much of an add-on as these tests look at. */
export interface AddonAnswer {
  id: string;
  name: string;
  state: string;
  config_vars: string[];
  web_url: string;
  provision_message: string;
  plan: { name: string };
}
interface Tokens {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

/** What a provider answers that provisions in the background. */
export const accepted: PartnerReply = { status: 202, body: { id: 'x', message: 'is being provisioned' } };

/** What is to be closed after the test. */
export const open: { close: () => Promise<void> }[] = [];
/** A platform with one provider, and what a customer and the provider do there. */
export const setup = async (reply: (call: PartnerCall) => PartnerReply, settings: Parameters<typeof platformWith>[1] = {}) => {
  const partner = await startPartner(reply);
  const platform = await platformWith({ Procfile: 'web: sleep 60\n' }, { providers: [partner.provider], copies: 'plain', ...settings });
  open.push(platform, partner);
  const create = (body: Record<string, unknown> = {}): Promise<AddonAnswer> =>
    platform.json('POST', '/apps/myapp/addons', { plan: { name: 'line-d' }, ...body });
  const exchange = async (parameters: Record<string, string>): Promise<Tokens> => {
    const answer = await fetch(`${platform.base}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ client_secret: 'client-secret', ...parameters }),
    });
    expect(answer.status).toBe(200);
    return (await answer.json()) as Tokens;
  };
  const tokens = (): Promise<Tokens> => {
    const { code } = partner.calls[0]?.body['oauth_grant'] ?? { code: '' };
    return exchange({ grant_type: 'authorization_code', code });
  };
  const as = (token: string) => (method: string, path: string, body?: unknown) =>
    platform.call(method, path, body, { authorization: `Bearer ${token}` });
  const apiLog = async (): Promise<string[]> =>
    (await platform.logs({ dyno: 'api' })).map((line) => line.slice(line.indexOf(']: ') + 3)).filter((line) => !line.startsWith('Scaled'));
  return { ...platform, partner, create, exchange, tokens, as, apiLog };
};
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

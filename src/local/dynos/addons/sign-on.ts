import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { userEmail } from '../releases.ts';
import type { Addon } from './addon-state.ts';
import type { Provider } from './providers.ts';

/** What a browser posts to a provider's `sso_url` (heroku.md 1.8). */
export interface SignOnForm {
  method: 'post';
  action: string;
  params: Record<string, string>;
}

/** Signs the user in at add-ons, as the page does that `heroku addons:open` leads to. */
export interface SignOn {
  /** The form for an add-on; undefined when its provider has no `sso_url`. */
  form(addon: Addon, provider: Provider): SignOnForm | undefined;
  /** The path of a page that posts the form: it needs no token, works once and for five minutes. */
  ticketPath(addon: Addon): string;
  /** The add-on of a ticket, which is used up by this; undefined when it is wrong, used or over. */
  redeem(ticket: string): string | undefined;
}

const ticketMs = 300_000;

/** Makes the sign-on of the local user. Tickets do not outlive the platform: `key` is made at its start. */
export function createSignOn(deps: {
  app: { id: string; name: string };
  accountId: string;
  key: Buffer;
  nonce: () => string;
  now: () => number;
}): SignOn {
  const used = new Map<string, number>();
  const signature = (text: string): Buffer => createHmac('sha256', deps.key).update(text).digest();
  return {
    form(addon, provider) {
      if (provider.ssoUrl === undefined) return undefined;
      const timestamp = String(Math.floor(deps.now() / 1000));
      const shared = `${addon.id}:${provider.ssoSalt}:${timestamp}`;
      const token = createHash('sha1').update(shared).digest('hex');
      const scoped = createHash('sha256').update(`${shared}:${deps.accountId}:${userEmail}`).digest('hex');
      const navigation = { addon: addon.name, appname: deps.app.name, addons: [{ slug: provider.id, name: provider.name, current: true }] };
      return {
        method: 'post',
        action: provider.ssoUrl,
        params: {
          id: addon.id,
          resource_id: addon.id,
          token,
          resource_token: token,
          user_scoped_resource_token: scoped,
          timestamp,
          'nav-data': Buffer.from(JSON.stringify(navigation)).toString('base64url'),
          email: userEmail,
          user_id: deps.accountId,
          app: deps.app.name,
          context_app: deps.app.name,
        },
      };
    },
    ticketPath(addon) {
      const text = `${addon.id}.${deps.now() + ticketMs}.${deps.nonce()}`;
      return `/addons-sso/${text}.${signature(text).toString('base64url')}`;
    },
    redeem(ticket) {
      const now = deps.now();
      for (const [old, until] of used) if (until < now) used.delete(old);
      const [, text = '', id = '', until = '', signed = ''] = /^(([0-9a-f-]{36})\.(\d+)\.[\w-]+)\.([\w-]+)$/.exec(ticket) ?? [];
      const given = Buffer.from(signed, 'base64url');
      const expected = signature(text);
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
      if (Number(until) < now || used.has(text)) return undefined;
      used.set(text, Number(until));
      return id;
    },
  };
}

/** The page that posts a form by itself. `nonce` admits its one script. */
export function signOnPage(form: SignOnForm, nonce: string): { html: string; policy: string } {
  const fields = Object.entries(form.params).map(
    ([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`,
  );
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Opening the add-on</title></head>
<body><form id="sso" method="post" action="${escaped(form.action)}">
${fields.join('\n')}
<button type="submit">Open the add-on</button>
</form><script nonce="${nonce}">document.getElementById('sso').submit()</script></body></html>
`;
  // form-action also holds for the redirects that follow, which stay at the provider.
  const { origin } = new URL(form.action);
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; form-action ${origin}; base-uri 'none'; frame-ancestors 'none'`;
  return { html, policy };
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}

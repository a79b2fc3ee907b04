// Settings and the forms on them. Every change is noted in the audit log with who made it.
import { type Context, Hono } from 'hono';
import type { Webhooks } from '../../queues/webhooks.ts';
import type { ResourceSettings } from '../../schema/api-views.ts';
import type { AuditEntry } from '../../schema/audit-entry.ts';
import { Failure } from '../../schema/failures.ts';
import type { TokenView } from '../../schema/token-view.ts';
import type { ResourceDeps } from '../resource-routes.ts';
import { webhookUrl } from '../webhooks-routes.ts';
import type { ConsentDeps } from './consent-routes.ts';
import { isRecent } from './is-recent.ts';
import { query } from './links.ts';
import { readForm } from './read-form.ts';
import { type SettingsInput, settingsPage } from './settings-page.ts';
import { showPage, type VisitEnv } from './visit.ts';

/** Entries of the audit log that are shown. */
const AUDIT_ENTRIES = 50;
/** Deliveries of webhooks that are shown. */
const DELIVERIES = 30;
/** All that the log of deliveries keeps: a test may have been followed by many others before the page looks. */
const ALL_DELIVERIES = 500;
/** Milliseconds in which a test is answered or given up by far. */
const PING_MS = 60_000;

export interface SettingsDeps {
  readonly resources: ResourceDeps;
  readonly tokens: {
    list(resource: string): Promise<readonly TokenView[]>;
    make(order: { resource: string; scope: 'read' | 'write'; name: string; by: string }): Promise<TokenView & { token: string }>;
    revoke(resource: string, id: string): Promise<void>;
  };
  readonly audit: {
    list(resource: string, page: { limit: number }): Promise<readonly AuditEntry[]>;
    append(resource: string, act: { actor: string; action: string; detail?: string }): Promise<void>;
  };
  readonly webhooks: Pick<Webhooks, 'add' | 'list' | 'remove' | 'ping' | 'deliveries'>;
  /** How an owner lets us start dynos; undefined: not set up here. */
  readonly consent: ConsentDeps | undefined;
  /** Renews the credentials soon. */
  readonly rotate: (resource: string) => Promise<void>;
}

/** `/settings` and what is changed there. */
export function settingsRoutes(deps: SettingsDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();
  const read = async (c: Context<VisitEnv>): Promise<SettingsInput> => {
    const id = c.var.visit.resource;
    const { ping, at } = c.req.query();
    const [resource, tokens, webhooks, deliveries, audit] = await Promise.all([
      deps.resources.view(id),
      deps.tokens.list(id),
      deps.webhooks.list(id),
      deps.webhooks.deliveries(id, ping === undefined ? DELIVERIES : ALL_DELIVERIES),
      deps.audit.list(id, { limit: AUDIT_ENTRIES }),
    ]);
    if (resource === undefined) throw new Failure('not_found', 'The resource is not provisioned yet, or gone.');
    const scheme = c.var.visit.view.mode === 'production' ? 'https' : 'http';
    return {
      resource,
      tokens,
      webhooks,
      deliveries: deliveries.slice(0, DELIVERIES),
      audit,
      consent: deps.consent !== undefined,
      origin: `${scheme}://${new URL(c.req.url).host}`,
      ...(ping === undefined
        ? {}
        : { pinged: { delivery: deliveries.find((one) => one.id === ping), late: !isRecent(at, c.var.visit.view.now, PING_MS) } }),
    };
  };
  const field = async (c: Context<VisitEnv>, name: string): Promise<string> => {
    const value = (await readForm(c)).get(name);
    return typeof value === 'string' ? value : '';
  };
  const note = async (c: Context<VisitEnv>, action: string, detail: string): Promise<void> => {
    const { resource, name } = c.var.visit;
    await deps.audit.append(resource, { actor: name, action, detail });
  };

  routes.get('/settings', async (c) => showPage(c, settingsPage(c.var.visit.view, await read(c))));

  const change = async (c: Context<VisitEnv>, settings: ResourceSettings) => {
    await deps.resources.change(c.var.visit.resource, settings, c.var.visit.name);
    return c.redirect('/settings', 303);
  };

  routes.post('/settings/pause', async (c) => await change(c, { paused: (await field(c, 'paused')) === 'yes' }));
  routes.post(
    '/settings/commands',
    async (c) => await change(c, { commands: (await field(c, 'commands')) === 'procfile' ? 'procfile' : 'any' }),
  );

  routes.post('/settings/rotate', async (c) => {
    await deps.rotate(c.var.visit.resource);
    await note(c, 'credentials.rotate', 'asked for');
    return c.redirect('/settings', 303);
  });

  routes.post('/settings/tokens', async (c) => {
    const name = (await field(c, 'name')).trim().slice(0, 100);
    if (name === '') throw new Failure('request_invalid', 'name: found nothing, expected what the token is for.');
    const scope = (await field(c, 'scope')) === 'write' ? 'write' : 'read';
    const token = await deps.tokens.make({ resource: c.var.visit.resource, scope, name, by: c.var.visit.name });
    await note(c, 'token.make', `${name} (${scope})`);
    // the text is shown in the answer itself: it is kept nowhere, so no other page could
    const made = { kind: 'token', name, token: token.token, container: (await field(c, 'for')) === 'container' } as const;
    return showPage(c, settingsPage(c.var.visit.view, { ...(await read(c)), made }));
  });

  routes.post('/settings/tokens/revoke', async (c) => {
    const id = await field(c, 'id');
    await deps.tokens.revoke(c.var.visit.resource, id);
    await note(c, 'token.revoke', id);
    return c.redirect('/settings', 303);
  });

  routes.post('/settings/webhooks', async (c) => {
    const { resource, view } = c.var.visit;
    const url = webhookUrl((await field(c, 'url')).trim());
    const { id, secret } = await deps.webhooks.add(resource, url.href);
    await note(c, 'webhook.add', `${id} ${url.host}`);
    return showPage(c, settingsPage(view, { ...(await read(c)), made: { kind: 'webhook', url: url.href, secret } }));
  });

  routes.post('/settings/webhooks/remove', async (c) => {
    const id = await field(c, 'id');
    await deps.webhooks.remove(c.var.visit.resource, id);
    await note(c, 'webhook.remove', id);
    return c.redirect('/settings#webhooks', 303);
  });

  routes.post('/settings/webhooks/ping', async (c) => {
    const delivery = await deps.webhooks.ping(c.var.visit.resource, await field(c, 'id'));
    return c.redirect(`/settings?${query({ ping: delivery, at: String(c.var.visit.view.now) })}#webhooks`, 303);
  });
  return routes;
}

import { type Context, Hono } from 'hono';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { ApiError, invalidParams, notFound } from '../api-error.ts';
import { herokuTime } from '../dyno.ts';
import { type ApiEnv, isLoopback } from '../guard-requests.ts';
import { pageOf } from '../paging.ts';
import { readBody } from '../read-body.ts';
import type { Delivery, Webhook, WebhookStore } from './webhook-state.ts';
import type { Webhooks } from './webhooks.ts';

// What Heroku can tell of (heroku.md 2.4), and the permission that an add-on's provider needs for it. Here only dyno, formation, release and addon ever happen.
const includes = new Map<string, string | undefined>([
  ...['addon-attachment', 'addon', 'app', 'collaborator', 'domain', 'sni-endpoint'].map((name) => [`api:${name}`, undefined] as const),
  ['api:build', 'builds'],
  ['api:dyno', 'dynos'],
  ['api:formation', 'formation'],
  ['api:release', 'releases'],
  ['dyno', 'dynos'],
]);

const level = Type.Union([Type.Literal('notify'), Type.Literal('sync')]);
const text = Type.Optional(Type.Union([Type.String({ minLength: 1 }), Type.Null()]));
const include = Type.Array(Type.String(), { minItems: 1 });
const createBody = Compile(Type.Object({ include, level, url: Type.String(), secret: text, authorization: text }));
const updateBody = Compile(
  Type.Object({
    include: Type.Optional(include),
    level: Type.Optional(level),
    url: Type.Optional(Type.String()),
    secret: text,
    authorization: text,
  }),
);

export interface WebhookRoutesDeps {
  webhooks: Webhooks;
  webhookStore: WebhookStore;
  app: { id: string; name: string };
  /** The id of the add-on that a path names, with what its provider was granted. */
  addonOf: (idOrName: string) => { id: string; name: string; permissions: ReadonlySet<string> } | undefined;
  id: () => string;
  secret: () => string;
  now: () => number;
}

/** The webhook endpoints, to be mounted under `/apps/:app` and under `/addons/:addon`. */
export function webhookRoutes(deps: WebhookRoutesDeps, owner: 'app' | 'addon'): Hono<ApiEnv> {
  const { webhooks, webhookStore: store } = deps;
  const routes = new Hono<ApiEnv>();
  const addonOf = (c: Context<ApiEnv>): ReturnType<typeof deps.addonOf> => {
    if (owner === 'app') return undefined;
    const addon = deps.addonOf(c.req.param('addon') ?? '');
    if (addon === undefined) throw notFound('add_on');
    return addon;
  };
  const own = (c: Context<ApiEnv>): Webhook[] => {
    const addonId = addonOf(c)?.id ?? null;
    return store.webhooks().filter((webhook) => webhook.addonId === addonId);
  };
  const one = (c: Context<ApiEnv>): Webhook => {
    const found = own(c).find(({ id }) => id === c.req.param('webhook'));
    if (found === undefined) throw notFound('webhook');
    return found;
  };
  const check = (wanted: readonly string[], url: string, permissions: ReadonlySet<string> | undefined): void => {
    for (const name of wanted) {
      if (!includes.has(name))
        throw invalidParams(`include ${JSON.stringify(name)} is unknown; expected some of ${[...includes.keys()].join(', ')}.`);
      const needed = includes.get(name);
      if (permissions !== undefined && needed !== undefined && !permissions.has(needed))
        throw new ApiError(403, 'forbidden', `${name} needs a permission that the add-on's provider was not given: ${needed}.`);
    }
    if (!URL.canParse(url) || !(new URL(url).protocol === 'https:' || (new URL(url).protocol === 'http:' && isLoopback(url))))
      throw invalidParams(`url is ${JSON.stringify(url)}; expected https, or http on this machine.`);
  };
  const toJson = (webhook: Webhook): Record<string, unknown> => webhookJson(webhook, deps);
  const deliveries = (c: Context<ApiEnv>): { delivery: Delivery; webhook: Webhook; id: string }[] =>
    own(c).flatMap((webhook) => store.deliveries(webhook.id).map((delivery) => ({ delivery, webhook, id: delivery.id })));

  routes.post('/webhooks', async (c) => {
    const body = await readBody(c, createBody);
    const addon = addonOf(c);
    check(body.include, body.url, addon?.permissions);
    const at = deps.now();
    const secret = body.secret ?? deps.secret();
    const webhook: Webhook = {
      id: deps.id(),
      addonId: addon?.id ?? null,
      include: body.include,
      level: body.level,
      url: body.url,
      secret,
      authorization: body.authorization ?? null,
      createdAt: at,
      updatedAt: at,
    };
    store.save(webhook);
    // Shown this once, and only when it is not known already.
    if (typeof body.secret !== 'string') c.header('Heroku-Webhook-Secret', secret);
    return c.json(toJson(webhook), 201);
  });
  routes.get('/webhooks', (c) => pageOf(c, own(c), toJson));
  routes.get('/webhooks/:webhook', (c) => c.json(toJson(one(c))));
  routes.patch('/webhooks/:webhook', async (c) => {
    const body = await readBody(c, updateBody);
    const before = one(c);
    const secret = typeof body.secret === 'string' ? body.secret : before.secret;
    const authorization = body.authorization === undefined ? before.authorization : body.authorization;
    const fields = { include: body.include ?? before.include, level: body.level ?? before.level, url: body.url ?? before.url };
    check(fields.include, fields.url, addonOf(c)?.permissions);
    const after: Webhook = { ...before, ...fields, secret, authorization, updatedAt: deps.now() };
    store.save(after);
    return c.json(toJson(after));
  });
  routes.delete('/webhooks/:webhook', (c) => {
    const webhook = one(c);
    webhooks.remove(webhook.id);
    return c.json(toJson(webhook));
  });
  routes.get('/webhook-deliveries', (c) => pageOf(c, deliveries(c), ({ delivery, webhook }) => deliveryJson(delivery, webhook)));
  routes.get('/webhook-deliveries/:delivery', (c) => {
    const found = deliveries(c).find(({ id }) => id === c.req.param('delivery'));
    if (found === undefined) throw notFound('webhook delivery');
    return c.json(deliveryJson(found.delivery, found.webhook));
  });
  routes.get('/webhook-events', (c) => {
    const events = new Map(deliveries(c).map(({ delivery }) => [delivery.eventId, { id: delivery.eventId, delivery }]));
    return pageOf(c, [...events.values()], ({ delivery }) => eventJson(delivery));
  });
  return routes;
}

function webhookJson(webhook: Webhook, { app, addonOf }: WebhookRoutesDeps): Record<string, unknown> {
  const { id, include: wanted, level: how, url, addonId } = webhook;
  const addon = addonId === null ? undefined : addonOf(addonId);
  return {
    id,
    ...(addonId === null ? { app: { id: app.id, name: app.name } } : { addon: { id: addonId, name: addon?.name ?? addonId } }),
    include: wanted,
    level: how,
    url,
    created_at: herokuTime(webhook.createdAt),
    updated_at: herokuTime(webhook.updatedAt),
  };
}

function deliveryJson(delivery: Delivery, webhook: Webhook): Record<string, unknown> {
  const { id, status, attempts, lastCode, lastError, nextAttemptAt } = delivery;
  const at = herokuTime(delivery.updatedAt);
  const last = { id, code: lastCode, error_class: lastError, status, created_at: at, updated_at: at };
  return {
    id,
    status,
    event: { id: delivery.eventId, include: delivery.include },
    webhook: { id: webhook.id, level: webhook.level },
    num_attempts: attempts,
    last_attempt: attempts === 0 ? null : last,
    next_attempt_at: nextAttemptAt === null ? null : herokuTime(nextAttemptAt),
    created_at: herokuTime(delivery.createdAt),
    updated_at: at,
  };
}

function eventJson({ eventId, include: what, body, createdAt }: Delivery): Record<string, unknown> {
  const at = herokuTime(createdAt);
  return { id: eventId, include: what, payload: body, created_at: at, updated_at: at };
}

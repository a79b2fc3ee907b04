import { type Context, Hono } from 'hono';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { invalidParams, notFound } from '../api-error.ts';
import type { ApiEnv } from '../guard-requests.ts';
import { pageOf } from '../paging.ts';
import { readBody } from '../read-body.ts';
import type { AddonViews } from './addon-json.ts';
import type { Addon, Attachment } from './addon-state.ts';
import type { Addons } from './addons.ts';
import type { SignOn } from './sign-on.ts';

const nameOrObject = Type.Union([Type.String({ minLength: 1 }), Type.Object({ name: Type.String({ minLength: 1 }) })]);
const optional = <T extends Type.TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
const createBody = Compile(
  Type.Object({
    plan: nameOrObject,
    name: optional(Type.String()),
    attachment: optional(Type.Object({ name: optional(Type.String()) })),
    config: optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Boolean(), Type.Number()]))),
  }),
);
const updateBody = Compile(Type.Object({ plan: Type.Optional(nameOrObject), name: Type.Optional(Type.String()) }));
const destroyBody = Compile(Type.Object({ force: optional(Type.Boolean()) }));
const attachBody = Compile(Type.Object({ addon: nameOrObject, app: nameOrObject, name: optional(Type.String()) }));
const resolveAddon = Compile(Type.Object({ addon: Type.String(), app: optional(Type.String()), addon_service: optional(Type.String()) }));
const resolveAttachment = Compile(
  Type.Object({ addon_attachment: Type.String(), app: optional(Type.String()), addon_service: optional(Type.String()) }),
);
const configBody = Compile(
  Type.Object({ config: Type.Array(Type.Object({ name: Type.String(), value: Type.Union([Type.String(), Type.Null()]) })) }),
);

export interface AddonRoutesDeps {
  addons: Addons;
  views: AddonViews;
  signOn: SignOn;
  app: { id: string; name: string };
}

const nameOf = (value: string | { name: string }): string => (typeof value === 'string' ? value : value.name);

/** The add-on endpoints of one app, to be mounted under `/apps/:app`. */
export function appAddonRoutes(deps: AddonRoutesDeps): Hono<ApiEnv> {
  const { addons, views } = deps;
  const routes = new Hono<ApiEnv>();
  const found = (c: Context<ApiEnv>): Addon => orNotFound(addons.find(c.req.param('addon') ?? ''), 'add_on');
  routes.post('/addons', async (c) => {
    const body = await readBody(c, createBody);
    const options = Object.fromEntries(Object.entries(body.config ?? {}).map(([name, value]) => [name, String(value)]));
    const attachment = body.attachment?.name ?? undefined;
    const name = body.name ?? undefined;
    const addon = await addons.create({
      plan: nameOf(body.plan),
      options,
      ...(name === undefined ? {} : { name }),
      ...(attachment === undefined ? {} : { attachment }),
    });
    return c.json(views.addon(addon), 201);
  });
  routes.get('/addons', (c) => pageOf(c, visible(addons.list(), c), views.addon));
  routes.get('/addons/:addon', (c) => c.json(views.addon(found(c))));
  routes.patch('/addons/:addon', async (c) => {
    const body = await readBody(c, updateBody);
    let addon = found(c);
    if (body.name !== undefined) addon = addons.rename(addon, body.name);
    if (body.plan !== undefined) addon = await addons.changePlan(addon, nameOf(body.plan));
    return c.json(views.addon(addon));
  });
  routes.delete('/addons/:addon', async (c) => {
    const { force } = await readBody(c, destroyBody);
    return c.json(views.addon(await addons.destroy(found(c), force === true)));
  });
  routes.get('/addons/:addon/sso', (c) => ssoForm(c, found(c), deps));
  routes.get('/addon-attachments', (c) => pageOf(c, addons.attachments(), views.attachment));
  routes.get('/addon-attachments/:attachment', (c) => c.json(views.attachment(attachmentOf(c.req.param('attachment'), addons))));
  return routes;
}

/** The add-on endpoints that stand by themselves, those that providers call among them (heroku.md 1.2, 1.6, 3.3). */
export function addonRoutes(deps: AddonRoutesDeps): Hono<ApiEnv> {
  const { addons, views, app } = deps;
  const routes = new Hono<ApiEnv>();
  const found = (c: Context<ApiEnv>): Addon => orNotFound(addons.find(c.req.param('addon') ?? ''), 'add_on');
  const isThisApp = (wanted: string | null | undefined): boolean =>
    wanted === null || wanted === undefined || wanted === app.name || wanted === app.id;

  for (const path of ['/addons', '/users/:user/addons'] as const)
    routes.get(path, (c) => pageOf(c, visible(addons.list(), c), views.addon));
  routes.get('/addons/:addon', (c) => c.json(views.addon(found(c))));
  routes.get('/addons/:addon/sso', (c) => ssoForm(c, found(c), deps));
  routes.get('/addons/:addon/addon-attachments', (c) => {
    const { id } = found(c);
    return pageOf(
      c,
      addons.attachments().filter(({ addonId }) => addonId === id),
      views.attachment,
    );
  });
  routes.get('/addons/:addon/config', (c) => c.json(views.config(found(c))));
  routes.patch('/addons/:addon/config', async (c) => {
    const { config } = await readBody(c, configBody);
    const changes = Object.fromEntries(config.map(({ name, value }) => [name, value]));
    return c.json(views.config(addons.setConfig(found(c), changes)));
  });
  routes.post('/addons/:addon/actions/provision', (c) => c.json(views.addon(addons.provisioned(found(c)))));
  routes.post('/addons/:addon/actions/deprovision', (c) => c.json(views.addon(addons.deprovisioned(found(c)))));

  routes.get('/addon-attachments', (c) => pageOf(c, addons.attachments(), views.attachment));
  routes.get('/addon-attachments/:attachment', (c) => c.json(views.attachment(attachmentOf(c.req.param('attachment'), addons))));
  routes.post('/addon-attachments', async (c) => {
    const body = await readBody(c, attachBody);
    if (!isThisApp(nameOf(body.app))) throw notFound('app');
    const addon = orNotFound(addons.find(nameOf(body.addon)), 'add_on');
    return c.json(views.attachment(addons.attach(addon, body.name ?? undefined)), 201);
  });
  routes.delete('/addon-attachments/:attachment', (c) => {
    const attachment = attachmentOf(c.req.param('attachment'), addons);
    const shown = views.attachment(attachment);
    addons.detach(attachment);
    return c.json(shown);
  });

  routes.post('/actions/addons/resolve', async (c) => {
    const body = await readBody(c, resolveAddon);
    const matches = isThisApp(body.app)
      ? addons
          .list()
          .filter(({ id, name, service }) => [id, name, service].includes(body.addon))
          .concat(byAttachment(body.addon, addons))
          .filter(({ service }) => (body.addon_service ?? service) === service)
      : [];
    const unique = [...new Map(matches.map((addon) => [addon.id, addon])).values()];
    if (unique.length === 0) throw notFound('add_on');
    return c.json(unique.map(views.addon));
  });
  routes.post('/actions/addon-attachments/resolve', async (c) => {
    const body = await readBody(c, resolveAttachment);
    const services = new Map(addons.list().map((addon) => [addon.id, addon]));
    const wanted = body.addon_attachment.replace(/^.*::/, '');
    const matches = isThisApp(body.app)
      ? addons.attachments().filter(({ id, name, addonId }) => {
          const addon = services.get(addonId);
          return [id, name, addon?.name, addon?.service].includes(wanted) && (body.addon_service ?? addon?.service) === addon?.service;
        })
      : [];
    if (matches.length === 0) throw notFound('add_on attachment');
    return c.json(matches.map(views.attachment));
  });
  return routes;
}

// A provider sees its own instance only.
function visible(all: Addon[], c: Context<ApiEnv>): Addon[] {
  const principal = c.get('principal');
  return principal.kind === 'addon' ? all.filter(({ id }) => id === principal.addonId) : all;
}

function byAttachment(name: string, addons: Addons): Addon[] {
  const ids = addons.attachments().filter((one) => one.name === name);
  return addons.list().filter(({ id }) => ids.some(({ addonId }) => addonId === id));
}

function attachmentOf(idOrName: string, addons: Addons): Attachment {
  return orNotFound(
    addons.attachments().find(({ id, name }) => id === idOrName || name === idOrName),
    'add_on attachment',
  );
}

function ssoForm(c: Context<ApiEnv>, addon: Addon, { addons, signOn }: AddonRoutesDeps): Response {
  const provider = addons.provider(addon.service);
  const form = provider === undefined ? undefined : signOn.form(addon, provider);
  if (form === undefined) throw invalidParams(`${addon.name} has no dashboard: its manifest has no sso_url.`);
  return c.json(form);
}

function orNotFound<T>(found: T | undefined, resource: string): T {
  if (found === undefined) throw notFound(resource);
  return found;
}

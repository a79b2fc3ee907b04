import { type Context, Hono } from 'hono';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { invalidParams, notFound } from './api-error.ts';
import { herokuTime } from './dyno.ts';
import { dynoSize, dynoSizes } from './dyno-sizes.ts';
import type { Formation, FormationEntry } from './formation.ts';
import type { LogStore } from './log-store.ts';
import { pageOf } from './paging.ts';
import { readBody } from './read-body.ts';
import { userEmail } from './releases.ts';

const quantity = Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum: 100 }), Type.String({ pattern: '^[+-]?\\d{1,3}$' })]));
const size = Type.Optional(Type.Union([Type.String(), Type.Object({ name: Type.String() })]));
const oneUpdate = Compile(Type.Object({ quantity, size }));
const batchUpdate = Compile(
  Type.Object({
    updates: Type.Array(
      Type.Object({
        type: Type.Optional(Type.String()),
        process: Type.Optional(Type.String()),
        quantity,
        size,
        dyno_size: Type.Optional(Type.Union([Type.String(), Type.Object({ name: Type.String() })])),
      }),
    ),
  }),
);

type Size = string | { name: string } | undefined;

/** The formation endpoints of one app, to be mounted under `/apps/:app`. */
export function formationRoutes(deps: {
  formation: Formation;
  log: LogStore;
  app: { id: string; name: string };
  /** What was scaled, for webhooks. */
  scaled: (entry: Record<string, unknown> & { id: string }) => void;
}): Hono {
  const { formation, app } = deps;
  const routes = new Hono();
  const toJson = (entry: FormationEntry): Record<string, unknown> => formationJson(entry, app);
  const scale = async (updates: { type: string; quantity?: number; size?: string }[]): Promise<FormationEntry[]> => {
    const changed = await formation.scale(updates);
    const text = changed.map(({ type, quantity: number, size: on }) => `${type}@${number}:${on}`).join(' ');
    deps.log.append('app', 'api', `Scaled to ${text} by user ${userEmail}`);
    for (const entry of changed) deps.scaled({ ...toJson(entry), id: entry.id });
    return changed;
  };
  const update = async (
    type: string,
    wanted: number | string | undefined,
    on: Size,
  ): Promise<{ type: string; quantity?: number; size?: string }> => {
    const current = (await formation.entries()).find((entry) => entry.type === type)?.quantity ?? 0;
    const number =
      wanted === undefined ? undefined : typeof wanted === 'string' && /^[+-]/.test(wanted) ? current + Number(wanted) : Number(wanted);
    if (number !== undefined && (number < 0 || number > 100))
      throw invalidParams(`quantity of ${type} would be ${number}; expected 0 to 100.`);
    const name = on === undefined ? undefined : toSize(on);
    return { type, ...(number === undefined ? {} : { quantity: number }), ...(name === undefined ? {} : { size: name }) };
  };
  routes.get('/formation', async (c: Context) => pageOf(c, await formation.entries(), toJson));
  routes.patch('/formation', async (c) => {
    const { updates } = await readBody(c, batchUpdate);
    const wanted = await Promise.all(updates.map((one) => update(one.type ?? one.process ?? '', one.quantity, one.size ?? one.dyno_size)));
    return c.json((await scale(wanted)).map(toJson));
  });
  routes.get('/formation/:type', async (c) => {
    const key = c.req.param('type');
    const entry = (await formation.entries()).find(({ type, id }) => type === key || id === key);
    if (entry === undefined) throw notFound('formation');
    return c.json(toJson(entry));
  });
  routes.patch('/formation/:type', async (c) => {
    const body = await readBody(c, oneUpdate);
    const [entry] = await scale([await update(c.req.param('type'), body.quantity, body.size)]);
    if (entry === undefined) throw notFound('formation');
    return c.json(toJson(entry));
  });
  return routes;
}

function toSize(on: string | { name: string }): string {
  const requested = typeof on === 'string' ? on : on.name;
  const name = dynoSize(requested);
  if (name === undefined) throw invalidParams(`size is ${JSON.stringify(requested)}; expected one of ${dynoSizes.join(', ')}.`);
  return name;
}

function formationJson(entry: FormationEntry, app: { id: string; name: string }): Record<string, unknown> {
  const at = herokuTime(entry.updatedAt);
  const { id, type, quantity: number, size: on, command } = entry;
  return {
    id,
    type,
    quantity: number,
    size: on,
    dyno_size: { name: on },
    command,
    app: { id: app.id, name: app.name },
    created_at: at,
    updated_at: at,
  };
}

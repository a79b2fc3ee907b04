import { Hono } from 'hono';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { invalidParams, notFound } from './api-error.ts';
import { type DynoRequest, dynoJson } from './dyno.ts';
import { dynoSize, dynoSizes } from './dyno-sizes.ts';
import type { Formation } from './formation.ts';
import type { OneOffs } from './one-offs.ts';
import { pageOf } from './paging.ts';
import { checkProcessText, readBody } from './read-body.ts';

const createBody = Compile(
  Type.Object({
    command: Type.String({ minLength: 1 }),
    attach: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    // The CLI sends COLUMNS and LINES as numbers.
    env: Type.Optional(Type.Union([Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])), Type.Null()])),
    force_no_tty: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    size: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    time_to_live: Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 86_400 }), Type.Null()])),
    type: Type.Optional(Type.Union([Type.String({ pattern: '^[A-Za-z0-9_-]{1,30}$' }), Type.Null()])),
  }),
);

/** The dyno endpoints of one app (heroku.md 2.2), to be mounted under `/apps/:app`. */
export function dynoRoutes(deps: { oneOffs: OneOffs; formation: Formation; app: { id: string; name: string } }): Hono {
  const { oneOffs, formation, app } = deps;
  const routes = new Hono();
  // A one-off does not come back; a dyno of the formation is put in its place again.
  const stop = (nameOrId: string): void => {
    if (!oneOffs.stop(nameOrId) && !formation.restart({ dyno: nameOrId })) throw notFound('dyno');
  };
  const stopType = (type: string): void => {
    const ones = oneOffs.list().filter((dyno) => dyno.type === type);
    for (const { id } of ones) oneOffs.stop(id);
    if (!formation.restart({ type }) && ones.length === 0) throw notFound('process type');
  };
  routes.post('/dynos', async (c) => {
    const dyno = await oneOffs.start(toRequest(await readBody(c, createBody)));
    return c.json(dynoJson(dyno, app), 201);
  });
  routes.get('/dynos', (c) => pageOf(c, [...oneOffs.list(), ...formation.list()], (dyno) => dynoJson(dyno, app)));
  routes.get('/dynos/:dyno', (c) => {
    const wanted = c.req.param('dyno');
    const dyno = oneOffs.find(wanted) ?? formation.find(wanted);
    if (dyno === undefined) throw notFound('dyno');
    return c.json(dynoJson(dyno, app));
  });
  routes.delete('/dynos/:dyno', (c) => {
    stop(c.req.param('dyno'));
    return c.json({}, 202);
  });
  // "Restart all" leaves one-offs alone.
  routes.delete('/dynos', (c) => {
    formation.restart({});
    return c.json({}, 202);
  });
  routes.post('/dynos/:dyno/actions/stop', (c) => {
    stop(c.req.param('dyno'));
    return c.json({}, 202);
  });
  routes.post('/formations/:type/actions/stop', (c) => {
    stopType(c.req.param('type'));
    return c.json({}, 202);
  });
  routes.delete('/formations/:type', (c) => {
    stopType(c.req.param('type'));
    return c.json({}, 202);
  });
  return routes;
}

function toRequest(body: ReturnType<typeof createBody.Parse>): DynoRequest {
  checkProcessText('command', body.command);
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(body.env ?? {})) {
    if (name === '' || name.includes('=') || name.includes('\0'))
      throw invalidParams(`env: ${JSON.stringify(name)} is no name that a variable can have.`);
    env[name] = String(value);
    checkProcessText(`env ${name}`, env[name]);
  }
  const size = dynoSize(body.size ?? 'basic');
  if (size === undefined) throw invalidParams(`size is ${JSON.stringify(body.size)}; expected one of ${dynoSizes.join(', ')}.`);
  const attach = body.attach !== true ? 'no' : body.force_no_tty === true ? 'pipes' : 'terminal';
  return { command: body.command, env, size, type: body.type ?? 'run', timeToLive: body.time_to_live ?? undefined, attach };
}

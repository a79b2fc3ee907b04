import { Hono } from 'hono';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { notFound } from './api-error.ts';
import { herokuTime } from './dyno.ts';
import type { LogSessions } from './log-sessions.ts';
import { readBody } from './read-body.ts';

// heroku.md 2.5: 100 lines unless asked, 1,500 at most.
const defaultLines = 100;
const mostLines = 1_500;

const optionalText = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const sessionBody = Compile(
  Type.Object({
    dyno: optionalText,
    source: optionalText,
    type: optionalText,
    lines: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
    tail: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
  }),
);

/** `POST /log-sessions` of one app, to be mounted under `/apps/:app`. The URL that it answers is a secret of its own and needs no token. */
export function logSessionRoutes(deps: { sessions: LogSessions; now: () => number }): Hono {
  const routes = new Hono();
  routes.post('/log-sessions', async (c) => {
    const body = await readBody(c, sessionBody);
    const dyno = body.dyno ?? body.type ?? undefined;
    const source = body.source ?? undefined;
    const session = deps.sessions.open({
      lines: Math.min(mostLines, body.lines ?? defaultLines),
      tail: body.tail ?? false,
      ...(dyno === undefined ? {} : { dyno }),
      ...(source === undefined ? {} : { source }),
    });
    const at = herokuTime(deps.now());
    // The caller reached us under this Host (checked to be loopback), so it will again.
    const url = new URL(`/logs/${session.secret}`, `http://${c.req.header('host')}`);
    return c.json({ id: session.id, logplex_url: url.href, created_at: at, updated_at: at }, 201);
  });
  return routes;
}

/** `GET /logs/:secret`, the logplex side: server-sent events for who accepts them, else text lines. `Last-Event-ID` goes on after that line. */
export function logplexRoutes(sessions: LogSessions): Hono {
  const routes = new Hono();
  routes.get('/logs/:secret', (c) => {
    const session = sessions.find(c.req.param('secret'));
    if (session === undefined) throw notFound('log session');
    const asEvents = (c.req.header('accept') ?? '').includes('text/event-stream');
    const last = c.req.header('last-event-id');
    const resumeAfter = last !== undefined && /^\d{1,15}$/.test(last) ? Number(last) : undefined;
    return new Response(sessions.read(session, asEvents ? 'events' : 'text', resumeAfter), {
      headers: {
        'content-type': asEvents ? 'text/event-stream' : 'text/plain; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      },
    });
  });
  return routes;
}

// Heroku's events of dynos: a dyno that came up or ended is known at once, and not by the next look at the dyno list.
import { createHmac } from 'node:crypto';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { DynoNews } from '../queues/dyno-news.ts';
import type { Resources } from '../queues/resources.ts';
import type { Sessions } from '../queues/sessions.ts';
import { Failure } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { isUuid } from '../schema/partner-api.ts';
import type { AddressOf } from './address.ts';
import { cappedWarning } from './capped-log.ts';
import { problem } from './problem.ts';
import { sameSecret } from './same-secret.ts';

/** Bytes of an event; one of a dyno has about 2,000 and its command. */
const MAX_EVENT_BYTES = 262_144;
/** Lines about refused events in a minute: anybody may have Heroku send any number of them. */
const REFUSALS_SAID = 10;
/** Seconds for which an event is known as seen. To act on it later, or twice at once, changes nothing: the record takes only what is news to it. */
const SEEN_S = 3_600;

const Event = Compile(Type.Object({ id: Type.String({ minLength: 1, maxLength: 200 }), resource: Type.String() }));
const DynoEvent = Compile(
  Type.Object({
    action: Type.Union([Type.Literal('create'), Type.Literal('update'), Type.Literal('destroy')]),
    data: Type.Object({
      id: Type.String({ minLength: 1, maxLength: 200 }),
      name: Type.String({ minLength: 1, maxLength: 200 }),
      state: Type.String(),
      command: Type.String(),
      app: Type.Object({ id: Type.String(), name: Type.String() }),
    }),
  }),
);

export interface HerokuHooksDeps {
  readonly resources: Resources;
  readonly sessions: Pick<Sessions, 'used' | 'first'>;
  readonly news: Pick<DynoNews, 'heard'>;
  readonly addressOf: AddressOf;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Log;
}

/**
 * `POST /heroku/webhooks?resource=<uuid>`. Events may come late, twice and in any order. Nothing of the body is read before its signature holds;
 * a wrong signature and an unknown resource look the same.
 */
export function herokuHooksRoutes(deps: HerokuHooksDeps): Hono {
  const { resources, sessions, news, log } = deps;
  const routes = new Hono();
  const refuse = cappedWarning({ ...deps, perMinute: REFUSALS_SAID });
  const tooLarge = bodyLimit({
    maxSize: MAX_EVENT_BYTES,
    onError: (c) => problem(c, new Failure('request_too_large', `An event has at most ${MAX_EVENT_BYTES} bytes.`)),
  });

  routes.post('/', tooLarge, async (c) => {
    const asked = c.req.query('resource') ?? '';
    const id = isUuid(asked) ? asked : '';
    const raw = Buffer.from(await c.req.arrayBuffer());
    const resource = id === '' ? undefined : await resources.get(id);
    const hook = resource === undefined ? undefined : await resources.secret(id, 'hook');
    // signed in any case: the answer takes the same time
    const signed = isSigned(raw, c.req.header('heroku-webhook-hmac-sha256') ?? '', hook?.secret ?? '');
    if (resource === undefined || hook === undefined || !signed) {
      refuse({ address: deps.addressOf(c) }, 'refused an event');
      throw new Failure('unauthorized', 'The event is not signed with the secret of its webhook.');
    }
    const event = parse(raw);
    if (!Event.Check(event)) throw new Failure('request_invalid', 'The body is not an event of Heroku.');
    if (event.resource !== 'dyno') return c.body(null, 204);
    if (!DynoEvent.Check(event)) throw new Failure('request_invalid', 'The event does not show a dyno.');
    const { data, action } = event;
    if (data.app.id !== resource.app && data.app.name !== resource.app) return c.body(null, 204);
    const seen = `${id}:${event.id}`;
    if (await sessions.used('hook', seen)) return c.body(null, 204);
    const result = await news.heard(id, { dyno: data, command: data.command, gone: action === 'destroy' });
    log.debug({ resource: id, dyno: data.name, action, state: data.state, result }, 'an event of Heroku');
    // only now: a mark made before could not be taken back from a Redis that went away meanwhile
    await sessions.first('hook', seen, SEEN_S);
    return c.body(null, 204);
  });
  return routes;
}

/** `sent`: base64 of the HMAC-SHA-256. */
function isSigned(raw: Uint8Array, sent: string, secret: string): boolean {
  const expected = createHmac('sha256', secret).update(raw).digest('base64');
  return sameSecret(sent, expected);
}

function parse(raw: Buffer): unknown {
  try {
    return JSON.parse(raw.toString('utf8'));
  } catch (cause) {
    throw new Failure('request_invalid', 'The body is not JSON.', { cause });
  }
}

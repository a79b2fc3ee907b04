// Asks Heroku for signed events of dynos (heroku.md §2.4).
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { type HerokuAccess, herokuCall } from './heroku-call.ts';
import { anyReply } from './heroku-replies.ts';
import type { CallOptions } from './ports.ts';

const webhooksReply = Compile(Type.Array(Type.Object({ id: Type.String({ minLength: 1 }), url: Type.String() })));

/** Where Heroku sends events, and what it signs them with. */
export interface Hook {
  readonly url: string;
  readonly secret: string;
}

/**
 * Subscribes to `api:dyno` of what `path` names (`/addons/<id>` or `/apps/<app>`), once: a webhook that points to the same address is changed,
 * since a second one would tell everything twice. `key` finds the token. `notify`: what is lost is seen in the dyno list, and Heroku holds
 * nothing back while we are away. Throws as herokuCall does.
 */
export async function subscribeToDynos(access: HerokuAccess, key: string, path: string, hook: Hook, options: CallOptions): Promise<void> {
  const body = { include: ['api:dyno'], level: 'notify', url: hook.url, secret: hook.secret };
  const there = await herokuCall(access, key, { method: 'GET', path: `${path}/webhooks` }, webhooksReply, options);
  const same = there.find(({ url }) => url === hook.url);
  const call =
    same === undefined
      ? ({ method: 'POST', path: `${path}/webhooks`, body } as const)
      : ({ method: 'PATCH', path: `${path}/webhooks/${encodeURIComponent(same.id)}`, body } as const);
  await herokuCall(access, key, call, anyReply, options);
}

// The Platform API for Partners: what an add-on may do to its own instances (heroku.md §1.2, §1.6).
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import type { AddonPlatform } from './addon-ports.ts';
import { type HerokuAccess, herokuCall } from './heroku-call.ts';
import { anyReply } from './heroku-replies.ts';
import { subscribeToDynos } from './heroku-subscribe.ts';

const addonReply = Compile(
  Type.Object({
    name: Type.String({ minLength: 1 }),
    state: Type.String(),
    app: Type.Object({ id: Type.String({ minLength: 1 }), name: Type.String({ minLength: 1 }) }),
  }),
);

/** `access.token` gets the add-on's id, the resource's uuid. Throws as herokuCall does. */
export function createAddonPlatform(access: HerokuAccess): AddonPlatform {
  const path = (id: string, rest = '') => `/addons/${encodeURIComponent(id)}${rest}`;
  return {
    async info(id, options = {}) {
      const { name, state, app } = await herokuCall(access, id, { method: 'GET', path: path(id) }, addonReply, options);
      return { name, state, app: { id: app.id, name: app.name } };
    },

    async setConfig(id, vars, options = {}) {
      const body = { config: Object.entries(vars).map(([name, value]) => ({ name, value })) };
      await herokuCall(access, id, { method: 'PATCH', path: path(id, '/config'), body }, anyReply, options);
    },

    async provisioned(id, options = {}) {
      await herokuCall(access, id, { method: 'POST', path: path(id, '/actions/provision') }, anyReply, options);
    },

    async deprovisioned(id, options = {}) {
      try {
        await herokuCall(access, id, { method: 'POST', path: path(id, '/actions/deprovision') }, anyReply, options);
      } catch (error) {
        // gone, or our access went with it: that is what we wanted to say
        const gone = error instanceof Failure && (error.code === 'not_found' || error.code === 'heroku_refused');
        if (!gone) throw error;
      }
    },

    async subscribe(id, hook, options = {}) {
      await subscribeToDynos(access, id, path(id), hook, options);
    },
  };
}

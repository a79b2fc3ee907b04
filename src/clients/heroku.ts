// The dyno platform: Heroku's Platform API, or the local one that speaks the same.
import { Failure, messageOf } from '../schema/failures.ts';
import { within } from './deadline.ts';
import { failedAtToken, type HerokuAccess, type HerokuCall, herokuCall } from './heroku-call.ts';
import { createLaunch } from './heroku-launch.ts';
import { fetchLines, followLines, LOG_HISTORY, linesOf, linesSince, readEnd } from './heroku-log.ts';
import { anyReply, configVarsReply, dynosReply, formationReply, logSessionReply, toDyno } from './heroku-replies.ts';
import { subscribeToDynos } from './heroku-subscribe.ts';
import type { CallOptions, DynoPlatform } from './ports.ts';

/** Milliseconds to read a log, when the caller names no deadline. */
const LOG_DEADLINE_MS = 10_000;

/**
 * The Platform API as the engine needs it. `launch` never throws; every other call throws Failure `not_found`, `heroku_refused` or
 * `heroku_unavailable` (heroku-call.ts) and ends within its deadline, 10 s without one.
 */
export function createDynoPlatform(access: HerokuAccess & { readonly now: () => number }): DynoPlatform {
  const readLog = async (app: string, dyno: string, lines: number, options: CallOptions): Promise<string[]> => {
    const call: HerokuCall = { method: 'POST', path: `${appPath(app)}/log-sessions`, body: { dyno, lines, tail: false } };
    try {
      return await within(options, LOG_DEADLINE_MS, async (signal) => {
        const session = await herokuCall(access, app, call, logSessionReply, { ...options, signal });
        return linesOf(await fetchLines(session.logplex_url, signal), dyno);
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof Failure) throw error;
      throw new Failure('heroku_unavailable', `Read the log of ${dyno} of ${app}: ${messageOf(error)}.`, { cause: error });
    }
  };

  return {
    launch: createLaunch(access),

    async list(app, options = {}) {
      const replies = await herokuCall(access, app, { method: 'GET', path: `${appPath(app)}/dynos` }, dynosReply, options);
      return replies.map(toDyno);
    },

    async stop(app, dyno, options = {}) {
      const path = `${appPath(app)}/dynos/${encodeURIComponent(dyno)}/actions/stop`;
      try {
        await herokuCall(access, app, { method: 'POST', path }, anyReply, options);
      } catch (error) {
        if (!(error instanceof Failure && error.code === 'not_found')) throw error;
      }
    },

    async endOf(app, dynoName, options = {}) {
      try {
        return readEnd(await readLog(app, dynoName, LOG_HISTORY, options), dynoName, options.after);
      } catch (error) {
        if (failedAtToken(error)) throw new Failure('heroku_unavailable', messageOf(error), { cause: error });
        throw error;
      }
    },

    async log(app, dynoName, lines, options = {}) {
      return (await readLog(app, dynoName, Math.min(lines, LOG_HISTORY), options)).slice(-lines);
    },

    async processTypes(app, options = {}) {
      const replies = await herokuCall(access, app, { method: 'GET', path: `${appPath(app)}/formation` }, formationReply, options);
      return replies.map(({ type }) => type);
    },

    async *follow(app, dyno, { after, signal }) {
      const call: HerokuCall = { method: 'POST', path: `${appPath(app)}/log-sessions`, body: { dyno, lines: LOG_HISTORY, tail: true } };
      const session = await herokuCall(access, app, call, logSessionReply, { signal });
      try {
        for await (const line of followLines(session.logplex_url, signal)) yield* linesSince([line], dyno, after);
      } catch (error) {
        if (signal.aborted) return;
        throw new Failure('heroku_unavailable', `Follow the log of ${dyno} of ${app}: ${messageOf(error)}.`, { cause: error });
      }
    },

    async subscribe(app, hook, options = {}) {
      await subscribeToDynos(access, app, appPath(app), hook, options);
    },

    configVars: (app, options = {}) =>
      herokuCall(access, app, { method: 'GET', path: `${appPath(app)}/config-vars` }, configVarsReply, options),

    async setConfigVars(app, vars, options = {}) {
      await herokuCall(access, app, { method: 'PATCH', path: `${appPath(app)}/config-vars`, body: vars }, configVarsReply, options);
    },
  };
}

function appPath(app: string): string {
  return `/apps/${encodeURIComponent(app)}`;
}

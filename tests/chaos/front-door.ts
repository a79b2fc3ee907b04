// What Heroku, customers and strangers do at the web process of a chaos run: add-ons come and go, people sign on, and everybody knocks where
// they may and where they may not. Every answer is noted; what was not answered is asked again or left.
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { resourceKey } from '../../src/queues/keys.ts';
import { createDice, seedOf } from './dice.ts';
import { PAPERS } from './settings.ts';
import type { World } from './world.ts';

/** Milliseconds that somebody outside waits for an answer; Heroku waits for 25 s. */
const ANSWER_MS = 10_000;
/** Milliseconds that an add-on may take to stand, and to be gone; a job of a killed worker comes back after some seconds. */
const LIFE_MS = 120_000;
const USER = '11111111-2222-3333-4444-555555555555';
const EMAIL = 'owner@example.com';

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly cookie: string | undefined;
}

interface Guest {
  readonly id: string;
  readonly app: string;
  readonly request: unknown;
}

/** Everything that is done there; the seed decides what comes next. */
export function createFrontDoor(world: World, seed: number) {
  const { ledger, platform } = world;
  const dice = createDice(seedOf(seed, 'door'));
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const basic = (user: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` });
  const partner = basic('line-d', PAPERS.partner);

  /** undefined: nobody answered. */
  const call = async (method: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer | undefined> => {
    try {
      const response = await fetch(`${world.address}${path}`, {
        method,
        headers,
        redirect: 'manual',
        signal: AbortSignal.timeout(ANSWER_MS),
        ...(body === undefined ? {} : { body }),
      });
      const cookie = /autofiles=([^;]+)/.exec(response.headers.getSetCookie().join('\n'))?.[1];
      return { status: response.status, text: await response.text(), cookie };
    } catch {
      return undefined;
    }
  };
  const json = { 'content-type': 'application/json' };

  const ask = async (guest: Guest): Promise<number> => {
    const answer = await call('POST', '/heroku/resources', { ...partner, ...json }, JSON.stringify(guest.request));
    if (answer !== undefined) ledger.note({ kind: 'install', resource: guest.id, status: answer.status, text: answer.text });
    return answer?.status ?? 0;
  };
  const release = async ({ id }: Guest): Promise<number> => {
    const status = (await call('DELETE', `/heroku/resources/${id}`, partner))?.status ?? 0;
    if (status > 0) ledger.note({ kind: 'remove', resource: id, status });
    return status;
  };
  /** Repeats until it is so, a deadline or the signal; answers whether it was. */
  const reached = async (what: () => Promise<boolean> | boolean, signal?: AbortSignal): Promise<boolean> => {
    for (const end = Date.now() + LIFE_MS; Date.now() < end && signal?.aborted !== true; await pause(250)) if (await what()) return true;
    return false;
  };

  /** Heroku asks three times at once, and again until it is answered. */
  const install = async (): Promise<Guest> => {
    const { id, app, request } = platform.heroku.install();
    const guest = { id, app, request };
    world.guests.push({ id, app, bucket: `ld-private-${id}` });
    await Promise.all([ask(guest), ask(guest), ask(guest)]);
    await reached(async () => [202, 410, 422].includes(await ask(guest)));
    return guest;
  };

  /** Twice at once, and again until it is answered. */
  const remove = async (guest: Guest): Promise<void> => {
    await Promise.all([release(guest), release(guest)]);
    await reached(async () => [204, 410].includes(await release(guest)));
  };

  const stateOf = async (guest: Guest) => (await world.redis.hget(resourceKey(guest.id), 'state').catch(() => undefined)) ?? undefined;

  /** What was good before its resource was removed must open nothing. */
  const tryOldKeys = async (guest: Guest, session: string | undefined): Promise<void> => {
    const configs = platform.heroku.addon(guest.id)?.configs ?? [];
    for (const vars of configs)
      for (const bucket of [`ld-private-${guest.id}`, ...world.tenants.map((tenant) => tenant.bucket)])
        ledger.note({ kind: 'dead', resource: guest.id, status: await world.tryKeys(vars, bucket) });
    if (session !== undefined) await knock('GET /v1/runs', 'removed', '/v1/runs', { cookie: `autofiles=${session}` });
    await signOn('removed', guest.id);
  };

  /** A whole life: it comes, does some work, people look at it, it goes. */
  const visit = async (signal: AbortSignal): Promise<void> => {
    const guest = await install();
    await reached(async () => ['provisioned', 'failed'].includes((await stateOf(guest)) ?? ''), signal);
    let session: string | undefined;
    if ((await stateOf(guest)) === 'provisioned') {
      for (let n = 0; n < 3; n += 1) await world.work(`ld-private-${guest.id}`, dice.pick(['ok', 'slow', 'serve', 'wait']));
      session = await signOn('good', guest.id);
      await pause(dice.between(0, 2_500));
    }
    await remove(guest);
    if (await reached(async () => (await stateOf(guest)) === 'removed')) await tryOldKeys(guest, session);
  };

  const sha = (algorithm: string, ...parts: string[]) => createHash(algorithm).update(parts.join(':')).digest('hex');
  /** Sends a form, once or more often; answers with the session that the first began. */
  const signOn = async (form: string, resource: string, times = 1): Promise<string | undefined> => {
    const off = { old: -360, ahead: 360 }[form] ?? 0;
    const timestamp = String(Math.floor(Date.now() / 1000) + off);
    const email = `${randomUUID().slice(0, 8)}-${EMAIL}`;
    const salt = form === 'salt' ? 'x'.repeat(40) : PAPERS.salt;
    const token = sha('sha256', resource, salt, timestamp, USER, email);
    const body = new URLSearchParams({
      id: resource,
      resource_id: resource,
      user_scoped_resource_token: form === 'sha1' ? sha('sha1', resource, salt, timestamp) : token,
      timestamp,
      email,
      user_id: USER,
      app: 'app',
    });
    const send = () => call('POST', '/heroku/sso', { 'content-type': 'application/x-www-form-urlencoded' }, body.toString());
    const answers = await Promise.all(Array.from({ length: times }, send));
    for (const answer of answers)
      if (answer !== undefined) ledger.note({ kind: 'sign_on', form, token, status: answer.status, session: answer.cookie !== undefined });
    return answers.find((answer) => answer?.cookie !== undefined)?.cookie;
  };

  const knock = async (route: string, caller: string, path: string, headers: Record<string, string>, body?: string): Promise<void> => {
    const [method = 'GET'] = route.split(' ');
    const answer = await call(method, path, { ...headers, ...(body === undefined ? {} : json) }, body);
    if (answer !== undefined) ledger.note({ kind: 'knock', route, caller, status: answer.status });
  };
  const callers: Readonly<Record<string, Record<string, string>>> = {
    none: {},
    guess: bearer('af_guessed'),
    partner,
    operator: basic('operator', PAPERS.operator),
    own: bearer(world.tokens.own),
    viewer: bearer(world.tokens.viewer),
    other: bearer(world.tokens.other),
  };
  const routes: readonly (readonly [string, string?])[] = [
    ['GET /v1/runs'],
    ['GET /v1/resource'],
    ['GET /v1/tokens'],
    ['GET /v1/audit'],
    ['GET /v1/ledger'],
    ['GET /v1/webhooks'],
    ['GET /admin/resources'],
    ['GET /settings'],
    ['GET /runs'],
    ['POST /v1/runs/bulk', JSON.stringify({ action: 'cancel', ids: ['r0-00000000000000000000'] })],
    ['POST /v1/workflows/validate', JSON.stringify({ workflow: { run: [{ cmd: 'work' }] } })],
    ['POST /v1/tokens', JSON.stringify({ name: 'x', scope: 'read' })],
    ['POST /v1/credentials/rotate'],
    ['POST /heroku/resources', '{}'],
    ['DELETE /heroku/resources/01234567-89ab-cdef-0123-456789abcdef'],
    ['POST /session/links', '{}'],
    ['GET /healthz'],
  ];
  const knockSomewhere = async (): Promise<void> => {
    const [route = '', body] = dice.pick(routes);
    const caller = dice.pick(Object.keys(callers));
    // a rotation that is allowed would restart the app of a tenant again and again
    if (route.endsWith('/rotate') && caller !== 'viewer' && caller !== 'none') return;
    await knock(route, caller, route.split(' ')[1] ?? '', callers[caller] ?? {}, body);
  };
  /** Somebody else's run is not there. */
  const knockAtForeignRun = async (run: string): Promise<void> => {
    for (const caller of ['none', 'other', 'partner', 'operator'])
      await knock('GET /v1/runs/:foreign', caller, `/v1/runs/${run}`, callers[caller] ?? {});
    await knock('POST /v1/runs/:foreign/cancel', 'other', `/v1/runs/${run}/cancel`, callers['other'] ?? {}, '{}');
  };

  const someRun = () => dice.pick(world.firstRuns.length > 0 ? world.firstRuns : ['r0-00000000000000000000']);

  /** One thing that people do. */
  const people = async (): Promise<void> => {
    const [tenant] = world.tenants;
    if (tenant === undefined) return;
    const roll = dice.roll();
    if (roll < 0.25) await signOn('good', tenant.id, dice.chance(0.5) ? 3 : 1);
    else if (roll < 0.45) await signOn(dice.pick(['old', 'ahead', 'salt', 'sha1']), tenant.id);
    else if (roll < 0.5) await signOn('stranger', randomUUID());
    else if (roll < 0.65) await knockAtForeignRun(someRun());
    else await knockSomewhere();
  };

  return {
    /** Until the signal: three guests at a time, and people all the while. Resolves when the last guest is gone. */
    run: async (signal: AbortSignal): Promise<void> => {
      const visiting = async () => {
        while (!signal.aborted) {
          await visit(signal);
          await pause(500, undefined, { signal }).catch(() => {});
        }
      };
      const walking = async () => {
        while (!signal.aborted) {
          await people();
          await pause(dice.between(100, 500), undefined, { signal }).catch(() => {});
        }
      };
      await Promise.all([visiting(), visiting(), visiting(), walking()]);
    },
    /** Everything once, while nothing is broken. */
    epilogue: async (): Promise<void> => {
      const [tenant] = world.tenants;
      await visit(new AbortController().signal);
      for (const form of ['old', 'ahead', 'salt', 'sha1']) await signOn(form, tenant?.id ?? '');
      await signOn('stranger', randomUUID());
      await signOn('good', tenant?.id ?? '', 3);
      await knockAtForeignRun(someRun());
      for (const [route, body] of routes)
        for (const caller of ['none', 'viewer', 'other'])
          await knock(route, caller, route.split(' ')[1] ?? '', callers[caller] ?? {}, body);
    },
  };
}

// Heroku's side of an add-on, as far as its provisioning needs it: token endpoint, add-on info, config, actions, webhooks, dynos. Over HTTP.
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The OAuth client that owners of apps consent to. */
export const CUSTOMER = { id: 'client-of-autofiles', secret: 'secret-of-that-client' };

export interface HerokuAddon {
  readonly uuid: string;
  readonly name: string;
  readonly appId: string;
  state: 'provisioning' | 'provisioned' | 'deprovisioned';
  readonly config: Record<string, string>;
  /** Every PATCH of its config, in order. */
  readonly configWrites: Record<string, string>[];
  readonly hooks: { id: string; url: string; secret: string; include: string[] }[];
  /** How often each action was called. */
  readonly actions: Record<string, number>;
}

export interface HerokuSide {
  readonly url: string;
  /** Every call: method, path, status. */
  readonly calls: { method: string; path: string; status: number; auth: string }[];
  readonly stopped: string[];
  /** Dynos of all apps: id → {app, command}. */
  readonly dynos: Map<string, { app: string; command: string }>;
  addon(uuid: string): HerokuAddon;
  /** Makes an add-on and what Heroku sends with its provision request. */
  create(more?: Record<string, unknown>): { uuid: string; appId: string; body: Record<string, unknown> };
  /** The owner of `apps` agrees on the page at `location`; what Heroku sends the browser back with, and the scope that was asked for. */
  consent(location: string, owner: { apps: readonly string[]; email: string }): { code: string; state: string; scope: string };
  /** No token that was given out until now is taken any more; refresh tokens are. */
  expireTokens(): void;
  /** Answers like this to the next calls whose `METHOD path` contains the text; undefined removes it. */
  fault(text: string, answer: { status: number; body?: unknown } | undefined): void;
  close(): Promise<void>;
}

/** `lifetime`: seconds of the access tokens it gives out. */
export async function startHerokuSide(options: { clientSecret: string; lifetime?: number; dynosAllowed?: boolean }): Promise<HerokuSide> {
  const addons = new Map<string, HerokuAddon>();
  const grants = new Map<string, string>();
  const access = new Map<string, string>();
  const refreshes = new Map<string, string>();
  const faults = new Map<string, { status: number; body?: unknown }>();
  const calls: HerokuSide['calls'] = [];
  const stopped: string[] = [];
  const dynos: HerokuSide['dynos'] = new Map();
  const dynosAllowed = options.dynosAllowed ?? true;

  const give = (uuid: string, refresh: string = randomUUID()) => {
    const token = `HRKU-${randomUUID()}`;
    access.set(token, uuid);
    refreshes.set(refresh, uuid);
    return {
      status: 200,
      body: { access_token: token, refresh_token: refresh, expires_in: options.lifetime ?? 28_799, token_type: 'Bearer' },
    };
  };

  const consents = new Map<string, { challenge: string; apps: readonly string[]; email: string }>();
  const owners = new Map<string, { apps: readonly string[]; email: string }>();
  const ownersByRefresh = new Map<string, { apps: readonly string[]; email: string }>();
  /** Tokens of people: they act for an account, not for an add-on. */
  const ofOwner = (refresh: string, owner: { apps: readonly string[]; email: string }) => {
    const answer = give(`owner:${owner.email}`, refresh);
    ownersByRefresh.set(refresh, owner);
    owners.set(answer.body.access_token, owner);
    return answer;
  };

  const oauth = (fields: URLSearchParams) => {
    if (fields.get('client_secret') === CUSTOMER.secret) {
      const held = ownersByRefresh.get(fields.get('refresh_token') ?? '');
      if (held !== undefined) return ofOwner(fields.get('refresh_token') ?? '', held);
      const consent = consents.get(fields.get('code') ?? '');
      consents.delete(fields.get('code') ?? '');
      const challenge = createHash('sha256')
        .update(fields.get('code_verifier') ?? '')
        .digest('base64url');
      if (consent !== undefined && consent.challenge === challenge) return ofOwner(randomUUID(), consent);
      return { status: 400, body: { id: 'invalid_grant', message: 'The code or its verifier is wrong.' } };
    }
    if (fields.get('client_secret') !== options.clientSecret)
      return { status: 401, body: { id: 'unauthorized', message: 'Wrong secret.' } };
    if (fields.get('grant_type') === 'authorization_code') {
      const code = fields.get('code') ?? '';
      const uuid = grants.get(code);
      grants.delete(code);
      return uuid === undefined ? { status: 400, body: { id: 'invalid_grant', message: 'The code was used or has expired.' } } : give(uuid);
    }
    const uuid = refreshes.get(fields.get('refresh_token') ?? '');
    return uuid === undefined
      ? { status: 400, body: { id: 'invalid_grant', message: 'No such token.' } }
      : give(uuid, fields.get('refresh_token') ?? '');
  };

  const answer = (method: string, path: string, auth: string, text: string): { status: number; body?: unknown } => {
    if (path === '/oauth/token') return oauth(new URLSearchParams(text));
    const bearer = /^Bearer (.*)$/.exec(auth)?.[1] ?? '';
    const owner = access.get(bearer);
    if (owner === undefined) return { status: 401, body: { id: 'unauthorized', message: 'Invalid credentials provided.' } };
    const person = owners.get(bearer);
    if (path === '/account' && person !== undefined) return { status: 200, body: { email: person.email } };
    const [, kind, id = '', ...rest] = path.split('/');
    if (kind === 'addons') {
      const addon = addons.get(id);
      if (addon === undefined || addon.state === 'deprovisioned') return { status: 404, body: { id: 'not_found', message: 'No add-on.' } };
      if (owner !== id) return { status: 403, body: { id: 'forbidden', message: 'Not yours.' } };
      const body = text === '' ? {} : JSON.parse(text);
      const info = () => ({ id, name: addon.name, state: addon.state, app: { id: addon.appId, name: `app-${addon.name}` } });
      const what = `${method} ${rest.join('/')}`;
      switch (what) {
        case 'GET ':
          return { status: 200, body: info() };
        case 'PATCH config': {
          const written: Record<string, string> = {};
          for (const { name, value } of body.config) written[name] = value;
          Object.assign(addon.config, written);
          addon.configWrites.push(written);
          return { status: 200, body: body.config };
        }
        case 'POST actions/provision':
          addon.state = 'provisioned';
          addon.actions['provision'] = (addon.actions['provision'] ?? 0) + 1;
          return { status: 200, body: info() };
        case 'POST actions/deprovision':
          addon.state = 'deprovisioned';
          addon.actions['deprovision'] = (addon.actions['deprovision'] ?? 0) + 1;
          return { status: 200, body: info() };
        case 'POST webhooks':
          addon.hooks.push({ id: randomUUID(), url: body.url, secret: body.secret, include: body.include });
          return { status: 201, body: addon.hooks.at(-1) };
        case 'GET webhooks':
          return { status: 200, body: addon.hooks };
      }
      const hook = addon.hooks.find((one) => what === `PATCH webhooks/${one.id}`);
      if (hook !== undefined)
        return { status: 200, body: Object.assign(hook, { url: body.url, secret: body.secret, include: body.include }) };
      return { status: 404, body: { id: 'not_found', message: what } };
    }
    if (kind === 'apps' && rest[0] === 'dynos') {
      const mine = addons.get(owner)?.appId;
      if (person === undefined ? !dynosAllowed || mine !== id : !person.apps.includes(id))
        return { status: 403, body: { id: 'forbidden', message: 'You do not have access to dynos.' } };
      if (method === 'GET') {
        const list = [...dynos].filter(([, dyno]) => dyno.app === id);
        return {
          status: 200,
          body: list.map(([dyno, { command }], i) => ({
            id: dyno,
            name: `run.${1000 + i}`,
            command,
            state: 'up',
            size: 'Basic',
            type: 'run',
            created_at: '2026-01-01T00:00:00Z',
          })),
        };
      }
      if (method === 'POST' && rest[2] === 'actions') {
        dynos.delete(rest[1] ?? '');
        stopped.push(rest[1] ?? '');
        return { status: 202, body: {} };
      }
    }
    return { status: 404, body: { id: 'not_found', message: `${method} ${path}` } };
  };

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const method = request.method ?? '';
      const path = (request.url ?? '').split('?')[0] ?? '';
      const fault = [...faults].find(([text]) => `${method} ${path}`.includes(text))?.[1];
      const { status, body } = fault ?? answer(method, path, request.headers.authorization ?? '', Buffer.concat(chunks).toString('utf8'));
      calls.push({ method, path, status, auth: request.headers.authorization ?? '' });
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body ?? {}));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // a listening TCP server has an AddressInfo
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    stopped,
    dynos,
    addon: (uuid) => {
      const found = addons.get(uuid);
      if (found === undefined) throw new Error(`no add-on ${uuid}`);
      return found;
    },
    create: (more = {}) => {
      const uuid = randomUUID();
      const code = randomUUID();
      const name = `line-d-clear-${uuid.slice(0, 5)}`;
      const appId = randomUUID();
      addons.set(uuid, { uuid, name, appId, state: 'provisioning', config: {}, configWrites: [], hooks: [], actions: {} });
      grants.set(code, uuid);
      return {
        uuid,
        appId,
        body: {
          callback_url: `https://api.heroku.com/addons/${uuid}`,
          name,
          oauth_grant: { code, expires_at: '2026-03-03T18:01:31-0800', type: 'authorization_code' },
          options: { foo: 'true' },
          plan: 'basic',
          region: 'amazon-web-services::us-east-1',
          uuid,
          log_input_url: 'https://token:t.x@1.us.logplex.io/logs',
          some_new_member: { nobody: 'knows' },
          ...more,
        },
      };
    },
    consent: (location, owner) => {
      const query = new URL(location).searchParams;
      if (query.get('client_id') !== CUSTOMER.id || query.get('code_challenge_method') !== 'S256')
        throw new Error(`Heroku would refuse ${location}`);
      const code = randomUUID();
      consents.set(code, { ...owner, challenge: query.get('code_challenge') ?? '' });
      return { code, state: query.get('state') ?? '', scope: query.get('scope') ?? '' };
    },
    expireTokens: () => access.clear(),
    fault: (text, reply) => {
      if (reply === undefined) faults.delete(text);
      else faults.set(text, reply);
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

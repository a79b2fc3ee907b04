// What the commands for dynos need of the Heroku Platform API (heroku.md 2), local or real: the same calls as the heroku CLI makes.
import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';

const dyno = Type.Object({
  id: Type.String(),
  name: Type.String(),
  type: Type.String(),
  command: Type.String(),
  size: Type.String(),
  state: Type.String(),
  attach_url: Type.Union([Type.String(), Type.Null()]),
  updated_at: Type.String(),
});
/** A dyno as the API answers it. */
export type DynoAnswer = Static<typeof dyno>;
const formationEntry = Type.Object({ type: Type.String(), quantity: Type.Number(), size: Type.String() });
const addon = Type.Object({
  id: Type.String(),
  name: Type.String(),
  state: Type.String(),
  addon_service: Type.Object({ name: Type.String() }),
});
const replies = {
  dyno: Compile(dyno),
  dynos: Compile(Type.Array(dyno)),
  formation: Compile(Type.Array(formationEntry)),
  vars: Compile(Type.Record(Type.String(), Type.String())),
  session: Compile(Type.Object({ logplex_url: Type.String() })),
  refusal: Compile(Type.Object({ message: Type.String() })),
  app: Compile(Type.Object({ web_url: Type.Union([Type.String(), Type.Null()]) })),
  addons: Compile(Type.Array(addon)),
  anything: Compile(Type.Unknown()),
};

/** What a one-off is started with. */
export interface OneOffOrder {
  command: string;
  attach: boolean;
  env: Readonly<Record<string, string | number>>;
  size?: string;
  noTty?: boolean;
}

/** Which log lines are wanted. */
export interface LogOrder {
  lines?: number;
  tail?: boolean;
  dyno?: string;
  source?: string;
}

/** The calls; each throws a Failure with the platform's own words when it is refused. */
export interface HerokuApi {
  app: string;
  start(order: OneOffOrder): Promise<DynoAnswer>;
  dynos(): Promise<DynoAnswer[]>;
  stop(name: string): Promise<void>;
  formation(): Promise<Static<typeof formationEntry>[]>;
  scale(updates: readonly { type: string; quantity: number | string; size?: string }[]): Promise<Static<typeof formationEntry>[]>;
  configVars(): Promise<Record<string, string>>;
  setConfigVars(changes: Readonly<Record<string, string | null>>): Promise<Record<string, string>>;
  /** The add-ons of the app, those that come or go too. */
  addons(): Promise<Static<typeof addon>[]>;
  /** `plan`: `service` or `service:plan`. Resolves when the provider has taken the order. */
  createAddon(plan: string): Promise<void>;
  /** Where the app's web dynos answer. */
  webUrl(): Promise<string | null>;
  /** The lines, as they come when `tail` is set; ends when the platform ends the stream or `signal` aborts. */
  logs(order: LogOrder, signal?: AbortSignal): AsyncGenerator<string>;
}

/** Milliseconds; a local platform answers at once, the real one within Heroku's own 30 s. */
const DEADLINE_MS = 30_000;

/** Opens the API of an app; `host` as the heroku CLI takes it (HEROKU_HOST). */
export function openHerokuApi(access: { host: string; token: string; app: string }): HerokuApi {
  const base = access.host.startsWith('http') ? access.host : `https://api.${access.host}`;
  const call = async <T extends TSchema>(
    schema: ReturnType<typeof Compile<T>>,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Static<T>> => {
    let response: Response;
    try {
      response = await fetch(new URL(`/apps/${encodeURIComponent(access.app)}${path}`, base), {
        method,
        headers: {
          accept: 'application/vnd.heroku+json; version=3',
          authorization: `Bearer ${access.token}`,
          'content-type': 'application/json',
          'user-agent': 'autofiles-cli',
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
    } catch (cause) {
      throw new Failure('not_running', `Nothing answers at ${base}. Start it with \`autofiles start\`.`, { cause });
    }
    const answer: unknown = await response.json().catch(() => undefined);
    if (!response.ok) {
      const words = replies.refusal.Check(answer) ? answer.message : `${response.status} ${response.statusText}`;
      throw new Failure(response.status === 404 ? 'not_found' : 'heroku_refused', words);
    }
    if (!schema.Check(answer))
      throw new Failure('internal', `${method} ${path} was answered with something unexpected: ${JSON.stringify(answer)?.slice(0, 200)}`);
    return answer;
  };
  return {
    app: access.app,
    start: ({ command, attach, env, size, noTty }) =>
      call(replies.dyno, 'POST', '/dynos', {
        command,
        attach,
        env,
        ...(size === undefined ? {} : { size }),
        ...(noTty === true ? { force_no_tty: true } : {}),
      }),
    dynos: () => call(replies.dynos, 'GET', '/dynos'),
    async stop(name) {
      await call(replies.anything, 'POST', `/dynos/${encodeURIComponent(name)}/actions/stop`);
    },
    formation: () => call(replies.formation, 'GET', '/formation'),
    scale: (updates) => call(replies.formation, 'PATCH', '/formation', { updates }),
    configVars: () => call(replies.vars, 'GET', '/config-vars'),
    setConfigVars: (changes) => call(replies.vars, 'PATCH', '/config-vars', changes),
    addons: () => call(replies.addons, 'GET', '/addons'),
    async createAddon(plan) {
      await call(replies.anything, 'POST', '/addons', { plan: { name: plan } });
    },
    webUrl: async () => (await call(replies.app, 'GET', '')).web_url,
    async *logs(order, signal = AbortSignal.timeout(DEADLINE_MS)) {
      const { logplex_url } = await call(replies.session, 'POST', '/log-sessions', order);
      yield* linesOf(logplex_url, signal);
    },
  };
}

// Plain text lines: who does not ask for events gets them.
async function* linesOf(url: string, signal: AbortSignal): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  try {
    const response = await fetch(url, { signal });
    for await (const chunk of response.body ?? []) {
      rest += decoder.decode(chunk, { stream: true });
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (cause) {
    if (signal.aborted) return;
    throw new Failure('not_running', 'The log stream broke off: the platform went away.', { cause });
  }
  if (rest !== '') yield rest;
}

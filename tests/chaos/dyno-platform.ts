// A dyno platform whose dynos live as their commands say, over the real wire, and whose answers to POSTs get lost as the
// seed says. Every launch is noted before it is answered: the ledger that counts, whatever dies.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createDice, seedOf } from './dice.ts';
import { AT_ONCE, BUSY, FATES, fateOf, REFUSALS, UNAUTHORIZED, UNKNOWN_FATES } from './dyno-fates.ts';
import { LIVES, type StubDyno } from './dyno-lives.ts';
import { createDynoNews, type NewsFaults, USUAL_NEWS } from './dyno-news.ts';
import { createHerokuSide, type HerokuSide } from './heroku-side.ts';
import type { Ledger } from './ledger.ts';

/**
 * Writes an object with the credentials of a dyno's environment; answers whether that was allowed, undefined for one that was given none
 * and has its own. Throws when the store does not answer.
 */
export type Put = (env: Env, bucket: string, key: string, metadata: Record<string, string>) => Promise<boolean | undefined>;

type Env = Readonly<Record<string, string>>;

/** Share of the dynos of unknown launches of which no event tells, and milliseconds that those take to boot: longer than a list is waited for. */
const UNTOLD = 0.5;
const BOOT_MS = 5_000;
/** Shares of calls that go wrong besides what launches always meet. */
export interface PlatformFaults {
  /** 401, as when a token has ended. */
  readonly unauthorized: number;
  /** 503 without a readable body; launches have their own. */
  readonly unavailable: number;
  /** Config vars are not set: 422, or set and not answered. */
  readonly config: number;
}

export const NO_PLATFORM_FAULTS: PlatformFaults = { unauthorized: 0, unavailable: 0, config: 0 };

/** Milliseconds of a slow answer at most. */
const SLOW_MS = 1_500;

export interface DynoPlatform {
  readonly port: number;
  readonly heroku: HerokuSide;
  /** How badly events of dynos come from now on. */
  setNews(faults: NewsFaults): void;
  /** How many calls go wrong from now on. */
  setFaults(faults: PlatformFaults): void;
  /** Ids of dynos that run. */
  alive(): readonly string[];
  /** All POSTs are accepted at once from now on. */
  behave(): void;
  /** Whether answers get lost more often than not from now on, and how many milliseconds longer dynos take for everything meanwhile. */
  favourUnknown(wanted: boolean, longer?: number): void;
  /** Changes a config var behind the engine's back. */
  spoil(app: string): void;
  close(): Promise<void>;
}

/** Starts the platform. */
export async function startDynoPlatform(deps: {
  seed: number;
  ledger: Ledger;
  put: Put;
  /** Every tenant's bucket. */
  buckets: () => readonly string[];
}): Promise<DynoPlatform> {
  const { ledger } = deps;
  const dynos = new Map<string, StubDyno>();
  const vars = new Map<string, Record<string, string>>();
  const timers = new Set<NodeJS.Timeout>();
  let number = 0;
  let behaves = false;
  let fates = FATES;
  let faults = NO_PLATFORM_FAULTS;
  let longer = 0;
  const dice = createDice(seedOf(deps.seed, 'platform'));
  const heroku = createHerokuSide({ ledger });
  const news = createDynoNews({ seed: deps.seed, ledger, hooksOf: heroku.hooksOf, all: heroku.hooks });

  const later = (ms: number, what: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      what();
    }, ms);
    timers.add(timer);
  };
  const say = (dyno: StubDyno, text: string) => dyno.log.push(`${new Date().toISOString()} heroku[${dyno.name}]: ${text}`);
  const end = (dyno: StubDyno, status: number) => {
    if (!dyno.alive) return;
    dyno.alive = false;
    ledger.note({ kind: 'dyno', dyno: dyno.id, what: 'ended', status });
    say(dyno, `Process exited with status ${status}`);
    const state = status === 0 ? 'complete' : 'crashed';
    say(dyno, `State changed from ${dyno.state} to ${state}`);
    if (!dyno.untold) news.tell({ ...dyno, state }, 'destroy');
    // ended ones are asked for their log for a while
    later(120_000, () => dynos.delete(dyno.id));
  };
  const up = (dyno: StubDyno) => {
    if (!dyno.alive || dyno.state === 'up') return;
    dyno.state = 'up';
    ledger.note({ kind: 'dyno', dyno: dyno.id, what: 'up' });
    say(dyno, 'State changed from starting to up');
    if (!dyno.untold) news.tell(dyno, 'update');
  };
  const output = async (env: Env, bucket: string, key: string, metadata: Record<string, string>, tries = 0): Promise<void> => {
    try {
      const allowed = await deps.put(env, bucket, key, metadata);
      if (allowed !== undefined) ledger.note({ kind: 'access', bucket, own: bucket === env['LD_S3_BUCKET'], allowed });
    } catch (error) {
      if (tries > 300) throw error;
      await new Promise<void>((resolve) => later(100, resolve));
      await output(env, bucket, key, metadata, tries + 1);
    }
  };

  /** `untold`: no event tells of it, and it takes its time to boot: whoever lost the answer finds it in the list, or not at all. */
  const start = async (app: string, body: LaunchBody, task: string, attempt: number, untold = false): Promise<StubDyno> => {
    number += 1;
    const dyno: StubDyno = {
      id: randomUUID(),
      app,
      name: `run.${1000 + (number % 9000)}`,
      command: body.command,
      size: body.size,
      created_at: new Date().toISOString(),
      task,
      attempt,
      log: [],
      state: 'starting',
      alive: true,
      untold,
    };
    dynos.set(dyno.id, dyno);
    say(dyno, `Starting process with command \`${body.command}\``);
    if (!untold) news.tell(dyno, 'create');
    const [word = '', ...words] = body.command.split(' # ')[0]?.split(' ') ?? [];
    const life = LIVES[word];
    if (life === undefined) throw new Error(`no dyno lives as ${word}`);
    const bucket = body.env['LD_S3_BUCKET'] ?? '';
    await life(
      {
        dyno,
        bucket,
        dice: createDice(seedOf(deps.seed, `life ${task}/${attempt}`)),
        later: (ms, what) => later(ms + longer + (untold ? BOOT_MS : 0), what),
        up: () => up(dyno),
        end: (status) => end(dyno, status),
        output: (key, metadata = {}) => output(body.env, bucket, key, { ld_task_id: task, ...metadata }),
        trespass: async (key, metadata) => {
          // without credentials of the engine's there is nothing to try
          if (body.env['LD_AWS_ACCESS_KEY_ID'] === undefined) return;
          for (const other of deps.buckets()) if (other !== bucket) await output(body.env, other, key, metadata);
        },
      },
      words,
    );
    return dyno;
  };

  const launch = async (app: string, body: LaunchBody, response: ServerResponse): Promise<void> => {
    const [, task = '', attemptText = ''] = / # (\S+)\/(\d+)$/.exec(body.command) ?? [];
    const attempt = Number(attemptText);
    const note = (answer: 'accepted' | 'refused' | 'healing' | 'unknown', dyno?: string) =>
      ledger.note({ kind: 'post', task, attempt, app, answer, t: arrived, ...(dyno === undefined ? {} : { dyno }) });
    const arrived = Date.now();
    const refusal = /^refuse (\d+)/.exec(body.command);
    if (refusal !== null) {
      note('refused');
      const status = Number(refusal[1]);
      return answer(response, status, { id: REFUSALS[status] ?? 'invalid_params', message: 'Couldn’t start that process (refuse).' });
    }
    if (dice.chance(faults.unauthorized)) {
      note('healing');
      return answer(response, 401, UNAUTHORIZED, AT_ONCE);
    }
    number += 1;
    const fate = behaves || attempt > 2 ? 'accepted' : fateOf(createDice(seedOf(deps.seed, `fate ${task}/${attempt}/${number}`)), fates);
    switch (fate) {
      case 'busy':
        note('healing');
        return answer(response, ...dice.pick(BUSY), AT_ONCE);
      case 'unreadable':
        note('unknown');
        return answer(response, 503, '<html>Service Unavailable</html>');
      case 'reset before it':
        note('unknown');
        response.destroy();
        return;
      default: {
        const answered = fate === 'accepted' || fate === 'slow';
        const dyno = await start(app, body, task, attempt, !answered && dice.chance(UNTOLD));
        if (answered) {
          note('accepted', dyno.id);
          if (fate === 'slow') await new Promise<void>((resolve) => later(Math.random() * SLOW_MS, resolve));
          return answer(response, 201, shown(dyno));
        }
        note('unknown', dyno.id);
        if (fate === 'error after it') return answer(response, 500, { id: 'internal_server_error', message: 'Internal server error.' });
        if (fate === 'reset after it') response.destroy();
        // never answered: the caller's deadline ends it
      }
    }
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').split('?')[0]?.split('/').slice(1) ?? [];
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const called = whatIsCalled(request.method ?? '', path);
    if (called !== undefined) ledger.note({ kind: 'call', app: path[1] ?? '', what: called });
    const launches = called === undefined && path[0] === 'apps';
    const served = path[0] === 'apps' || path[0] === 'addons';
    if (served && !launches && dice.chance(faults.unauthorized)) return answer(response, 401, UNAUTHORIZED);
    if (served && !launches && dice.chance(faults.unavailable)) return answer(response, 503, '<html>Service Unavailable</html>');
    const sets = request.method === 'PATCH' && (path[2] === 'config-vars' || path[2] === 'config');
    const fails = sets && dice.chance(faults.config);
    if (fails && dice.chance(0.5)) return answer(response, 422, { id: 'invalid_params', message: 'planted' });
    // it is done, and nobody hears of it
    if (fails) response.destroy();
    const told = heroku.answer(request.method ?? '', `/${path.join('/')}`, text);
    if (told !== undefined) return answer(response, told.status, told.body);
    const body = text === '' ? {} : JSON.parse(text);
    const [kind, app = '', what, id = '', actions] = path;
    if (kind === 'logs') {
      const lines = [...dynos.values()].filter(({ name }) => name === app).flatMap(({ log }) => log);
      return answer(response, 200, lines.join('\n'));
    }
    if (what === 'config-vars') {
      if (request.method === 'PATCH') vars.set(app, { ...vars.get(app), ...body });
      return answer(response, 200, vars.get(app) ?? {});
    }
    if (what === 'log-sessions') return answer(response, 201, { logplex_url: `http://127.0.0.1:${port}/logs/${body.dyno}` });
    if (what === 'dynos' && actions === 'actions') {
      const dyno = dynos.get(id);
      if (dyno === undefined || !dyno.alive) return answer(response, 404, { id: 'not_found', message: 'Couldn’t find that dyno.' });
      ledger.note({ kind: 'dyno', dyno: dyno.id, what: 'stopped' });
      end(dyno, 143);
      return answer(response, 202, {});
    }
    if (what === 'dynos' && request.method === 'POST') return await launch(app, body, response);
    if (what === 'dynos') return answer(response, 200, [...dynos.values()].filter((dyno) => dyno.alive && dyno.app === app).map(shown));
    throw new Error(`${request.method} ${request.url} is not served here`);
  };

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => answer(response, 500, { id: 'stub', message: String(error) }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  return {
    port,
    heroku,
    setNews: news.set,
    setFaults: (next) => {
      faults = next;
    },
    alive: () => [...dynos.values()].flatMap((dyno) => (dyno.alive ? [dyno.id] : [])),
    behave: () => {
      behaves = true;
      faults = NO_PLATFORM_FAULTS;
      news.set(USUAL_NEWS);
    },
    favourUnknown: (wanted, ms = 0) => {
      longer = ms;
      fates = wanted ? UNKNOWN_FATES : FATES;
    },
    spoil: (app) => {
      vars.set(app, { ...vars.get(app), LD_AWS_ACCESS_KEY_ID: 'spoiled' });
    },
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      await news.close();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Which call of an app's this is; undefined for a launch, which is noted with its answer, and for what is no call of an app. */
function whatIsCalled(method: string, [kind, , what, , actions]: readonly string[]): 'list' | 'stop' | 'log' | 'other' | undefined {
  if (kind !== 'apps') return undefined;
  if (what === 'log-sessions') return 'log';
  if (what !== 'dynos') return 'other';
  if (actions === 'actions') return 'stop';
  return method === 'POST' ? undefined : 'list';
}

interface LaunchBody {
  readonly command: string;
  readonly size: string;
  readonly env: Readonly<Record<string, string>>;
}

/** A dyno as the Platform API lists it. */
function shown({ id, name, command, size, state, created_at }: StubDyno) {
  return { id, name, command, size, state, type: 'run', created_at };
}

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  if (response.destroyed || response.headersSent) return;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json', ...headers });
  response.end(text);
}

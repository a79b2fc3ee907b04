// `autofiles doctor`: looks at a live set-up with a worker's configuration.
import { accountOf } from '../clients/heroku-account.ts';
import { createObjectStore } from '../clients/s3.ts';
import { type ExamineDeps, examine } from '../processors/examine.ts';
import type { Finding, Fleet, Installed } from '../processors/examine-state.ts';
import { checkSafety, connect } from '../queues/connection.ts';
import { redisTime } from '../queues/due.ts';
import { createResources } from '../queues/resources.ts';
import { createWorkerSigns } from '../queues/worker-signs.ts';
import { type Config, readConfig } from '../schema/config.ts';
import { Failure } from '../schema/failures.ts';
import { onEnding } from './signals.ts';
import { createClients } from './wiring.ts';

/** Milliseconds after which a worker that is silent does not count; it tells of itself every few seconds. */
const SILENT_MS = 60_000;
/** Milliseconds for an answer of the public address. */
const WEB_MS = 10_000;
/** Milliseconds that Redis may take for its first answer. */
const REDIS_MS = 5_000;
/** A resource that no provider's uuid is: the Partner API knows it not. */
const NOBODY = '00000000-0000-4000-8000-000000000000';

const SIGNS = { ok: '✓', warning: '!', failed: '✗', skipped: '–' } as const;

/** Prints each step as it is known; answers with the exit status, 1 when one failed. Throws Failure config_invalid. */
export async function runDoctor(options: { json: boolean }, env: NodeJS.ProcessEnv): Promise<0 | 1> {
  const config = readConfig(env);
  const stop = new AbortController();
  onEnding(['SIGINT'], () => stop.abort(new Failure('request_invalid', 'Stopped by Ctrl-C.')));
  const { deps, close } = openDoctor(config);
  try {
    const findings = await examine(deps, options.json ? () => {} : print, stop.signal);
    if (options.json) console.log(JSON.stringify(findings, null, 2));
    return findings.some(({ state }) => state === 'failed') ? 1 : 0;
  } finally {
    close();
  }
}

function print({ step, state, found, fix }: Finding): void {
  console.log(`${SIGNS[state]} ${step.padEnd(22)} ${found}`);
  if (fix !== undefined && fix !== '') console.log(`${' '.repeat(25)}→ ${fix}`);
}

/** What the examination works with, from a worker's configuration. */
export function openDoctor(config: Config): { deps: ExamineDeps; close: () => void } {
  const clients = createClients(config);
  const redis = connect(config.redis, () => {});
  const inTime = async <T>(work: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(reject, REDIS_MS, new Failure('redis_unavailable', `No answer within ${REDIS_MS / 1000} s.`));
    });
    return await Promise.race([work, late]).finally(() => clearTimeout(timer));
  };
  const queue = config.queueUrl === undefined ? { name: config.queueName } : { url: config.queueUrl };
  const { herokuToken, addon } = config;
  return {
    deps: {
      redis: {
        safety: () => inTime(checkSafety(redis)),
        time: () => inTime(redisTime(redis)),
        fleet: () => inTime(readFleet(redis)),
        resources: () => inTime(readInstalled(config, redis, clients.sealer)),
      },
      identity: clients.issuer.identity,
      queue: (options) => clients.queue.describe(queue, options),
      store: clients.store,
      archiveBucket: config.archiveBucket,
      buckets: clients.buckets,
      issuer: clients.issuer,
      role: addon.tenantRoleArn !== undefined,
      tenantStore: (credentials) =>
        createObjectStore({
          region: config.region,
          ...(config.s3Endpoint === undefined ? {} : { endpoint: config.s3Endpoint }),
          credentials,
        }),
      herokuAccount:
        herokuToken === undefined
          ? undefined
          : (options) => accountOf({ baseUrl: config.herokuApiUrl, token: herokuToken, userAgent: 'autofiles' }, options),
      publicWeb: addon.publicUrl === undefined ? undefined : ({ signal } = {}) => askWeb(config, addon.publicUrl ?? '', signal),
      id: clients.id,
      now: clients.now,
    },
    close: () => {
      redis.disconnect();
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
      clients.buckets.dispose();
    },
  };
}

async function readFleet(redis: ReturnType<typeof connect>): Promise<Fleet> {
  const now = await redisTime(redis);
  const signs = [...(await createWorkerSigns({ redis }).all(now)).values()].filter(({ at }) => now - at < SILENT_MS);
  return { alive: signs.length, problems: [...new Set(signs.flatMap(({ stalled }) => stalled))].map((what) => `Stalled: ${what}.`) };
}

async function readInstalled(
  config: Config,
  redis: ReturnType<typeof connect>,
  sealer: ReturnType<typeof createClients>['sealer'],
): Promise<readonly Installed[]> {
  const resources = createResources({ redis, sealer, now: Date.now });
  return await Promise.all(
    (await resources.list()).map(async ({ id, app, app_name, state = 'provisioned', permission, error }) => ({
      id,
      app: app_name ?? app,
      state,
      // where no leave of its own is known, the configured token serves
      permission: permission === 'none' && config.herokuToken !== undefined ? 'static' : permission,
      expiresAt: state === 'provisioned' ? (await resources.secret(id, 'credentials'))?.expiresAt : undefined,
      error,
    })),
  );
}

/** Asks the public address as Heroku would: is it ours, and does it take our password? */
async function askWeb({ addon }: Config, url: string, signal?: AbortSignal): Promise<string> {
  const ask = async (headers: Record<string, string>): Promise<number> => {
    const response = await fetch(new URL(`/heroku/resources/${NOBODY}`, url), {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ plan: 'free' }),
      redirect: 'error',
      signal: AbortSignal.any([AbortSignal.timeout(WEB_MS), ...(signal === undefined ? [] : [signal])]),
    });
    await response.arrayBuffer();
    return response.status;
  };
  const said = (status: number, expected: string) =>
    new Failure('conflict', `PUT ${url}/heroku/resources/${NOBODY}: found HTTP ${status}, expected ${expected}.`);
  const stranger = await ask({});
  if (addon.password === undefined) {
    if (stranger !== 401 && stranger !== 403 && stranger !== 404) throw said(stranger, '401, 403 or 404');
    return `${url} answers; AUTOFILES_ADDON_PASSWORD is not set, so Heroku's calls are refused`;
  }
  if (stranger !== 401) throw said(stranger, '401 without a password');
  const heroku = await ask({ authorization: `Basic ${Buffer.from(`${addon.id}:${addon.password}`).toString('base64')}` });
  if (heroku !== 404) throw said(heroku, "404 with the manifest's password");
  return `${url} answers, and takes the password of the manifest`;
}

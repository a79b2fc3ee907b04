import { randomBytes } from 'node:crypto';
import { accessSync, constants, mkdirSync, realpathSync, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import type { Provider } from './addons/providers.ts';
import { createAddonSide } from './addons/start-addons.ts';
import { createApi } from './api.ts';
import { chooseCopies } from './choose-copies.ts';
import { withoutPackageBins } from './dyno-environment.ts';
import { dynoQuota } from './dyno-sizes.ts';
import { createFormation } from './formation.ts';
import { createLauncher } from './launch-dyno.ts';
import { listen, onKeptPort } from './listen.ts';
import { localCertificate } from './local-ca.ts';
import { createLogSessions } from './log-sessions.ts';
import { createLogStore } from './log-store.ts';
import { createOneOffs } from './one-offs.ts';
import { createPlatformEvents } from './platform-events.ts';
import { openPlatformState } from './platform-state.ts';
import { createProcessPipes } from './process-pipes.ts';
import { createQuotaWatch, type DynoQuota } from './quota-watch.ts';
import { createRateLimit } from './rate-limit.ts';
import { reapOrphans } from './reap-orphans.ts';
import { createReleases, userEmail } from './releases.ts';
import { removeTree } from './remove-tree.ts';
import { startRendezvous } from './rendezvous.ts';
import { startRouter } from './router.ts';
import { createSlugStore } from './slug.ts';
import { findTerminals, type Terminals } from './terminal-process.ts';
import { createWebhookStore } from './webhooks/webhook-state.ts';
import { createWebhooks } from './webhooks/webhooks.ts';

/** What the dynos platform stands on. Only the first block is required. */
export interface DynosDeps {
  /** The platform's own folder: state, snapshots, copies. Made when missing; one platform at a time. */
  dir: string;
  /** The app's folder, with or without a Procfile. */
  appDir: string;
  appName: string;
  /** What callers must send, as Bearer or as the password of Basic. */
  token: string;
  /** The user's own PATH; folders of node_modules/.bin are taken out. */
  userPath: string;
  now: () => number;
  id: () => string;
  /** Says what went wrong inside the platform. */
  report: (message: string) => void;

  /** Says what whoever started the platform should know meanwhile. */
  notice?: (message: string) => void;
  /** The port to listen on; 0 (default) takes a free one. */
  port?: number;
  /** The address to listen on (127.0.0.1). Another one only where nothing but a container's own network reaches it. */
  host?: string;
  /** The router's port, for the app's web dynos; 0 (default) takes a free one. */
  webPort?: number;
  /** The port where clients of attached runs connect; 0 (default) takes a free one. */
  rendezvousPort?: number;
  /** How long an attached run waits for its client (default 60,000 ms). */
  attachMs?: number;
  /** The wait before a webhook of level `sync` is tried again (default 1,000 ms, doubled each time). */
  webhookRetryMs?: number;
  /** Add-on services that the app can install (default none). */
  providers?: readonly Provider[];
  /** How often memory is looked at (default 2,000 ms), and what a size may use (default Heroku's figures). */
  quotaEveryMs?: number;
  quotaOf?: (size: string) => DynoQuota;
  /** Pseudo-terminals for attached runs; found by itself when left out. */
  terminals?: Terminals;
  /** Calls per hour (default 4,500, Heroku's). */
  rateLimit?: number;
  /** LANG of the dynos (default C.UTF-8). */
  lang?: string;
  /** Most dynos at one time (default 500). */
  maxDynos?: number;
  /** `auto` (default): copies at /app in a mount namespace where the machine allows it, else plain ones. */
  copies?: 'auto' | 'plain';
  /** Between SIGTERM and SIGKILL when a dyno is stopped (default 30,000 ms, Heroku's). */
  stopGraceMs?: number;
  /** The same when the platform itself stops (default 10,000 ms), and for what a killed platform left behind (default 2,000 ms). */
  shutdownGraceMs?: number;
  orphanGraceMs?: number;
}

/** A running platform. */
export interface Dynos {
  port: number;
  /** Where the router answers for the app's web dynos. */
  webPort: number;
  /** The certificate that clients of attached runs must trust (NODE_EXTRA_CA_CERTS). */
  caFile: string;
  /** How dynos get their copy of the app, and why not at `/app` when that is so. */
  copies: { kind: 'namespace' | 'plain'; reason?: string };
  /** Ends every dyno (SIGTERM, then SIGKILL after `graceMs`), then the server. Complete on return; a second call waits for the same end and may shorten the grace. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts the local cloud's one-off process platform on loopback. Before it answers, what a killed platform left behind in `dir` has been ended and removed.
 * @throws Error when the folder is still held by another platform after 15 s, the app folder is missing, no shell is found or the port is taken.
 */
export async function startDynos(deps: DynosDeps): Promise<Dynos> {
  const appDir = existingFolder(deps.appDir);
  mkdirSync(deps.dir, { recursive: true, mode: 0o700 });
  // Real paths, so that the app's own `.autofiles` is recognised whatever link leads to it.
  const dir = realpathSync(deps.dir);
  const userPath = withoutPackageBins(deps.userPath);
  const shell = findShell(userPath);
  const state = await openPlatformState(dir, { ...deps, userEmail, onWait: () => deps.notice?.('waiting for the last start to end') });
  try {
    const log = createLogStore({ ...deps, state });
    await reapOrphans({ state, log, graceMs: deps.orphanGraceMs ?? 2_000, report: deps.report });
    const [copiesDir, slugsDir] = [join(dir, 'copies'), join(dir, 'slugs')];
    await Promise.all([removeTree(copiesDir), removeTree(slugsDir)]);
    const chosen = await chooseCopies(copiesDir, deps.copies ?? 'auto');
    const app = { id: state.identity.appId, name: deps.appName };
    const secret = (): string => randomBytes(32).toString('base64url');
    const webhookStore = createWebhookStore(state.database);
    const actor = { id: state.identity.accountId, email: userEmail };
    const webhooks = createWebhooks({ ...deps, store: webhookStore, actor, retryMs: deps.webhookRetryMs ?? 1_000 });
    const events = createPlatformEvents({ webhooks, state, app });
    const slugs = createSlugStore({ appDir, dir: slugsDir, stateDir: dir, report: deps.report });
    const pipes = createProcessPipes(join(dir, 'pipes'));
    const stopGraceMs = deps.stopGraceMs ?? 30_000;
    const launcher = createLauncher({
      ...deps,
      state,
      log,
      app,
      shell,
      userPath,
      slugs,
      pipes,
      stopGraceMs,
      terminals: deps.terminals ?? findTerminals(),
      copies: chosen.copies,
      quotas: createQuotaWatch({ now: deps.now, everyMs: deps.quotaEveryMs ?? 2_000 }),
      quotaOf: deps.quotaOf ?? dynoQuota,
      changed: events.dyno,
      lang: deps.lang ?? 'C.UTF-8',
    });
    const certificate = localCertificate(join(dir, 'tls'), deps.now());
    const rendezvous = await startRendezvous({ certificate, secret, port: deps.rendezvousPort ?? 0 });
    const oneOffs = createOneOffs({
      rendezvous,
      attachMs: deps.attachMs ?? 60_000,
      launcher,
      state,
      id: deps.id,
      maxDynos: deps.maxDynos ?? 500,
      answerAfterMs: 250,
      stopGraceMs,
    });
    const formation = createFormation({ ...deps, launcher, state, log, appDir, stopGraceMs, bootMs: 60_000 });
    const sessions = createLogSessions({ log, now: deps.now, id: deps.id, secret });
    const crashed = (): boolean => formation.list().some(({ type }) => type === 'web');
    // The app's address stays the same from start to start, as long as nobody else takes it.
    const router = await onKeptPort('router', deps.webPort ?? 0, state, (port) =>
      startRouter({ web: formation.web, crashed, log, id: deps.id, now: deps.now, port }),
    );
    const webUrl = (): string => `http://127.0.0.1:${router.port}/`;
    const rateLimit = createRateLimit(deps.rateLimit ?? 4_500, deps.now);
    const released = (): void => {
      formation.restart({});
      events.release();
    };
    const releases = createReleases({ ...deps, state, log, released });
    let apiPort = 0;
    const apiUrl = (): string => `http://127.0.0.1:${apiPort}`;
    const addonSide = createAddonSide({
      ...deps,
      providers: deps.providers ?? [],
      app,
      state,
      releases,
      apiUrl,
      secret,
      changed: (action, addon) => events.addon(action, addon, addonSide.views),
    });
    const api = createApi({
      ...deps,
      ...addonSide,
      app,
      state,
      log,
      oneOffs,
      formation,
      sessions,
      rateLimit,
      webUrl,
      releases,
      secret,
      webhooks,
      webhookStore,
      scaled: events.formation,
    });
    // The first dyno should not wait for what can be had ready; what goes wrong here, that dyno will say.
    const madeReady = Promise.allSettled([pipes.prepare(), slugs.acquire().then(slugs.release)]);
    const { server, port } = await listen(api.fetch, deps.port ?? 0, deps.host ?? '127.0.0.1');
    apiPort = port;
    await formation.resume();
    addonSide.addons.resume();
    webhooks.resume();

    const closeRest = async (): Promise<void> => {
      addonSide.addons.close();
      webhooks.close();
      sessions.close();
      await router.close();
      await rendezvous.close();
      await new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      });
      chosen.close();
      log.save();
      state.close();
    };
    let closed: Promise<void> | undefined;
    return {
      port,
      webPort: router.port,
      caFile: certificate.caFile,
      copies: chosen.reason === undefined ? { kind: chosen.kind } : { kind: chosen.kind, reason: chosen.reason },
      close(graceMs = deps.shutdownGraceMs ?? 10_000) {
        oneOffs.stopAll(graceMs);
        formation.stopAll(graceMs);
        // the folder is another platform's once this one has closed
        closed ??= Promise.all([launcher.allGone(), madeReady]).then(closeRest);
        return closed;
      },
    };
  } catch (error) {
    state.close();
    throw error;
  }
}

function existingFolder(path: string): string {
  const full = resolve(path);
  if (!statSync(full, { throwIfNoEntry: false })?.isDirectory())
    throw new Error(`the app folder ${full} does not exist; give AUTOFILES_APP_DIR the folder with the Procfile`);
  return realpathSync(full);
}

// Heroku runs commands with bash; where there is none, sh does.
function findShell(path: string): string {
  for (const name of ['bash', 'sh']) {
    for (const folder of path.split(delimiter)) {
      const file = join(folder, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // Not in this folder: look in the next one.
      }
    }
  }
  throw new Error(`neither bash nor sh is in the PATH (${path}); dynos run their commands with one of them`);
}

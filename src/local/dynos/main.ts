import { randomUUID } from 'node:crypto';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { onSupervisorGone, tellSupervisor } from '../supervised.ts';
import { readProviders } from './addons/providers.ts';
import { type Dynos, startDynos } from './start-dynos.ts';

// The dynos platform as a process of its own: environment in, one ready line (and IPC message) out, SIGTERM or the parent's end stops it.

const settings = Compile(
  Type.Object({
    AUTOFILES_DYNOS_DIR: Type.String({ minLength: 1 }),
    AUTOFILES_APP_DIR: Type.String({ minLength: 1 }),
    AUTOFILES_APP_NAME: Type.String({ minLength: 1 }),
    AUTOFILES_DYNOS_TOKEN: Type.String({ minLength: 1 }),
    AUTOFILES_LOCAL_HOST: Type.Optional(Type.String({ minLength: 1 })),
    AUTOFILES_DYNOS_PORT: Type.Optional(Type.String({ pattern: '^\\d{1,5}$' })),
    PATH: Type.Optional(Type.String()),
    LANG: Type.Optional(Type.String()),
    AUTOFILES_DYNOS_WEB_PORT: Type.Optional(Type.String({ pattern: '^\\d{1,5}$' })),
    AUTOFILES_DYNOS_COPIES: Type.Optional(Type.Union([Type.Literal('auto'), Type.Literal('plain')])),
    // A JSON file with the add-on services that the app can install (docs/local-platform.md).
    AUTOFILES_DYNOS_ADDONS: Type.Optional(Type.String({ minLength: 1 })),
    AUTOFILES_DYNOS_RATE_LIMIT: Type.Optional(Type.String({ pattern: '^[1-9]\\d{0,9}$' })),
  }),
);

async function main(): Promise<void> {
  // an empty variable is an unset one
  const env = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ''));
  if (env['NODE_ENV'] === 'production')
    throw new Error('the local dynos platform runs anything on this machine and refuses NODE_ENV=production');
  if (!settings.Check(env)) {
    const faults = settings.Errors(env).map(({ instancePath, message }) => `${instancePath.slice(1)} ${message}`);
    throw new Error(`the environment does not fit: ${faults.join('; ')}`);
  }
  const starting = startDynos({
    dir: env.AUTOFILES_DYNOS_DIR,
    appDir: env.AUTOFILES_APP_DIR,
    appName: env.AUTOFILES_APP_NAME,
    token: env.AUTOFILES_DYNOS_TOKEN,
    port: Number(env.AUTOFILES_DYNOS_PORT ?? 0),
    ...(env.AUTOFILES_LOCAL_HOST === undefined ? {} : { host: env.AUTOFILES_LOCAL_HOST }),
    webPort: Number(env.AUTOFILES_DYNOS_WEB_PORT ?? 0),
    copies: env.AUTOFILES_DYNOS_COPIES ?? 'auto',
    // Heroku allows 4,500 an hour; on one's own machine nobody shares it.
    rateLimit: Number(env.AUTOFILES_DYNOS_RATE_LIMIT ?? 1_000_000),
    userPath: env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    ...(env.AUTOFILES_DYNOS_ADDONS === undefined ? {} : { providers: readProviders(env.AUTOFILES_DYNOS_ADDONS) }),
    ...(env.LANG === undefined ? {} : { lang: env.LANG }),
    now: Date.now,
    id: randomUUID,
    report: (message) => console.error(`dynos: ${message}`),
    notice(message) {
      console.error(`dynos: ${message}`);
      tellSupervisor({ notice: message });
    },
  });
  stopWith(starting);
  const { port } = await starting;
  console.log(`dynos ready on http://127.0.0.1:${port}`);
  tellSupervisor({ ready: true, port });
}

/** Milliseconds within which a signal that comes again is the same stop: from the system, and from those who started this process. */
const SAME_MS = 1000;

// Registered before the start has finished, so that no signal and no end of the parent is missed.
function stopWith(starting: Promise<Dynos>): void {
  let since: number | undefined;
  const stop = (): void => {
    if (since !== undefined && performance.now() - since <= SAME_MS) return;
    // A later signal means now: dynos get no more grace.
    const graceMs = since === undefined ? undefined : 0;
    since ??= performance.now();
    starting
      .then((dynos) => dynos.close(graceMs))
      .then(
        () => process.exit(0),
        (error: unknown) => fail(error),
      );
  };
  process.on('SIGTERM', stop);
  // Ctrl-C reaches the whole terminal group; a supervised platform leaves it to its parent, which says SIGTERM in its own time.
  process.on('SIGINT', () => {
    if (!process.connected) stop();
  });
  // The parent is gone: nobody else would ever stop us.
  onSupervisorGone(() => {
    if (since === undefined) stop();
  });
}

function fail(error: unknown): void {
  console.error(`dynos: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}

main().catch(fail);

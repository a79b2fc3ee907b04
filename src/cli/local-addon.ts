// The add-on on one's own machine: the local platform knows it as a provider, and installs it for the app over the Partner API, as
// Heroku does. What happens then is the code of production alone.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import { PLANS } from '../schema/plans.ts';
import { createApi } from './api-client.ts';
import { type AppFolder, type Identity, writeWhole } from './app-folder.ts';
import type { HerokuApi } from './heroku-api.ts';

/** The manifest that is pushed to Heroku. */
const MANIFEST = fileURLToPath(new URL('../../addon-manifest.json', import.meta.url));
const SERVICE = 'line-d';

/** Milliseconds for the whole way from the order to fresh credentials; tenths of a second are usual. */
const INSTALL_MS = 60_000;
const LOOK_MS = 25;
/** Milliseconds, 5 hours, that credentials are good for at least when a start hands them out: at six the worker has replaced them. */
const FRESH_MS = 18_000_000;

const manifestShape = Compile(Type.Object({ id: Type.Literal(SERVICE), api: Type.Record(Type.String(), Type.Unknown()) }));

/**
 * Writes `.autofiles/addons.json`, by which the dynos platform knows the add-on (docs/local-platform.md): the manifest as it is, with the
 * secrets and the address of this machine. Answers with its path. Throws Failure internal when the manifest is not ours.
 */
export async function writeProvider(folder: AppFolder, identity: Identity, web: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(MANIFEST, 'utf8'));
  if (!manifestShape.Check(manifest)) throw new Failure('internal', `${MANIFEST}: expected the manifest of ${SERVICE}.`);
  const { password, ssoSalt, clientSecret } = identity.addon;
  const test = { base_url: `${web}/heroku/resources`, sso_url: `${web}/heroku/sso` };
  const provider = {
    manifest: { ...manifest, api: { ...manifest.api, password, sso_salt: ssoSalt, test } },
    client_secret: clientSecret,
    plans: Object.entries(PLANS).map(([name, { name: human_name, price }]) => ({
      name,
      human_name,
      cents: price,
      default: name === 'local',
    })),
    permissions: ['dynos', 'logs'],
  };
  const path = join(folder.state, 'addons.json');
  await writeWhole(path, `${JSON.stringify([provider], null, 2)}\n`);
  return path;
}

/**
 * Installs the add-on for the app, unless it has it, and resolves when it is provisioned and its credentials are fresh: after a long
 * rest the worker replaces them first. Throws Failure start_failed when that does not come about.
 */
export async function installAddon(deps: { api: HerokuApi; web: { url: string; token: string }; now: () => number }): Promise<void> {
  const { api, now } = deps;
  const until = now() + INSTALL_MS;
  let ordered = false;
  for (;;) {
    const found = (await api.addons()).find(({ addon_service: { name } }) => name === SERVICE);
    if (found?.state === 'provisioned') break;
    if (found === undefined) {
      if (ordered) throw new Failure('start_failed', 'The add-on gave its provisioning up; `autofiles start --verbose` shows why.');
      await api.createAddon(SERVICE);
      ordered = true;
      continue;
    }
    await pause(until, `The add-on ${found.name} is still ${found.state}`, now);
  }
  const own = createApi(deps.web);
  for (;;) {
    const { credentials } = await own.resource();
    if (credentials !== null && Date.parse(credentials.expires_at) - now() > FRESH_MS) return;
    await pause(until, 'The worker has not replaced the credentials', now);
  }
}

async function pause(until: number, what: string, now: () => number): Promise<void> {
  if (now() > until)
    throw new Failure('start_failed', `${what} after ${INSTALL_MS / 1000} s; \`autofiles start --verbose\` shows what holds it up.`);
  await sleep(LOOK_MS);
}

// What the processes of a chaos run are told, and the secrets in it that must not come out again.
import { join } from 'node:path';

/** The store's own credentials. */
export const ROOT = { accessKeyId: 'AKIACHAOSROOT', secretAccessKey: 'canary-root-secret' };
export const QUEUE = 'events';
const HEROKU_TOKEN = 'canary-heroku-token';
const MASTER_KEY = Buffer.from('canary-master-key-of-32-bytes-ab').toString('base64');
/** What Heroku and operators prove themselves with. */
export const PAPERS = {
  partner: 'canary-partner-password',
  operator: 'canary-operator-password',
  salt: 'canary-salt-of-sign-on-forms',
  client: 'canary-oauth-client-secret',
};

/** Settings that make faults noticed soon; the margin of a lost launch is added to what the engine waits anyway. */
export const ADOPT_MARGIN_MS = 1_000;
export const GRACE_MS = 500;
/** Calls of the Platform API an hour: eight a second, so that launches wait for their turn, and would be too many if they did not. */
export const LAUNCHES_PER_HOUR = 28_800;
const QUICK = {
  AUTOFILES_LOCK_MS: '3000',
  AUTOFILES_POLL_MS: '100',
  // an event that never came is made up for soon
  AUTOFILES_HOOKED_POLL_MS: '1000',
  AUTOFILES_SWEEP_MS: '500',
  AUTOFILES_GRACE_MS: String(GRACE_MS),
  AUTOFILES_ADOPT_MARGIN_MS: String(ADOPT_MARGIN_MS),
  AUTOFILES_CONSUMERS: '2',
  AUTOFILES_LAUNCHES_PER_HOUR: String(LAUNCHES_PER_HOUR),
  AUTOFILES_LEDGER_MS: '3000',
  AUTOFILES_LATE_MS: '8000',
  LOG_LEVEL: 'info',
};

/** None of these may stand in a log, a record or an answer. */
export const SECRETS = [ROOT.secretAccessKey, HEROKU_TOKEN, MASTER_KEY, ...Object.values(PAPERS)];

/** The environment of every process; `address` is where the web process is reached. */
export const sharedEnv = ({ folder, address }: { folder: string; address: string }) => ({
  ...QUICK,
  // a killed worker is back soon
  NODE_COMPILE_CACHE: join(folder, 'compiled'),
  AUTOFILES_MODE: 'local',
  AUTOFILES_ACCESS_KEY_ID: ROOT.accessKeyId,
  AUTOFILES_SECRET_ACCESS_KEY: ROOT.secretAccessKey,
  AUTOFILES_QUEUE_NAME: QUEUE,
  AUTOFILES_HEROKU_TOKEN: HEROKU_TOKEN,
  AUTOFILES_MASTER_KEY: MASTER_KEY,
  AUTOFILES_PUBLIC_URL: address,
  AUTOFILES_HTTP_PORT: '0',
  AUTOFILES_ADDON_PASSWORD: PAPERS.partner,
  AUTOFILES_OPERATOR_PASSWORD: PAPERS.operator,
  AUTOFILES_SSO_SALT: PAPERS.salt,
  AUTOFILES_OAUTH_CLIENT_SECRET: PAPERS.client,
});

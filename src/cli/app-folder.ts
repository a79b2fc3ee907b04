// What the local cloud keeps in `.autofiles/` of the app's folder: secrets made at the first start and ports.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { basename, join, resolve } from 'node:path';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import { allReadersAgree, envLine } from './env-format.ts';

const Identity = Type.Object({
  app: Type.String(),
  region: Type.String(),
  /** The engine's own key to the local store. */
  accessKeyId: Type.String(),
  secretAccessKey: Type.String(),
  herokuToken: Type.String(),
  apiToken: Type.String(),
  masterKey: Type.String(),
  /** What the add-on and the platform, which plays Heroku, know each other by: on Heroku they stand in the manifest and the Partner Portal. */
  addon: Type.Object({ password: Type.String(), ssoSalt: Type.String(), clientSecret: Type.String() }),
  /** Remembered across starts, so that a saved `.env` keeps working; 0: not chosen yet. */
  ports: Type.Object({ store: Type.Number(), dynos: Type.Number(), web: Type.Number() }),
});
export type Identity = Static<typeof Identity>;
const identity = Compile(Identity);

/** Bytes that a unix socket's path may have; the kernel allows 108, macOS 104. */
const MAX_SOCKET_PATH = 100;

export interface AppFolder {
  readonly app: string;
  /** `.autofiles` in it. */
  readonly state: string;
  readonly socket: string;
  /** Socket of the start that holds the folder. */
  readonly lock: string;
}

/**
 * The folders of an app. Creates `.autofiles/`, for its user alone. Throws Failure config_invalid where there is no app, or where its path cannot stand in
 * `.autofiles/env`, which names files below it.
 */
export async function openAppFolder(path: string): Promise<AppFolder> {
  const app = resolve(path);
  if (!allReadersAgree(app))
    throw new Failure(
      'config_invalid',
      `--app: found the folder ${JSON.stringify(app)}, expected a path without line breaks and without an apostrophe beside one of " $ \` \\: there is no way to write it into .autofiles/env that both a shell and \`heroku local\` read. Rename or move the folder.`,
    );
  const state = join(app, '.autofiles');
  try {
    await mkdir(state, { mode: 0o700 });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : '';
    if (code === 'ENOENT')
      throw new Failure('config_invalid', `Found no folder ${app}, expected an app with a Procfile. Name one with --app DIR.`, { cause });
    if (code !== 'EEXIST') throw new Failure('config_invalid', `Cannot make ${state}: ${String(code)}.`, { cause });
  }
  await chmod(state, 0o700);
  return { app, state, socket: await socketPath(state, 'redis.sock'), lock: await socketPath(state, 'start.sock') };
}

/** A socket path that the kernel takes: in the state folder, or where that is too deep, in a folder of ours in the temporary one. */
async function socketPath(state: string, name: string): Promise<string> {
  const near = join(state, name);
  if (Buffer.byteLength(near) <= MAX_SOCKET_PATH) return near;
  const folder = join(tmpdir(), `autofiles-${userInfo().uid}-${createHash('sha256').update(state).digest('hex').slice(0, 12)}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  return join(folder, name);
}

/** The app's identity in the local cloud, made at the first start. */
export async function readIdentity(folder: AppFolder): Promise<Identity> {
  const path = join(folder.state, 'identity.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) throw cause;
    const made = newIdentity(folder);
    await saveIdentity(folder, made);
    return made;
  }
  const parsed: unknown = JSON.parse(text);
  if (!identity.Check(parsed))
    throw new Failure(
      'config_invalid',
      `${path} is damaged, or of an earlier version. Move ${folder.state} away to begin anew, with no files and no runs.`,
    );
  return parsed;
}

/** Written whole or not at all. */
export async function saveIdentity(folder: AppFolder, next: Identity): Promise<void> {
  await writeWhole(join(folder.state, 'identity.json'), `${JSON.stringify(next, null, 2)}\n`);
}

function newIdentity(folder: AppFolder): Identity {
  const name = basename(folder.app)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 30);
  return {
    app: /^[a-z]/.test(name) ? name : `app-${name}`.replace(/-$/, ''),
    region: 'us-east-1',
    accessKeyId: `AKIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
    herokuToken: `HRKU-${randomUUID()}`,
    apiToken: `af_${randomBytes(24).toString('base64url')}`,
    masterKey: randomBytes(32).toString('base64'),
    addon: {
      password: randomBytes(24).toString('base64url'),
      ssoSalt: randomBytes(24).toString('base64url'),
      clientSecret: randomBytes(24).toString('base64url'),
    },
    ports: { store: 0, dynos: 0, web: 0 },
  };
}

/** `.autofiles/env`: what a client needs, in a form that `set -a; . .autofiles/env` and `heroku local` both read. */
export async function writeEnvFile(folder: AppFolder, variables: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(variables).map(([name, value]) => envLine(name, value));
  await writeWhole(join(folder.state, 'env'), lines.join(''));
}

export async function removeEnvFile(folder: AppFolder): Promise<void> {
  await rm(join(folder.state, 'env'), { force: true });
}

/** Writes a file whole or not at all, for its user alone. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

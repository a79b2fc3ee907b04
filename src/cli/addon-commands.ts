// The commands about the add-on itself: its dashboard and its credentials.
import type { Command } from 'commander';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';

const link = Compile(Type.Object({ path: Type.String({ pattern: '^/session/open\\?code=' }) }));
const container = Compile(
  Type.Object({ AccessKeyId: Type.String(), SecretAccessKey: Type.String(), Token: Type.String(), Expiration: Type.String() }),
);
const requested = Compile(Type.Object({ requested_at: Type.String() }));
/** Milliseconds for an answer. */
const DEADLINE_MS = 10_000;

/** Adds `open`, `credentials` and `credentials:rotate` to the program. */
export function registerAddonCommands(program: Command, deps: { env: NodeJS.ProcessEnv; exampleApp: string }): void {
  const ask = async <T>(
    app: string | undefined,
    method: string,
    path: string,
    reply: { Check(value: unknown): value is T },
  ): Promise<{ url: string; reply: T }> => {
    const { findAccess } = await import('./access.ts');
    const { AUTOFILES_URL: url = '', AUTOFILES_TOKEN: token = '' } = await findAccess(deps.env, app, deps.exampleApp);
    const response = await fetch(new URL(path, url), {
      method,
      headers: { authorization: `Bearer ${token}` },
      redirect: 'error',
      signal: AbortSignal.timeout(DEADLINE_MS),
    }).catch((cause: unknown) => {
      throw new Failure('not_running', `Nothing answers at ${url}. Start it with \`autofiles start\`.`, { cause });
    });
    const body: unknown = await response.json().catch(() => undefined);
    if (!reply.Check(body)) throw new Failure('request_invalid', `${method} ${path} answered ${response.status}.`);
    return { url, reply: body };
  };

  program
    .command('open')
    .description('a link to the dashboard that works once, within a minute')
    .option('--app <dir>', "the app's folder")
    .action(async (options: { app?: string }) => {
      const { url, reply } = await ask(options.app, 'POST', '/session/links', link);
      console.log(new URL(reply.path, url).href);
    });

  program
    .command('credentials')
    .description("the bucket's credentials as an AWS credential_process prints them")
    .option('--app <dir>', "the app's folder")
    .action(async (options: { app?: string }) => {
      const { reply } = await ask(options.app, 'GET', '/v1/credentials', container);
      const { AccessKeyId, SecretAccessKey, Token: SessionToken, Expiration } = reply;
      console.log(JSON.stringify({ Version: 1, AccessKeyId, SecretAccessKey, SessionToken, Expiration }));
    });

  program
    .command('credentials:rotate')
    .description("replace the bucket's credentials now; the old ones end by themselves")
    .option('--app <dir>', "the app's folder")
    .action(async (options: { app?: string }) => {
      await ask(options.app, 'POST', '/v1/credentials/rotate', requested);
      console.log('The credentials are being replaced.');
    });
}

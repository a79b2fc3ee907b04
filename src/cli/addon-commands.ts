// The commands about the add-on itself: its dashboard and its credentials.
import type { Command } from 'commander';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import { onEnding } from './signals.ts';

const link = Compile(Type.Object({ path: Type.String({ pattern: '^/session/open\\?code=' }) }));
/** Milliseconds for an answer. */
const DEADLINE_MS = 10_000;

/** Adds `open`, `credentials`, `credentials:rotate` and `export` to the program. */
export function registerAddonCommands(program: Command, deps: { env: NodeJS.ProcessEnv; exampleApp: string }): void {
  const openApi = async (app: string | undefined) => {
    const { apiOf, findAccess } = await import('./access.ts');
    return apiOf(await findAccess(deps.env, app, deps.exampleApp));
  };

  program
    .command('open')
    .description('a link to the dashboard that works once, within a minute')
    .option('--app <dir>', "the app's folder")
    .action(async (options: { app?: string }) => {
      const { findAccess } = await import('./access.ts');
      const { AUTOFILES_URL: url = '', AUTOFILES_TOKEN: token = '' } = await findAccess(deps.env, options.app, deps.exampleApp);
      console.log(await openingLink(url, token));
    });

  program
    .command('credentials')
    .description("the bucket's credentials as an AWS credential_process prints them")
    .option('--app <dir>', "the app's folder")
    .action(async (options: { app?: string }) => {
      const { AccessKeyId, SecretAccessKey, Token: SessionToken, Expiration } = await (await openApi(options.app)).credentials();
      console.log(JSON.stringify({ Version: 1, AccessKeyId, SecretAccessKey, SessionToken, Expiration }));
    });

  program
    .command('credentials:rotate')
    .description("replace the bucket's credentials now; the old ones end by themselves")
    .option('--app <dir>', "the app's folder")
    .action(async (options: { app?: string }) => {
      await (await openApi(options.app)).rotateCredentials();
      console.log('The credentials are being replaced.');
    });

  program
    .command('export <folder>')
    .description(
      'take the bucket along: every file with its metadata, and the history of every ended run; may be broken off and begun again',
    )
    .option('--prefix <prefix>', 'only keys that begin so', '')
    .option('--app <dir>', "the app's folder")
    .action(async (folder: string, { prefix, app }: { prefix: string; app?: string }) => {
      const { apiOf, findAccess, readerOf } = await import('./access.ts');
      const { exportBucket } = await import('./export.ts');
      const variables = await findAccess(deps.env, app, deps.exampleApp);
      const { reader, bucket } = await readerOf(variables);
      const stop = new AbortController();
      onEnding(['SIGINT'], () => stop.abort(new Failure('request_invalid', 'Stopped by Ctrl-C; the same command goes on with it.')));
      try {
        const running = await apiOf(variables).runs({ state: ['accepted', 'running'] });
        const done = await exportBucket({ reader, bucket, prefix, folder, say: (line) => console.log(line), signal: stop.signal });
        for (const line of done.failed) console.error(`not fetched: ${line}`);
        if (running.length > 0)
          console.error(`${running.length} runs or more have not ended: their history comes into the bucket when they have.`);
        console.error(`${done.fetched} files fetched (${done.bytes} bytes), ${done.kept} were there; see export.jsonl in ${folder}`);
        if (done.failed.length > 0) process.exitCode = 1;
      } finally {
        reader.close();
      }
    });
}

/** A link that signs a browser in, once. It is no part of the REST API: the local token alone may ask for it. */
async function openingLink(url: string, token: string): Promise<string> {
  const response = await fetch(new URL('/session/links', url), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    redirect: 'error',
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).catch((cause: unknown) => {
    throw new Failure('not_running', `Nothing answers at ${url}. Start it with \`autofiles start\`.`, { cause });
  });
  const body: unknown = await response.json().catch(() => undefined);
  if (!link.Check(body)) throw new Failure('request_invalid', `POST /session/links answered ${response.status}.`);
  return new URL(body.path, url).href;
}

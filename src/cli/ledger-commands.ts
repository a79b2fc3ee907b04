// `audit`, `backfill` and `quarantined`: is every file accounted for, what may run after all, and what was set aside.
import type { Command } from 'commander';
import type { BackfillOrder, BackfillPage, LedgerAudit } from '../schema/ledger-view.ts';

const note = (line: string) => console.error(line);
const print = (value: unknown) => console.log(typeof value === 'string' ? value : JSON.stringify(value, null, 2));

/** Adds `audit`, `backfill` and `quarantined` to the program. */
export function registerLedgerCommands(program: Command, deps: { env: NodeJS.ProcessEnv; exampleApp: string }): void {
  const openApi = async (app: string | undefined) => {
    const { apiOf, findAccess } = await import('./access.ts');
    return apiOf(await findAccess(deps.env, app, deps.exampleApp));
  };

  program
    .command('audit')
    .description('is every file accounted for? exit status 1 when one is missing')
    .option('--app <dir>', "the app's folder")
    .option('--json', 'print JSON')
    .action(async (options: { app?: string; json?: true }) => {
      const api = await openApi(options.app);
      const found = await api.audit(({ in_scope, missing }) => note(`so far ${in_scope} in scope, ${missing} missing …`));
      if (options.json) print(found);
      else for (const line of linesOf(found)) print(line);
      if (found.missing > 0 || found.watermark === null) process.exitCode = 1;
    });

  program
    .command('backfill')
    .description('run files that carry a workflow and never ran, after a loss or from before the add-on')
    .option('--dry-run', 'only list them')
    .option('--prefix <prefix>', 'only keys that begin so')
    .option('--since <time>', 'only what was saved then or later (ISO 8601)')
    .option('--until <time>', 'only what was saved before')
    .option('--app <dir>', "the app's folder")
    .option('--json', 'print JSON')
    .action(async (options: { dryRun?: true; prefix?: string; since?: string; until?: string; app?: string; json?: true }) => {
      const api = await openApi(options.app);
      const versions: BackfillPage['versions'] = [];
      let cursor: string | undefined;
      do {
        const order: BackfillOrder = {
          dry_run: options.dryRun === true,
          ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
          ...(options.since === undefined ? {} : { since: options.since }),
          ...(options.until === undefined ? {} : { until: options.until }),
          ...(cursor === undefined ? {} : { cursor }),
        };
        const page = await api.backfill(order);
        versions.push(...page.versions);
        if (!options.json)
          for (const { key, version_id, saved_at, run } of page.versions) print(`${saved_at}  ${run}  ${key}  ${version_id}`);
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      if (options.json) print(versions);
      note(
        `${versions.length} ${options.dryRun ? 'would run' : 'run now'}${options.dryRun && versions.length > 0 ? '; leave --dry-run out to run them' : ''}`,
      );
    });

  program
    .command('quarantined')
    .description('files that started no run although they asked for one, and metadata that was not taken, with the reasons')
    .option('--app <dir>', "the app's folder")
    .option('--json', 'print JSON')
    .action(async (options: { app?: string; json?: true }) => {
      const found = await (await openApi(options.app)).setAside();
      if (options.json) return print(found);
      for (const { at, key, version_id, reason } of found) print(`${at}  ${key}  ${version_id}  ${reason}`);
      note(found.length === 0 ? 'nothing was set aside' : `${found.length} set aside`);
    });
}

function linesOf(found: LedgerAudit): string[] {
  const oldest = found.oldest_unaccounted;
  return [
    `bucket               ${found.bucket}`,
    ...(found.watermark === null
      ? ['account              none yet: the bucket was never swept']
      : [`accounted for from   ${found.watermark.since}`, `all over up to       ${found.watermark.at}`]),
    `in scope             ${found.in_scope}`,
    `accounted for        ${found.accounted_for}`,
    `events on their way  ${found.in_flight}`,
    `missing              ${found.missing}`,
    ...(oldest === null ? [] : [`oldest unaccounted   ${oldest.saved_at}  ${oldest.key}  ${oldest.version_id}`]),
    ...(found.before_account === 0 ? [] : [`before the account   ${found.before_account} (see autofiles backfill --dry-run)`]),
  ];
}

// The pages, put together: who sees what, which page a path is, what an error looks like.
import { Hono } from 'hono';
import { messageOf } from '../../schema/failures.ts';
import type { Log } from '../../schema/log.ts';
import { failureOf } from '../require-redis.ts';
import { assetRoutes } from './assets.ts';
import { consentRoutes } from './consent-routes.ts';
import { errorPage } from './error-page.ts';
import { type FilesPageDeps, filesPageRoutes } from './files-routes.ts';
import { type LogSource, logRoutes } from './log-routes.ts';
import { type OverviewDeps, overviewRoutes } from './overview-routes.ts';
import { pageMarks } from './page-marks.ts';
import { type RunPageDeps, runRoutes } from './run-routes.ts';
import { type RunsListDeps, runsListRoutes } from './runs-list-routes.ts';
import { type SettingsDeps, settingsRoutes } from './settings-routes.ts';
import { uploadRoutes } from './upload-routes.ts';
import { showPage, type VisitDeps, type VisitEnv, visit } from './visit.ts';

export interface DashboardDeps extends VisitDeps, RunPageDeps, RunsListDeps, OverviewDeps, FilesPageDeps, SettingsDeps {
  readonly logs: LogSource;
  readonly log: Log;
}

/** Paths that are pages; all others are none of the dashboard's. */
const PAGES = ['/', '/runs', '/runs/*', '/files', '/files/*', '/settings', '/settings/*'];

/** All pages of the dashboard, to be mounted at the root after every other route. */
export function dashboardRoutes(deps: DashboardDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();
  routes.route('/', assetRoutes(deps.assets));
  for (const path of PAGES) routes.use(path, visit(deps), pageMarks(deps));
  routes.onError((error, c) => {
    const failure = failureOf(error);
    if (failure.status >= 500) deps.log.error({ path: c.req.path, error: messageOf(error) }, 'page failed');
    if (failure.retryAfter !== undefined) c.header('retry-after', String(failure.retryAfter));
    return showPage(c, errorPage(failure), failure.status);
  });
  routes.route('/', overviewRoutes(deps));
  routes.route('/', runsListRoutes(deps));
  routes.route('/', runRoutes(deps));
  routes.route('/', logRoutes(deps));
  routes.route('/', filesPageRoutes(deps));
  routes.route('/', uploadRoutes(deps));
  routes.route('/', settingsRoutes(deps));
  if (deps.consent !== undefined) routes.route('/', consentRoutes(deps.consent));
  return routes;
}

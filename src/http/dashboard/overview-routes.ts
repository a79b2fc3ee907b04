// The first page.
import { Hono } from 'hono';
import type { ActivityStretch } from '../../queues/activity.ts';
import type { RunQuery } from '../../queues/run-list.ts';
import { Failure } from '../../schema/failures.ts';
import type { RunPage } from '../../schema/run-view.ts';
import type { ResourceDeps } from '../resource-routes.ts';
import { type OverviewInput, overviewPage } from './overview-page.ts';
import { showPage, type VisitEnv } from './visit.ts';

/** Runs whose duration is drawn. */
const RECENT = 200;
const FAILED = 5;
/** Entries of what was set aside. */
const SET_ASIDE = 5;
/** Half hours of a day. */
const STRETCHES = 48;
const WIDTH_MS = 1_800_000;

export interface OverviewDeps {
  readonly resources: ResourceDeps;
  readonly list: (query: RunQuery) => Promise<RunPage>;
  readonly activity: (query: { resource: string; now: number; stretches: number; width: number }) => Promise<readonly ActivityStretch[]>;
  readonly outlook: (resource: string) => Promise<OverviewInput['outlook']>;
}

/** `/`. */
export function overviewRoutes(deps: OverviewDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();
  routes.get('/', async (c) => {
    const { resource: id, view } = c.var.visit;
    const [resource, ledger, setAside, outlook, recent, failed, activity] = await Promise.all([
      deps.resources.view(id),
      deps.resources.ledger(id),
      deps.resources.setAside(id, SET_ASIDE),
      deps.outlook(id),
      deps.list({ resource: id, limit: RECENT }),
      deps.list({ resource: id, limit: FAILED, states: ['failed', 'rejected'] }),
      deps.activity({ resource: id, now: view.now, stretches: STRETCHES, width: WIDTH_MS }),
    ]);
    if (resource === undefined) throw new Failure('not_found', 'The resource is not provisioned yet, or gone.');
    return showPage(c, overviewPage(view, { resource, ledger, setAside, outlook, recent: recent.runs, failed: failed.runs, activity }));
  });
  return routes;
}

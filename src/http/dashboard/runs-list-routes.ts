// The list of runs and the stream that tells when to look at it again.
import { setTimeout as pause } from 'node:timers/promises';
import { Hono } from 'hono';
import type { Feed } from '../../queues/feed.ts';
import type { ReplayOrder } from '../../queues/replay.ts';
import type { RunQuery } from '../../queues/run-list.ts';
import { Failure } from '../../schema/failures.ts';
import type { RunPage } from '../../schema/run-view.ts';
import type { Streams } from '../streams.ts';
import { type BulkResult, bulkPage } from './bulk-page.ts';
import { readForm } from './read-form.ts';
import { namedOrder } from './retry-order.ts';
import { queryOf, readFilter } from './runs-filter.ts';
import { runsPage } from './runs-page.ts';
import { showPage, type Visit, type VisitEnv } from './visit.ts';

/** Runs on a page. */
const PAGE = 50;
/** Runs of one bulk action. */
const MAX_BULK = 100;
/** Milliseconds that changes are gathered for, so that a thousand runs do not draw the page a thousand times. */
const GATHER_MS = 400;

export interface RunsListDeps {
  readonly streams: Streams;
  readonly list: (query: RunQuery) => Promise<RunPage>;
  /** Runs an ended run again and answers with the new run's id. */
  readonly retry: (order: Omit<ReplayOrder, 'cap'>) => Promise<string>;
  readonly cancel: (runId: string, by: string) => Promise<string>;
  /** Whose run it is; undefined: no such run. */
  readonly head: (runId: string) => Promise<{ resource: string } | undefined>;
  /** A new nonce. */
  readonly id: () => string;
  readonly feed: Pick<Feed, 'listen'>;
}

/** `/runs`, `/runs/live` and `/runs/bulk`; mounted before `/runs/:id`. */
export function runsListRoutes(deps: RunsListDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();

  routes.get('/runs', async (c) => {
    const filter = readFilter(c.req.query(), c.req.queries('state') ?? []);
    const page = await deps.list({ resource: c.var.visit.resource, limit: PAGE, ...queryOf(filter, c.var.visit.view.now) });
    return showPage(c, runsPage(c.var.visit.view, filter, page));
  });

  routes.post('/runs/bulk', async (c) => {
    const form = await readForm(c);
    const action = form.get('action') === 'cancel' ? 'cancel' : 'retry';
    const ids = form.getAll('id').filter((id): id is string => typeof id === 'string');
    if (ids.length === 0) throw new Failure('request_invalid', 'Found no run, expected at least one to be selected.');
    if (ids.length > MAX_BULK) throw new Failure('request_invalid', `Found ${ids.length} runs, expected at most ${MAX_BULK} at a time.`);
    const results: BulkResult[] = [];
    const order = namedOrder(form, { selection: { mode: 'failed' } }, deps.id);
    // one after the other: what one refuses must not keep the others from being done
    for (const id of ids) results.push(await actOn(deps, id, action === 'cancel' ? 'cancel' : order, c.var.visit));
    return showPage(c, bulkPage(c.var.visit.view, action, results));
  });

  // A run of the visitor's came into another state; what a task does shows at the next heartbeat.
  routes.get('/runs/live', (c) => {
    let first = true;
    return deps.streams.turns(c, c.var.visit.caller, {
      listen: (ring) => deps.feed.listen(c.var.visit.resource, ring),
      turn: async (stream) => {
        if (first) await stream.comment('connected');
        else {
          await pause(GATHER_MS);
          await stream.write({ event: 'change', data: '' });
        }
        first = false;
        return 'go on';
      },
    });
  });
  return routes;
}

async function actOn(
  deps: RunsListDeps,
  id: string,
  action: 'cancel' | Omit<ReplayOrder, 'cap' | 'runId'>,
  visit: Visit,
): Promise<BulkResult> {
  try {
    // another resource's run answers like one that never was
    if ((await deps.head(id))?.resource !== visit.resource) throw new Failure('not_found', `Found no run ${id}.`);
    if (action === 'cancel') return { id, ok: true, text: await deps.cancel(id, visit.name) };
    const again = await deps.retry({ runId: id, ...action });
    return { id, ok: true, text: again, again };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { id, ok: false, text: error.message };
  }
}

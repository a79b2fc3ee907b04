// Pages and forms of one run, and the stream that tells when to look at it again.
import { type Context, Hono } from 'hono';
import type { Transition } from '../../queues/channel.ts';
import type { ReplayOrder } from '../../queues/replay.ts';
import { Failure } from '../../schema/failures.ts';
import { parseRunId } from '../../schema/ids.ts';
import { isFinal, type RunView } from '../../schema/run-view.ts';
import type { Streams } from '../streams.ts';
import { againPage } from './again-page.ts';
import { isRecent } from './is-recent.ts';
import { fileHref } from './links.ts';
import { readForm } from './read-form.ts';
import { namedOrder, readRetryForm } from './retry-order.ts';
import { runPage } from './run-page.ts';
import { savedPage } from './stages.ts';
import { showPage, type VisitEnv } from './visit.ts';

/** Milliseconds that a page waits for a file’s event: S3 delivers most within a second or two. */
const EVENT_MS = 30_000;

/** Finds a run by its id. */
export interface ShowsRuns {
  readonly show: (runId: string) => Promise<RunView | undefined>;
}

export interface RunPageDeps extends ShowsRuns {
  readonly streams: Streams;
  /** Runs an ended run again and answers with the new run's id. */
  readonly retry: (order: Omit<ReplayOrder, 'cap'>) => Promise<string>;
  readonly cancel: (runId: string, by: string) => Promise<string>;
  /** The text of a run's workflow; undefined where it has none. */
  readonly document: (runId: string) => Promise<string | undefined>;
  /** A new nonce. */
  readonly id: () => string;
  readonly listen: (onTransition: (transition: Transition) => void) => () => void;
}

/** The run that a path names, if it is one of the visitor's. Throws Failure not_found. */
export async function ownRun(deps: ShowsRuns, c: Context<VisitEnv>): Promise<RunView> {
  const id = c.req.param('id') ?? '';
  const run = await deps.show(id);
  // another resource's run answers like one that never was
  if (run === undefined || run.resource !== c.var.visit.resource) throw new Failure('not_found', `Found no run ${id}.`);
  return run;
}

/** `/runs/:id` and what is done there. */
export function runRoutes(deps: RunPageDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();

  routes.get('/runs/:id', async (c) => {
    // the event of a file that was saved just now comes a little later
    const { saved, key, version } = c.req.query();
    if (saved !== undefined && parseRunId(c.req.param('id')) !== undefined && (await deps.show(c.req.param('id'))) === undefined) {
      const late = !isRecent(saved, c.var.visit.view.now, EVENT_MS);
      return showPage(c, savedPage({ late, file: key === undefined ? '/files' : fileHref(key, version) }));
    }
    return showPage(c, runPage(c.var.visit.view, await ownRun(deps, c), c.req.query('task')));
  });

  routes.get('/runs/:id/again', async (c) => {
    const run = await ownRun(deps, c);
    return showPage(c, againPage(c.var.visit.view, run, { own: pretty(await deps.document(run.id)) }));
  });

  routes.post('/runs/:id/cancel', async (c) => {
    const run = await ownRun(deps, c);
    await deps.cancel(run.id, c.var.visit.name);
    return c.redirect(`/runs/${run.id}`, 303);
  });

  routes.post('/runs/:id/retry', async (c) => {
    const run = await ownRun(deps, c);
    const form = await readForm(c);
    const order = readRetryForm(form, run.id);
    // an edited workflow that is wrong comes back as it was typed, with what is wrong in it
    try {
      return c.redirect(`/runs/${await deps.retry({ runId: run.id, ...namedOrder(form, order, deps.id) })}`, 303);
    } catch (error) {
      if (!(error instanceof Failure) || error.status >= 500 || order.workflow === undefined) throw error;
      return showPage(c, againPage(c.var.visit.view, run, { text: order.workflow, fault: error.detail, selection: order.selection }), 422);
    }
  });

  // Tells that something changed, no more: the page is fetched again by who shows it.
  routes.get('/runs/:id/live', async (c) => {
    const { id } = await ownRun(deps, c);
    let sent = -1;
    return deps.streams.turns(c, c.var.visit.caller, {
      listen: (ring) =>
        deps.listen(({ runId }) => {
          if (runId === id) ring();
        }),
      turn: async (stream) => {
        const run = await deps.show(id);
        if (run === undefined) return 'end';
        if (run.history.length !== sent) await stream.write({ event: 'change', id: String(run.history.length), data: run.state });
        sent = run.history.length;
        if (!isFinal(run.state)) return 'go on';
        await stream.write({ event: 'end', data: run.state });
        return 'end';
      },
    });
  });
  return routes;
}

/** JSON with line breaks for people to edit; the text as it is where it is none. */
function pretty(text: string | undefined): string {
  if (text === undefined) return '';
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

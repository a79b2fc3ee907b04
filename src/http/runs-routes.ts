import { type Context, Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Transition } from '../queues/channel.ts';
import type { Selection } from '../queues/replay.ts';
import { Failure } from '../schema/failures.ts';
import { parseTaskId } from '../schema/ids.ts';
import { isFinal, type RunSummary, type RunView } from '../schema/run-view.ts';
import type { PrincipalEnv } from './principal.ts';
import { readBody } from './read-body.ts';

/** Runs of one page of the list. */
const DEFAULT_LIMIT = 25;
const MAX_LIMIT = 200;
/** Milliseconds between two comments that keep a stream's connection open. */
const HEARTBEAT_MS = 15_000;

export interface RunsDeps {
  readonly show: (runId: string) => Promise<RunView | undefined>;
  readonly list: (query: { resource: string; limit: number; before?: number }) => Promise<readonly RunSummary[]>;
  readonly runIdOf: (event: { bucket: string; key: string; versionId: string }) => string;
  /** Runs an ended run again and answers with the new run's id. */
  readonly retry: (order: { runId: string; selection: Selection; workflow?: string; nonce: string }) => Promise<string>;
  /** A new nonce. */
  readonly id: () => string;
  readonly cancel: (runId: string, by: string) => Promise<string>;
  readonly listen: (onTransition: (transition: Transition) => void) => () => void;
}

/** `/v1/runs`: list, show, cancel and follow the runs of the principal's resource. */
export function runsRoutes(deps: RunsDeps) {
  const routes = new Hono<PrincipalEnv>();

  const own = async (c: Context<PrincipalEnv>): Promise<RunView> => {
    const id = c.req.param('id') ?? '';
    const run = await deps.show(id);
    // another resource's run answers like one that never was
    if (run === undefined || run.resource !== c.var.principal.resource) throw new Failure('not_found', `Found no run ${id}.`);
    return run;
  };

  routes.get('/runs', async (c) => {
    const { bucket, key, version_id: versionId } = c.req.query();
    if (bucket !== undefined && key !== undefined && versionId !== undefined) {
      const run = await deps.show(deps.runIdOf({ bucket, key, versionId }));
      return c.json(run === undefined || run.resource !== c.var.principal.resource ? [] : [summaryOf(run)]);
    }
    const limit = number(c, 'limit', DEFAULT_LIMIT, 1, MAX_LIMIT);
    const before = c.req.query('before') === undefined ? undefined : number(c, 'before', 0, 0, Number.MAX_SAFE_INTEGER);
    return c.json(await deps.list({ resource: c.var.principal.resource, limit, ...(before === undefined ? {} : { before }) }));
  });

  routes.get('/runs/:id', async (c) => c.json(await own(c)));

  routes.post('/runs/:id/cancel', async (c) => {
    const run = await own(c);
    return c.json({ id: run.id, state: await deps.cancel(run.id, c.var.principal.name) });
  });

  routes.post('/runs/:id/retry', async (c) => {
    const run = await own(c);
    const order = readRetry(await readBody(c, retryBody), run.id);
    const nonce = c.req.header('idempotency-key') ?? deps.id();
    return c.json({ id: await deps.retry({ runId: run.id, nonce, ...order }) }, 202);
  });

  // Every entry of the history as an event with its number as id, from the one after Last-Event-ID on; ends with the run.
  routes.get('/runs/:id/events', async (c) => {
    const { id } = await own(c);
    const after = Number(c.req.header('last-event-id') ?? c.req.query('after') ?? 0);
    return streamSSE(c, async (stream) => {
      let sent = Number.isFinite(after) ? after : 0;
      let wake = () => {};
      const stop = deps.listen(({ runId }) => {
        if (runId === id) wake();
      });
      stream.onAbort(() => {
        stop();
        wake();
      });
      try {
        while (!stream.aborted) {
          // armed before the read: what is written after it rings
          const rung = new Promise<void>((resolve) => {
            wake = resolve;
          });
          const run = await deps.show(id);
          if (run === undefined) return;
          for (const entry of run.history.filter(({ n }) => n > sent)) {
            await stream.writeSSE({ id: String(entry.n), event: entry.what, data: JSON.stringify(entry) });
            sent = entry.n;
          }
          if (isFinal(run.state)) {
            await stream.writeSSE({ event: 'end', data: JSON.stringify({ state: run.state, error: run.error }) });
            return;
          }
          // the channel may lose anything: look again after a while in any case
          const timer = setTimeout(wake, HEARTBEAT_MS);
          await rung;
          clearTimeout(timer);
          await stream.write(': still here\n\n');
        }
      } finally {
        stop();
      }
    });
  });
  return routes;
}

const RetryBody = Type.Object(
  {
    mode: Type.Optional(Type.Union([Type.Literal('run'), Type.Literal('from'), Type.Literal('task'), Type.Literal('failed')])),
    step: Type.Optional(Type.Integer({ minimum: 1, description: 'With mode from: the first step to run again, counted from 1' })),
    task: Type.Optional(Type.String({ description: 'With mode task: the id of the one task to run again' })),
    workflow: Type.Optional(Type.Unknown({ description: 'An edited workflow in place of the run’s own' })),
  },
  { additionalProperties: false },
);
const retryBody = Compile(RetryBody);

function readRetry(body: Static<typeof RetryBody>, runId: string): { selection: Selection; workflow?: string } {
  const edited = body.workflow === undefined ? {} : { workflow: JSON.stringify(body.workflow) };
  switch (body.mode ?? 'run') {
    case 'run':
      return { selection: { mode: 'run' }, ...edited };
    case 'failed':
      return { selection: { mode: 'failed' }, ...edited };
    case 'from':
      if (body.step === undefined)
        throw new Failure('request_invalid', 'step: found nothing, expected the first step to run again, counted from 1.');
      return { selection: { mode: 'from', step: body.step - 1 }, ...edited };
    case 'task': {
      const task = parseTaskId(body.task ?? '');
      if (task === undefined || task.runId !== runId)
        throw new Failure('request_invalid', `task: found ${JSON.stringify(body.task)}, expected the id of a task of run ${runId}.`);
      return { selection: { mode: 'task', step: task.step, index: task.index }, ...edited };
    }
  }
}

function summaryOf({ steps: _steps, history: _history, ...summary }: RunView): RunSummary {
  return summary;
}

function number(c: Context, name: string, fallback: number, min: number, max: number): number {
  const text = c.req.query(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new Failure('request_invalid', `${name}: found ${JSON.stringify(text)}, expected a whole number from ${min} to ${max}.`);
  }
  return value;
}

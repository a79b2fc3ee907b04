// `/v1/runs`: list, show, follow, cancel and retry the runs of one resource.
import type { Context } from 'hono';
import Type, { type Static } from 'typebox';
import type { Selection } from '../queues/replay.ts';
import type { RunQuery } from '../queues/run-list.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { parseTaskId } from '../schema/ids.ts';
import { HistoryEntry, Problem, RunFilterState, RunPage, RunState, type RunSummary, RunView } from '../schema/run-view.ts';
import { EXAMPLE_ENDED, EXAMPLE_RUN, EXAMPLE_TASK } from './api-examples.ts';
import { type ApiRoute, apiRoute, notFound } from './api-route.ts';
import type { PrincipalEnv } from './principal.ts';
import { type StreamDeps, streamRun } from './run-stream.ts';

/** Runs of one page of the list. */
const DEFAULT_LIMIT = 25;
const MAX_LIMIT = 200;
/** Runs of one bulk call. */
const MAX_BULK = 100;
/** Entries of a history that one answer has; a run of 200 tasks with 20 retries each has more. */
const MAX_ENTRIES = 10_000;

export interface RunsDeps extends StreamDeps {
  readonly show: (runId: string) => Promise<RunView | undefined>;
  readonly list: (query: RunQuery) => Promise<RunPage>;
  readonly document: (runId: string) => Promise<string | undefined>;
  /** All ids that the run of an object version may have: their number of shards changes over time. */
  readonly runIdsOf: (event: { bucket: string; key: string; versionId: string }) => readonly string[];
  /** Runs an ended run again and answers with the new run's id. */
  readonly retry: (order: { runId: string; selection: Selection; workflow?: string; nonce: string }) => Promise<string>;
  /** A new nonce. */
  readonly id: () => string;
  readonly cancel: (runId: string, by: string) => Promise<string>;
}

const ListQuery = Type.Object({
  state: Type.Optional(Type.Array(RunFilterState, { description: 'Runs in any of these states, by commas or repeated', maxItems: 7 })),
  title: Type.Optional(Type.String({ description: 'Title of the workflow, all of it' })),
  prefix: Type.Optional(Type.String({ description: 'How the key of the file that started the run begins' })),
  since: Type.Optional(Type.String({ description: 'Accepted then or later, ISO 8601' })),
  until: Type.Optional(Type.String({ description: 'Accepted before, ISO 8601' })),
  q: Type.Optional(Type.String({ description: 'Text in id, title, key or error; ASCII letters in any case', maxLength: 200 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT })),
  cursor: Type.Optional(Type.String({ description: '`next` of the page before' })),
  bucket: Type.Optional(Type.String({ description: 'With key and version_id: the run that this object version started, if any' })),
  key: Type.Optional(Type.String()),
  version_id: Type.Optional(Type.String()),
});

const Mode = Type.Union([Type.Literal('run'), Type.Literal('from'), Type.Literal('task'), Type.Literal('failed')], {
  default: 'run',
  description: 'What runs again: all of it, the steps from one on, one task, or what did not succeed',
});

const RetryBody = Type.Object(
  {
    mode: Type.Optional(Mode),
    step: Type.Optional(Type.Integer({ minimum: 1, description: 'With mode from: the first step to run again, counted from 1' })),
    task: Type.Optional(Type.String({ description: 'With mode task: the id of the one task to run again' })),
    workflow: Type.Optional(Type.Unknown({ description: 'An edited workflow in place of the run’s own' })),
  },
  { additionalProperties: false },
);

const BulkBody = Type.Object(
  {
    action: Type.Union([Type.Literal('retry'), Type.Literal('cancel')]),
    ids: Type.Array(Type.String(), { minItems: 1, maxItems: MAX_BULK, description: 'Ids of runs' }),
    mode: Type.Optional(
      Type.Union([Type.Literal('run'), Type.Literal('failed')], {
        default: 'run',
        description: 'With retry: the whole run, or what did not succeed',
      }),
    ),
  },
  { additionalProperties: false },
);

const Cancelled = Type.Object({
  id: Type.String(),
  state: Type.Union([...RunState.anyOf, Type.Literal('cancelling')], {
    description: 'cancelling: its dynos are being stopped; a final state: it has ended',
  }),
});

const BulkResult = Type.Object({
  results: Type.Array(
    Type.Object({
      id: Type.String(),
      ok: Type.Boolean(),
      state: Type.Optional(Type.String({ description: 'With cancel: as in the answer to one cancel' })),
      run: Type.Optional(Type.String({ description: 'With retry: the id of the new run' })),
      error: Type.Optional(Problem),
    }),
    { description: 'One per id, in their order' },
  ),
});

const id = { id: 'Id of a run' };

export function runsRoutes(deps: RunsDeps): readonly ApiRoute[] {
  /** Another resource's run answers like one that never was. */
  const own = async (runId: string, resource: string): Promise<void> => {
    if ((await deps.head(runId))?.resource !== resource) throw notFound(`run ${runId}`);
  };

  const cancel = async (runId: string, c: Context<PrincipalEnv>): Promise<Static<typeof Cancelled>> => {
    await own(runId, c.var.principal.resource);
    // the script answers with these words alone
    return { id: runId, state: (await deps.cancel(runId, c.var.principal.name)) as Static<typeof Cancelled>['state'] };
  };

  return [
    apiRoute(
      {
        method: 'get',
        path: '/runs',
        id: 'listRuns',
        tag: 'Runs',
        summary: 'List runs, newest first',
        query: ListQuery,
        reply: RunPage,
        examples: [
          { summary: 'The newest runs' },
          { summary: 'What failed, of one folder', query: { state: 'failed', prefix: 'in/photos/', limit: '50' } },
          { summary: 'Runs whose error names a text', query: { q: 'exited', since: '2026-11-01T00:00:00Z' } },
        ],
      },
      async ({ query, resource }) => {
        const { bucket, key, version_id: versionId } = query;
        if (bucket !== undefined || versionId !== undefined) {
          if (bucket === undefined || key === undefined || versionId === undefined)
            throw new Failure(
              'request_invalid',
              'Found one or two of bucket, key and version_id, expected all three: they name one object version.',
            );
          const found = await Promise.all(deps.runIdsOf({ bucket, key, versionId }).map(deps.show));
          const run = found.find((one) => one !== undefined && one.resource === resource);
          return { runs: run === undefined ? [] : [summaryOf(run)], next: null };
        }
        return await deps.list({
          resource,
          limit: query.limit ?? DEFAULT_LIMIT,
          ...(query.cursor === undefined ? {} : { cursor: query.cursor }),
          ...(query.state === undefined ? {} : { states: query.state }),
          ...(query.title === undefined ? {} : { title: query.title }),
          ...(query.prefix === undefined ? {} : { prefix: query.prefix }),
          ...(query.since === undefined ? {} : { since: timeOf('since', query.since) }),
          ...(query.until === undefined ? {} : { until: timeOf('until', query.until) }),
          ...(query.q === undefined ? {} : { text: query.q }),
        });
      },
    ),

    apiRoute(
      {
        method: 'get',
        path: '/runs/{id}',
        id: 'showRun',
        tag: 'Runs',
        summary: 'Show a run with its steps, tasks and history',
        params: id,
        reply: RunView,
        failures: ['not_found'],
        examples: [{ summary: 'A run', path: { id: EXAMPLE_RUN } }],
      },
      async ({ param, resource }) => {
        const run = await deps.show(param('id'));
        if (run === undefined || run.resource !== resource) throw notFound(`run ${param('id')}`);
        return run;
      },
    ),

    apiRoute(
      {
        method: 'get',
        path: '/runs/{id}/history',
        id: 'showHistory',
        tag: 'Runs',
        summary: 'List what happened in a run, oldest first',
        params: id,
        query: Type.Object({ after: Type.Optional(Type.Integer({ minimum: 0, description: 'Only entries with a greater `n`' })) }),
        reply: Type.Array(HistoryEntry),
        failures: ['not_found'],
        examples: [{ summary: 'All but the first entry', path: { id: EXAMPLE_RUN }, query: { after: '1' } }],
      },
      async ({ param, query, resource }) => {
        await own(param('id'), resource);
        return [...(await deps.history(param('id'), query.after ?? 0, MAX_ENTRIES))];
      },
    ),

    apiRoute(
      {
        method: 'get',
        path: '/runs/{id}/workflow',
        id: 'showWorkflow',
        tag: 'Runs',
        summary: 'Show the workflow that a run runs, as it was written',
        params: id,
        reply: Type.Object({}, { description: 'A workflow; its schema is /schema/workflow.json' }),
        failures: ['not_found'],
        examples: [{ summary: 'The workflow of a run', path: { id: EXAMPLE_RUN } }],
      },
      async ({ param, resource }) => {
        await own(param('id'), resource);
        const text = await deps.document(param('id'));
        if (text === undefined) throw notFound(`workflow of run ${param('id')}: it was rejected before it had a valid one`);
        return JSON.parse(text) as object;
      },
    ),

    apiRoute(
      {
        method: 'get',
        path: '/runs/{id}/events',
        id: 'followRun',
        tag: 'Runs',
        summary: 'Follow a run as server-sent events',
        description:
          'Every entry of the history is an event with its `n` as id and its `what` as name; `end` comes last, when the run has ended. A client that was cut off goes on where it was with Last-Event-ID, as EventSource does by itself.',
        params: id,
        query: Type.Object({
          after: Type.Optional(Type.Integer({ minimum: 0, description: 'Like Last-Event-ID, for clients that cannot send it' })),
        }),
        media: 'text/event-stream',
        failures: ['not_found'],
        examples: [{ summary: 'A run that has ended', path: { id: EXAMPLE_ENDED } }],
      },
      async ({ c, param, query, resource }) => {
        await own(param('id'), resource);
        return streamRun(c, deps, param('id'), query.after ?? 0);
      },
    ),

    apiRoute(
      {
        method: 'post',
        path: '/runs/{id}/cancel',
        id: 'cancelRun',
        tag: 'Runs',
        summary: 'Cancel a run: its dynos are stopped, what has not begun is skipped',
        params: id,
        reply: Cancelled,
        failures: ['not_found'],
        examples: [{ summary: 'Cancel', path: { id: EXAMPLE_RUN } }],
      },
      async ({ c, param }) => await cancel(param('id'), c),
    ),

    apiRoute(
      {
        method: 'post',
        path: '/runs/{id}/retry',
        id: 'retryRun',
        tag: 'Runs',
        summary: 'Run an ended run again, whole or in part, as a new run',
        description:
          'What is not selected counts as done in the new run, with the outputs it had. Send an Idempotency-Key: a call with the same key names the same new run.',
        params: id,
        body: RetryBody,
        status: 202,
        reply: Type.Object({ id: Type.String({ description: 'Id of the new run' }) }),
        failures: ['not_found', 'conflict', 'workflow_invalid'],
        examples: [
          { summary: 'The whole run', path: { id: EXAMPLE_ENDED }, body: { mode: 'run' } },
          { summary: 'From the second step on', path: { id: EXAMPLE_ENDED }, body: { mode: 'from', step: 2 } },
          { summary: 'One task', path: { id: EXAMPLE_ENDED }, body: { mode: 'task', task: EXAMPLE_TASK } },
          { summary: 'What did not succeed', path: { id: EXAMPLE_ENDED }, body: { mode: 'failed' } },
          {
            summary: 'With an edited workflow',
            path: { id: EXAMPLE_ENDED },
            body: { mode: 'run', workflow: { title: 'Edited', run: [{ cmd: 'resize' }] } },
          },
        ],
      },
      async ({ c, param, body, resource }) => {
        await own(param('id'), resource);
        const nonce = c.req.header('idempotency-key') ?? deps.id();
        return { id: await deps.retry({ runId: param('id'), nonce, ...orderOf(body, param('id')) }) };
      },
    ),

    apiRoute(
      {
        method: 'post',
        path: '/runs/bulk',
        id: 'bulkRuns',
        tag: 'Runs',
        summary: 'Cancel or retry many runs, with a result for each',
        body: BulkBody,
        reply: BulkResult,
        examples: [
          { summary: 'Cancel two runs', body: { action: 'cancel', ids: [EXAMPLE_RUN, EXAMPLE_ENDED] } },
          { summary: 'Retry what did not succeed', body: { action: 'retry', mode: 'failed', ids: [EXAMPLE_ENDED] } },
        ],
      },
      async ({ c, body, resource }) => {
        const nonce = c.req.header('idempotency-key') ?? deps.id();
        const results: Static<typeof BulkResult>['results'] = [];
        for (const runId of new Set(body.ids)) {
          try {
            if (body.action === 'cancel') results.push({ ok: true, ...(await cancel(runId, c)) });
            else {
              await own(runId, resource);
              const run = await deps.retry({ runId, selection: { mode: body.mode ?? 'run' }, nonce });
              results.push({ id: runId, ok: true, run });
            }
          } catch (error) {
            // one refusal must not hide what came of the others
            if (!(error instanceof Failure)) throw error;
            results.push({ id: runId, ok: false, error: { code: error.code, message: messageOf(error) } });
          }
        }
        return { results };
      },
    ),
  ];
}

function orderOf(body: Static<typeof RetryBody>, runId: string): { selection: Selection; workflow?: string } {
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

/** Milliseconds since 1970. */
function timeOf(name: string, text: string): number {
  const ms = Date.parse(text);
  if (!Number.isNaN(ms)) return ms;
  throw new Failure(
    'request_invalid',
    `${name}: found ${JSON.stringify(text.slice(0, 60))}, expected a time such as 2026-11-22T10:00:00Z.`,
  );
}

// `/v1/runs`: list, show and follow the runs of one resource.
import Type from 'typebox';
import type { RunQuery } from '../queues/run-list.ts';
import { Failure } from '../schema/failures.ts';
import { HistoryEntry, RunFilterState, RunPage, type RunSummary, RunView } from '../schema/run-view.ts';
import { EXAMPLE_ENDED, EXAMPLE_RUN } from './api-examples.ts';
import { type ApiRoute, apiRoute, notFound } from './api-route.ts';
import { ownerCheck } from './run-owner.ts';
import { type StreamDeps, streamRun } from './run-stream.ts';

/** Runs of one page of the list. */
const DEFAULT_LIMIT = 25;
const MAX_LIMIT = 200;
/** Entries of a history that one answer has; a run of 200 tasks with 20 retries each has more. */
const MAX_ENTRIES = 10_000;

export interface RunsDeps extends StreamDeps {
  readonly show: (runId: string) => Promise<RunView | undefined>;
  readonly list: (query: RunQuery) => Promise<RunPage>;
  readonly document: (runId: string) => Promise<string | undefined>;
  /** All ids that the run of an object version may have: their number of shards changes over time. */
  readonly runIdsOf: (event: { bucket: string; key: string; versionId: string }) => readonly string[];
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

const id = { id: 'Id of a run' };

export function runsRoutes(deps: RunsDeps): readonly ApiRoute[] {
  const own = ownerCheck(deps);
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
        return streamRun(c, c.var.caller, deps, param('id'), query.after ?? 0);
      },
    ),
  ];
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

// `/v1/runs`: cancel and retry runs of one resource, one by one and many at once.
import type { Context } from 'hono';
import Type, { type Static } from 'typebox';
import type { ReplayOrder, Selection } from '../queues/replay.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { parseTaskId } from '../schema/ids.ts';
import { Problem, RunState } from '../schema/run-view.ts';
import { workflowText } from '../schema/workflow-text.ts';
import { EXAMPLE_ENDED, EXAMPLE_RUN, EXAMPLE_TASK } from './api-examples.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';
import type { PrincipalEnv } from './principal.ts';
import { ownerCheck } from './run-owner.ts';
import type { StreamDeps } from './run-stream.ts';

/** Runs of one bulk call. */
const MAX_BULK = 100;
/** Characters of an Idempotency-Key; a UUID has 36. */
const MAX_KEY = 255;

export interface RunActionsDeps extends Pick<StreamDeps, 'head'> {
  /** Runs an ended run again and answers with the new run's id. */
  readonly retry: (order: Omit<ReplayOrder, 'cap'>) => Promise<string>;
  /** A new nonce. */
  readonly id: () => string;
  readonly cancel: (runId: string, by: string) => Promise<string>;
}

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

export function runActionsRoutes(deps: RunActionsDeps): readonly ApiRoute[] {
  const own = ownerCheck(deps);
  /** What names the new run: the caller's own word, by which the order may be given again, or one of ours. */
  const nonceOf = (c: Context<PrincipalEnv>): Pick<ReplayOrder, 'nonce' | 'repeatable'> => {
    const key = c.req.header('idempotency-key');
    if (key === undefined) return { nonce: deps.id() };
    if (key === '' || key.length > MAX_KEY)
      throw new Failure('request_invalid', `Idempotency-Key: found ${key.length} characters, expected 1 to ${MAX_KEY}.`);
    return { nonce: key, repeatable: true };
  };

  const cancel = async (runId: string, c: Context<PrincipalEnv>): Promise<Static<typeof Cancelled>> => {
    await own(runId, c.var.principal.resource);
    // the script answers with these words alone
    return { id: runId, state: (await deps.cancel(runId, c.var.principal.name)) as Static<typeof Cancelled>['state'] };
  };

  return [
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
          'What is not selected counts as done in the new run, with the outputs it had. Send an Idempotency-Key: a call with the same key names the same new run, and is refused (conflict) where it orders something else. So is an edited workflow in which a task that is kept as succeeded has another command.',
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
        return { id: await deps.retry({ runId: param('id'), ...nonceOf(c), ...orderOf(body, param('id')) }) };
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
        const nonce = nonceOf(c);
        const results: Static<typeof BulkResult>['results'] = [];
        for (const runId of new Set(body.ids)) {
          try {
            if (body.action === 'cancel') results.push({ ok: true, ...(await cancel(runId, c)) });
            else {
              await own(runId, resource);
              const run = await deps.retry({ runId, selection: { mode: body.mode ?? 'run' }, ...nonce });
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

/** Which modes take what else of the body: what is not looked at must not be what the caller meant. */
const WITH_MODE = { step: 'from', task: 'task' } as const;

function orderOf(body: Static<typeof RetryBody>, runId: string): { selection: Selection; workflow?: string } {
  const mode = body.mode ?? 'run';
  for (const name of ['step', 'task'] as const) {
    if (body[name] !== undefined && mode !== WITH_MODE[name])
      throw new Failure(
        'request_invalid',
        `${name}: found mode ${body.mode ?? 'left out'}, expected ${WITH_MODE[name]} with it. Set mode to ${WITH_MODE[name]}, or leave ${name} out.`,
      );
  }
  const edited = body.workflow === undefined ? {} : { workflow: workflowText(body.workflow) };
  switch (mode) {
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

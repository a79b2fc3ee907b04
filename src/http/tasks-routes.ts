// `/v1/tasks/{id}`: one task of a run, and the log of its dyno.
import Type from 'typebox';
import type { DynoPlatform } from '../clients/ports.ts';
import type { Resource } from '../queues/resources.ts';
import { TaskDetails, TaskLog } from '../schema/api-views.ts';
import { parseTaskId } from '../schema/ids.ts';
import type { RunView } from '../schema/run-view.ts';
import { EXAMPLE_TASK } from './api-examples.ts';
import { type ApiRoute, apiRoute, notFound } from './api-route.ts';

/** Lines of a log; Heroku keeps 1,500 of an app (heroku.md §2.5). */
const DEFAULT_LINES = 200;
const MAX_LINES = 1_500;

export interface TasksDeps {
  readonly show: (runId: string) => Promise<RunView | undefined>;
  readonly resource: (id: string) => Promise<Resource | undefined>;
  readonly log: DynoPlatform['log'];
}

export function tasksRoutes(deps: { tasks: TasksDeps }): readonly ApiRoute[] {
  const { show, resource: resourceOf, log } = deps.tasks;
  const own = async (id: string, resource: string) => {
    const ref = parseTaskId(id);
    const run = ref === undefined ? undefined : await show(ref.runId);
    const task = ref === undefined ? undefined : run?.steps[ref.step]?.tasks[ref.index];
    if (ref === undefined || run === undefined || task === undefined || run.resource !== resource) throw notFound(`task ${id}`);
    return { task, step: ref.step + 1, run, history: run.history.filter((entry) => entry.task === id) };
  };
  const params = { id: 'Id of a task: `ld_task_id`' };

  return [
    apiRoute(
      {
        method: 'get',
        path: '/tasks/{id}',
        id: 'showTask',
        tag: 'Tasks',
        summary: 'Show a task with what happened to it',
        params,
        reply: TaskDetails,
        failures: ['not_found'],
        examples: [{ summary: 'A task', path: { id: EXAMPLE_TASK } }],
      },
      async ({ param, resource }) => {
        const { run, ...details } = await own(param('id'), resource);
        return { ...details, run: { id: run.id, title: run.title, state: run.state } };
      },
    ),
    apiRoute(
      {
        method: 'get',
        path: '/tasks/{id}/log',
        id: 'showTaskLog',
        tag: 'Tasks',
        summary: "Show the last lines of the log of a task's dyno",
        description:
          'Heroku keeps the last 1,500 lines of an app, of all its dynos. Where the platform does not let us read them the answer says so; `command` follows the log in any case.',
        params,
        query: Type.Object({
          attempt: Type.Optional(Type.Integer({ minimum: 1, description: 'Counted from 1; without it the last one that was launched' })),
          lines: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LINES, default: DEFAULT_LINES })),
        }),
        reply: TaskLog,
        failures: ['not_found', 'heroku_unavailable', 'heroku_refused'],
        examples: [{ summary: 'The last hundred lines', path: { id: EXAMPLE_TASK }, query: { lines: '100' } }],
      },
      async ({ param, query, resource }) => {
        const { task, history } = await own(param('id'), resource);
        const launches = history.filter(({ what }) => what === 'launched' || what === 'adopted');
        const launch = query.attempt === undefined ? launches.at(-1) : launches.find(({ attempt }) => attempt === query.attempt);
        const app = (await resourceOf(resource))?.app ?? '';
        const dyno = launch?.detail ?? null;
        return {
          dyno,
          attempt: launch?.attempt ?? query.attempt ?? task.attempt,
          lines: dyno === null ? [] : [...(await log(app, dyno, query.lines ?? DEFAULT_LINES))],
          command: `heroku logs --tail --app ${app}${dyno === null ? '' : ` --dyno ${dyno}`}`,
        };
      },
    ),
  ];
}

// What API, dashboard and CLI show of a run.
import Type, { type Static } from 'typebox';

export const RunState = Type.Union([
  Type.Literal('accepted'),
  Type.Literal('running'),
  Type.Literal('succeeded'),
  Type.Literal('failed'),
  Type.Literal('cancelled'),
  Type.Literal('rejected'),
]);
export type RunState = Static<typeof RunState>;

/** What lists are filtered by: a state, or `retrying` (running, and a task waits for its next attempt). */
export const RunFilterState = Type.Union([...RunState.anyOf, Type.Literal('retrying')]);
export type RunFilterState = Static<typeof RunFilterState>;

/** Whether a run in this state changes no more. */
export function isFinal(state: RunState): boolean {
  return !OPEN_STATES.some((open) => open === state);
}

/** The states of a run that has not ended, in the order in which it passes them: who reads their lists in this order misses none. */
export const OPEN_STATES = ['accepted', 'running'] as const satisfies readonly RunState[];

export const TaskState = Type.Union([
  /** Its step's turn has not come. */
  Type.Literal('waiting'),
  /** The launch is on its way to the platform. */
  Type.Literal('launching'),
  /** Launched; its output is awaited. */
  Type.Literal('running'),
  /** Succeeded; its `wait_for` passes. */
  Type.Literal('cooling'),
  /** The last attempt failed; the next one waits for its backoff. */
  Type.Literal('retrying'),
  Type.Literal('succeeded'),
  Type.Literal('failed'),
  Type.Literal('skipped'),
]);
export type TaskState = Static<typeof TaskState>;

const Time = Type.String({ description: 'ISO 8601, UTC' });
const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const Problem = Type.Object({ code: Type.String(), message: Type.String() });
export type Problem = Static<typeof Problem>;

const Output = Type.Object({
  key: Type.String(),
  version_id: Type.String(),
  etag: Type.String(),
  size: Type.Number({ description: 'Bytes' }),
  state: orNull(Type.String({ description: 'The text of ld_state' })),
  at: Time,
});

const Waiting = Type.Object({
  why: Type.Union([Type.Literal('paused'), Type.Literal('concurrency'), Type.Literal('budget')]),
  seconds: orNull(Type.Number({ description: 'Until it starts, about; null where no rate tells' })),
  message: Type.String(),
});

export const TaskView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  cmd: Type.String(),
  machine: Type.String(),
  state: TaskState,
  attempt: Type.Number({ description: 'Counts from 1' }),
  /** Why a task whose turn has come is not launched yet. */
  waiting: orNull(Waiting),
  dyno: orNull(Type.String()),
  deadline: orNull(Time),
  error: orNull(Problem),
  output: orNull(Output),
});
export type TaskView = Static<typeof TaskView>;

export const StepView = Type.Object({ name: Type.String(), group: Type.Boolean(), tasks: Type.Array(TaskView) });
export type StepView = Static<typeof StepView>;

export const HistoryEntry = Type.Object({
  n: Type.Number({ description: 'Counts from 1' }),
  at: Time,
  what: Type.String(),
  task: orNull(Type.String({ description: 'Task id' })),
  attempt: orNull(Type.Number()),
  detail: Type.String(),
});
export type HistoryEntry = Static<typeof HistoryEntry>;

const summary = {
  id: Type.String(),
  title: Type.String(),
  state: RunState,
  resource: Type.String(),
  trigger: Type.Object({ bucket: Type.String(), key: Type.String(), version_id: Type.String(), etag: Type.String(), size: Type.Number() }),
  /** When the trigger was saved, by the clock of S3; null where the event did not tell, and in a run that runs another again. */
  saved_at: orNull(Time),
  created_at: Time,
  ended_at: orNull(Time),
  error: orNull(Problem),
  /** The run that this one runs again, and which of its tasks. */
  again: orNull(
    Type.Object({
      of: Type.String(),
      how: Type.Union([Type.Literal('run'), Type.Literal('from'), Type.Literal('task'), Type.Literal('failed')]),
    }),
  ),
  tasks: Type.Number({ description: 'Tasks of the workflow' }),
  settled: Type.Number({ description: 'Tasks that have ended' }),
  retrying: Type.Number({ description: 'Tasks whose last attempt failed and whose next one waits for its backoff' }),
};

export const RunSummary = Type.Object(summary);
export type RunSummary = Static<typeof RunSummary>;

/** A page of a list. */
export const RunPage = Type.Object({
  runs: Type.Array(RunSummary),
  next: orNull(
    Type.String({
      description:
        'Cursor of the next page; null when this is the last one. A page may be short or empty with a next one: filters that fit seldom are worked off in stretches',
    }),
  ),
});
export type RunPage = Static<typeof RunPage>;

export const RunView = Type.Object({ ...summary, steps: Type.Array(StepView), history: Type.Array(HistoryEntry) });
export type RunView = Static<typeof RunView>;

// What a workflow is: the three tables of the add-on's documentation, their defaults and our bounds (DESIGN §4).
import Type, { type Static } from 'typebox';

/** Bytes of UTF-8 that a workflow document may have. */
export const MAX_DOCUMENT_BYTES = 65_536;
/** Nesting of arrays and objects that a workflow document may have. */
export const MAX_DEPTH = 16;
/** Entries of `run`. */
export const MAX_STEPS = 100;
/** Tasks of a workflow, those in groups included. */
export const MAX_TASKS = 200;
/** Seconds: the longest `timeout`; a rotated credential stays valid for longer than that (reliability.md §A.4). */
export const MAX_TIMEOUT_S = 14_400;
/** Seconds, 30 days: the longest `timeout` of a whole run. */
const MAX_RUN_TIMEOUT_S = 2_592_000;
/** Seconds: the longest `wait_for` and the longest delay between two attempts. */
export const MAX_WAIT_S = 86_400;

export const Backoff = Type.Object(
  {
    type: Type.Union([Type.Literal('fixed'), Type.Literal('exponential')], {
      description: 'How the delay grows: not at all, or doubled each time',
    }),
    delay: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: MAX_WAIT_S,
        default: 1,
        description: 'Seconds before the first retry (default 1, or max when that is less)',
      }),
    ),
    max: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: MAX_WAIT_S,
        default: 60,
        description: 'Longest delay in seconds (default 60, or delay when that is more)',
      }),
    ),
  },
  { additionalProperties: false, description: 'Delay between two attempts of a task (extension)' },
);
export type Backoff = Static<typeof Backoff>;

export const Task = Type.Object(
  {
    name: Type.Optional(Type.String({ maxLength: 200, description: 'The display name of the task' })),
    cmd: Type.String({
      minLength: 1,
      maxLength: 8192,
      // Not only blanks.
      pattern: '\\S',
      description: 'Heroku process to run: a process type of the Procfile or any command',
    }),
    machine: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$',
        default: 'basic',
        description: 'Heroku dyno size (default basic); the platform decides whether it has it',
      }),
    ),
    timeout: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_TIMEOUT_S,
        default: 60,
        description: 'Seconds to wait for output, from the accepted launch on (default 60)',
      }),
    ),
    options: Type.Optional(
      Type.Array(Type.String({ maxLength: 32_768, pattern: '^[A-Za-z_][A-Za-z0-9_]*=[^\\u0000]*$' }), {
        maxItems: 100,
        description: 'Option name, value pairs, `name=value`, that the dyno gets as environment variables',
      }),
    ),
    no_output: Type.Optional(
      Type.Boolean({ default: false, description: 'Skip waiting for an output file: a dyno that starts up is a success (default false)' }),
    ),
    wait_for: Type.Optional(
      Type.Integer({ minimum: 0, maximum: MAX_WAIT_S, default: 0, description: 'Seconds to wait after the task completed (default 0)' }),
    ),
    retries: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 20,
        description: 'Further attempts after a failed one (extension; default 2, and 0 with no_output)',
      }),
    ),
    backoff: Type.Optional(Backoff),
  },
  { additionalProperties: false, description: 'One process that runs in a dyno of its own' },
);
export type Task = Static<typeof Task>;

export const TaskGroup = Type.Object(
  {
    name: Type.Optional(Type.String({ maxLength: 200, description: 'The display name of the task group' })),
    parallel: Type.Array(Task, { minItems: 1, maxItems: MAX_TASKS, description: 'Tasks to run in parallel' }),
  },
  { additionalProperties: false, description: 'Tasks that run in parallel; the group ends when all of them have' },
);
export type TaskGroup = Static<typeof TaskGroup>;

export const Workflow = Type.Object(
  {
    $schema: Type.Optional(Type.String({ maxLength: 2048, description: 'Address of this schema, for editors; it changes nothing' })),
    title: Type.Optional(Type.String({ maxLength: 200, description: 'Title of the workflow, for documentation and display' })),
    timeout: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_RUN_TIMEOUT_S,
        description:
          'Seconds that the whole run may take, from the upload on; then its dynos are stopped and it has failed (extension; default: no limit)',
      }),
    ),
    run: Type.Array(Type.Union([Task, TaskGroup]), {
      minItems: 1,
      maxItems: MAX_STEPS,
      description: 'The sequence of tasks and task groups to run',
    }),
  },
  { additionalProperties: false, title: 'Autofiles workflow', description: 'What runs when the file that carries it is saved' },
);
export type Workflow = Static<typeof Workflow>;

/** A task with its defaults filled in; seconds as in the document. */
export interface TaskPlan {
  readonly name: string;
  readonly cmd: string;
  readonly machine: string;
  readonly timeout: number;
  readonly options: Readonly<Record<string, string>>;
  readonly no_output: boolean;
  readonly wait_for: number;
  readonly retries: number;
  readonly backoff: { readonly type: 'fixed' | 'exponential'; readonly delay: number; readonly max: number };
}

/** One entry of `run`, a single task being a group of one. */
export interface StepPlan {
  readonly name: string;
  /** Whether the document wrote it as a task group. */
  readonly group: boolean;
  readonly tasks: readonly TaskPlan[];
}

/** A workflow with its defaults filled in. */
export interface WorkflowPlan {
  readonly title: string;
  /** Seconds that the whole run may take; 0 for no limit. */
  readonly timeout: number;
  readonly steps: readonly StepPlan[];
}

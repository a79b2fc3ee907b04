// What the REST API answers beside runs (run-view.ts), tokens and the ledger.
import Type, { type Static } from 'typebox';
import { SetAside } from './ledger-view.ts';
import { HistoryEntry, RunState, RunSummary, TaskView } from './run-view.ts';

const Time = Type.String({ description: 'ISO 8601, UTC' });
const Count = Type.Number();

/** A task with the run that it belongs to. */
export const TaskDetails = Type.Object({
  task: TaskView,
  step: Type.Number({ description: 'Position of its step, counted from 1' }),
  run: Type.Object({ id: Type.String(), title: Type.String(), state: RunState }),
  history: Type.Array(HistoryEntry, { description: 'What happened to this task, oldest first' }),
});

export const TaskLog = Type.Object({
  dyno: Type.Union([Type.String(), Type.Null()], { description: 'Name of the dyno; null when none was started' }),
  attempt: Type.Number(),
  lines: Type.Array(Type.String(), { description: 'Lines as Heroku writes them, oldest first; ANSI colours are kept' }),
  command: Type.String({ description: 'The command that follows the log in a terminal' }),
});

const Made = Type.Object({
  run: Type.String(),
  task: Type.String({ description: 'Id of the task that made it' }),
  key: Type.String(),
  version_id: Type.String(),
  state: Type.Union([Type.String(), Type.Null()], { description: 'The text of ld_state' }),
  at: Time,
});

/** What became of a file. */
export const FileHistory = Type.Object({
  key: Type.String(),
  started: Type.Array(RunSummary, { description: 'Runs that this file started, newest first, at most 100' }),
  led_to: Type.Array(Made, { description: 'Outputs of these runs' }),
  made_by: Type.Array(Made, { description: 'Tasks that this file is an output of, newest first' }),
  set_aside: Type.Array(SetAside, { description: 'What of it was set aside, newest first, at most 20' }),
});
export type FileHistory = Static<typeof FileHistory>;

export const FileList = Type.Object({
  files: Type.Array(
    Type.Object({ key: Type.String(), size: Type.Number({ description: 'Bytes' }), etag: Type.String(), modified_at: Time }),
  ),
  folders: Type.Array(Type.String(), { description: 'Prefixes that end with /' }),
  next: Type.Union([Type.String(), Type.Null()], { description: 'Cursor of the next page' }),
});

const Fault = Type.Object({
  pointer: Type.String({ description: 'JSON pointer of what is wrong' }),
  line: Count,
  column: Count,
  found: Type.String(),
  expected: Type.String(),
  hint: Type.Optional(Type.String()),
  message: Type.String({ description: 'All of it in one sentence' }),
});

export const Validation = Type.Object({
  valid: Type.Boolean(),
  steps: Count,
  tasks: Count,
  faults: Type.Array(Fault, { description: 'At most 20, by place' }),
});

export const ResourceView = Type.Object({
  id: Type.String(),
  app: Type.String(),
  bucket: Type.String(),
  region: Type.String(),
  commands: Type.Union([Type.Literal('any'), Type.Literal('procfile')]),
  permission: Type.Union([Type.Literal('partner'), Type.Literal('customer'), Type.Literal('static'), Type.Literal('none')], {
    description:
      'Whose leave dynos are started by: Heroku’s grant to the add-on, the owner’s consent, the service’s own token, or nobody’s',
  }),
  paused: Type.Boolean({ description: 'Whether launches are held back' }),
  plan: Type.Object({
    slug: Type.String(),
    name: Type.String(),
    limits: Type.Object({
      concurrency: Count,
      runs_per_day: Count,
      retention_days: Count,
      max_timeout_s: Count,
      storage_bytes: Count,
    }),
  }),
  usage: Type.Object({
    running: Type.Number({ description: 'Runs that have not ended' }),
    retrying: Type.Number({ description: 'Runs with a task that waits for its next attempt' }),
    failed_24h: Type.Number({ description: 'Runs accepted within 24 hours that failed' }),
    runs_24h: Type.Number({ description: 'Runs accepted within 24 hours' }),
    dynos: Type.Number({ description: 'Dynos that tasks wait for' }),
  }),
  budget: Type.Object({
    per_hour: Type.Number({ description: 'Calls of the Platform API in an hour' }),
    tokens: Type.Number({ description: 'Calls that may be made now' }),
  }),
  credentials: Type.Union([
    Type.Object({ issued_at: Time, expires_at: Time, age_s: Type.Number({ description: 'Seconds' }) }),
    Type.Null(),
  ]),
});
export type ResourceView = Static<typeof ResourceView>;

export const ResourceSettings = Type.Object(
  {
    paused: Type.Optional(Type.Boolean({ description: 'Hold all launches back, or let them go on' })),
    commands: Type.Optional(
      Type.Union([Type.Literal('any'), Type.Literal('procfile')], {
        description: 'Whether tasks may run any command, or process types of the Procfile alone; takes effect within five seconds',
      }),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
);
export type ResourceSettings = Static<typeof ResourceSettings>;

export const UploadForm = Type.Object({
  url: Type.String({ description: 'Where the form is sent' }),
  fields: Type.Record(Type.String(), Type.String(), { description: 'Fields to send before the file, unchanged' }),
  key: Type.String(),
  expires_in: Type.Number({ description: 'Seconds' }),
});

/** The bucket's credentials as the AWS container-credentials protocol has them. */
export const ContainerCredentials = Type.Object({
  AccessKeyId: Type.String(),
  SecretAccessKey: Type.String(),
  Token: Type.String(),
  Expiration: Type.String({ description: 'ISO 8601: when to ask again at the latest' }),
});

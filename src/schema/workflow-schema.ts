// The tables of a workflow as a JSON Schema document, for editors, CI and other languages.
import { Task, TaskGroup, Workflow } from './workflow.ts';

/** Names the schema without saying where it lies: it is served by every installation and shipped with the docs. */
const ID = 'urn:line-d:autofiles:workflow';

/** Workflows of the add-on's documentation; the second one with its placeholders filled in. */
const EXAMPLES = [
  {
    title: 'Example 2-step workflow',
    run: [
      { cmd: `bash -c 'echo "Do Step 1"'`, machine: 'basic', no_output: true },
      { cmd: `bash -c 'echo "Do Step 2"'`, machine: 'basic', no_output: true },
    ],
  },
  {
    title: 'Workflow title',
    run: [
      { name: 'First task to run', cmd: 'process_name', machine: 'basic', options: ['dir=out', 'model_preset=model-preset'] },
      {
        name: 'Run a parallel Task Group',
        parallel: [
          { cmd: 'get_data', machine: 'basic', options: ['endpoint=posts'] },
          { cmd: 'get_data', machine: 'basic', options: ['endpoint=users'] },
          { cmd: 'get_data', machine: 'basic', options: ['endpoint=comments'] },
        ],
      },
    ],
  },
  { title: 'Process media files', run: [{ cmd: 'process_image', machine: 'basic', timeout: 30 }] },
  { run: [{ cmd: 'import', timeout: 900, retries: 5, backoff: { type: 'exponential', delay: 10, max: 300 }, wait_for: 60 }] },
] satisfies readonly Workflow[];

/**
 * The JSON Schema (draft 2020-12) of a workflow document. It says all that a schema can; parseWorkflow refuses more:
 * reserved and repeated option names, more than 200 tasks in all, a delay above its maximum, a size above 64 KB.
 */
export function workflowJsonSchema(): Readonly<Record<string, unknown>> {
  const { items, ...run } = Workflow.properties.run;
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: ID,
    ...Workflow,
    properties: { ...Workflow.properties, run: { ...run, items: { anyOf: items.anyOf.map(referenceTo) } } },
    $defs: {
      task: Task,
      taskGroup: {
        ...TaskGroup,
        properties: { ...TaskGroup.properties, parallel: { ...TaskGroup.properties.parallel, items: referenceTo(Task) } },
      },
    },
    examples: EXAMPLES,
  };
}

function referenceTo(table: typeof Task | typeof TaskGroup): { readonly $ref: string } {
  return { $ref: 'parallel' in table.properties ? '#/$defs/taskGroup' : '#/$defs/task' };
}

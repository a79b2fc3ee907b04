// `/v1/workflows/validate`: what is wrong with a workflow, before it is uploaded.
import Type from 'typebox';
import { Validation } from '../schema/api-views.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import { workflowText } from '../schema/workflow-text.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';

export function workflowsRoutes(): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'post',
        path: '/workflows/validate',
        id: 'validateWorkflow',
        tag: 'Workflows',
        summary: 'Check a workflow without running it',
        body: Type.Object(
          {
            workflow: Type.Optional(Type.Unknown({ description: 'The workflow as JSON' })),
            text: Type.Optional(Type.String({ description: 'The workflow as text: faults then have its own lines and columns' })),
          },
          { additionalProperties: false, description: 'One of the two' },
        ),
        reply: Validation,
        retrieves: true,
        examples: [
          { summary: 'A valid workflow', body: { workflow: { run: [{ cmd: 'work' }] } } },
          { summary: 'A text with a fault', body: { text: '{"run": [{"cmd": "work", "timeuot": 5}]}' } },
        ],
      },
      async ({ body }) => {
        const parsed = parseWorkflow(body.text ?? workflowText(body.workflow, 2));
        if (!parsed.ok) return await Promise.resolve({ valid: false, steps: 0, tasks: 0, faults: [...parsed.faults] });
        const { steps } = parsed.plan;
        return { valid: true, steps: steps.length, tasks: steps.flatMap((step) => step.tasks).length, faults: [] };
      },
    ),
  ];
}

// A workflow that came as a value, as the text that is parsed.
import { MAX_DEPTH } from './workflow.ts';

/**
 * The value as JSON, to be read by parseWorkflow. What nests deeper than a workflow may is cut one level below, where the parser says so: a value of
 * hundreds of thousands of levels, which JSON.parse takes, would end JSON.stringify with a full stack. `indent`: blanks a level.
 */
export function workflowText(value: unknown, indent = 0): string {
  return JSON.stringify(cut(value, MAX_DEPTH), null, indent);
}

function cut(value: unknown, levels: number): unknown {
  if (typeof value !== 'object' || value === null) return value ?? null;
  if (Array.isArray(value)) return levels === 0 ? [] : value.map((one) => cut(one, levels - 1));
  return levels === 0 ? {} : Object.fromEntries(Object.entries(value).map(([name, one]) => [name, cut(one, levels - 1)]));
}

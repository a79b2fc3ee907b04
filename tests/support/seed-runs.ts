// Records of runs as the engine's transitions write them, without an engine.
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { createRuns } from '../../src/queues/runs.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import type { Workflow } from '../../src/schema/workflow.ts';

export interface Seed {
  readonly runId: string;
  readonly resource: string;
  readonly key?: string;
  readonly workflow?: Workflow;
  /** Refused before it began, with this error. */
  readonly rejected?: string;
}

/** A run id that names the text. */
export function seedId(text: string, shard = 0): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `r${shard}-${hex.slice(0, 20)}`;
}

/** Records runs in their order; `all at once` puts them into the same few milliseconds. */
export async function seedRuns(redis: Redis, seeds: readonly Seed[]): Promise<void> {
  const runs = createRuns({ redis });
  await Promise.all(
    seeds.map(async ({ runId, resource, key = `in/${runId}`, workflow = { title: 'seed', run: [{ cmd: 'work' }] }, rejected }) => {
      const trigger = { bucket: `ld-private-${resource}`, key, versionId: `v-${runId}`, etag: 'e', size: 1 };
      if (rejected !== undefined) {
        await runs.reject({ runId, resource, trigger, code: 'workflow_invalid', detail: rejected, cap: 1_000_000_000 });
        return;
      }
      const parsed = parseWorkflow(JSON.stringify(workflow));
      if (!parsed.ok) throw new Error(parsed.faults.map((fault) => fault.message).join(' '));
      await runs.accept({ runId, resource, trigger, workflow, plan: parsed.plan, cap: 1_000_000_000, depth: 0 });
    }),
  );
}

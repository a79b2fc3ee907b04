import { notFound } from './api-route.ts';
import type { StreamDeps } from './run-stream.ts';

/** Refuses runs of other resources as if they had never been. Throws Failure not_found. */
export function ownerCheck(deps: Pick<StreamDeps, 'head'>) {
  return async (runId: string, resource: string): Promise<void> => {
    if ((await deps.head(runId))?.resource !== resource) throw notFound(`run ${runId}`);
  };
}

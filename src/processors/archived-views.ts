// What the API shows of a run that has left Redis: the same as before, read from the archive.
import type { ObjectStore } from '../clients/ports.ts';
import { headOf, viewOf } from '../queues/views.ts';
import type { ArchivedRun } from '../schema/archived-run.ts';
import { parseRunId } from '../schema/ids.ts';
import type { HistoryEntry, Problem, RunState, RunView } from '../schema/run-view.ts';
import { readArchived } from './archive.ts';

export interface ArchivedViews {
  /** The run as the archive has it; undefined when it has none of that id. Throws Failure archive_damaged. */
  run(runId: string): Promise<ArchivedRun | undefined>;
  show(runId: string): Promise<RunView | undefined>;
  head(runId: string): Promise<{ resource: string; state: RunState; error: Problem | null } | undefined>;
  history(runId: string, after: number, limit: number): Promise<readonly HistoryEntry[]>;
  document(runId: string): Promise<string | undefined>;
}

/** Reads the archive (none without a bucket) anew for each question: who asks for a run of last year asks once. */
export function archivedViews(deps: { store: ObjectStore; bucket: string | undefined }): ArchivedViews {
  const { store, bucket } = deps;
  const run = async (runId: string) =>
    bucket === undefined || parseRunId(runId) === undefined ? undefined : await readArchived(store, bucket, runId);
  const show = async (runId: string) => {
    const found = await run(runId);
    return found === undefined ? undefined : viewOf(runId, found.record, found.document, found.history);
  };
  return {
    run,
    show,
    head: async (runId) => {
      const found = await run(runId);
      return found === undefined ? undefined : headOf(found.record);
    },
    history: async (runId, after, limit) => (await show(runId))?.history.slice(after, after + limit) ?? [],
    document: async (runId) => (await run(runId))?.document ?? undefined,
  };
}

// What becomes known of a task's dyno, written to the task: by whoever looks at the dyno list, and by webhooks that tell of single dynos.
import type { Redis } from 'ioredis';
import { readMarker } from '../schema/command.ts';
import { parseRunId } from '../schema/ids.ts';
import type { Log } from '../schema/log.ts';
import { refOf, type TaskRef } from './run-record.ts';
import type { Runs } from './runs.ts';
import { createWatch, type Watched } from './watch.ts';

/** A dyno as the platform shows it. `state`: starting, up, crashed, complete, down. */
export interface SeenDyno {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

/** States of a dyno that has ended; lists leave such dynos out, webhooks tell them (heroku.md §2.2, §2.5). */
const ENDED: readonly string[] = ['complete', 'down'];

type Writes = Pick<Runs, 'observe' | 'launched'>;
type Launch = Pick<Watched, 'ref' | 'attempt' | 'noOutput' | 'timeout'>;
type Note = 'up' | 'gone' | 'crashed';

/**
 * Writes what is seen of the dyno that a task waits for; `dyno` undefined: the platform does not have it any more. Answers what was written,
 * undefined when nothing counts yet. May be repeated and come in any order: the record takes only what is news to it.
 */
export async function noteDyno(
  runs: Writes,
  resource: string,
  one: Launch,
  dynoId: string,
  dyno: SeenDyno | undefined,
): Promise<Note | undefined> {
  const kind = kindOf(dyno);
  if (kind === undefined) return undefined;
  await runs.observe({ ref: one.ref, resource, attempt: one.attempt, kind, dynoId, noOutput: one.noOutput });
  return kind;
}

function kindOf(dyno: SeenDyno | undefined): Note | undefined {
  if (dyno === undefined || ENDED.includes(dyno.state)) return 'gone';
  return dyno.state === 'up' || dyno.state === 'crashed' ? dyno.state : undefined;
}

/**
 * Writes that the dyno of a launch whose answer is not recorded was seen. `told`: by an event, which may overtake the answer of a launch that
 * nothing is wrong with. `closed`: its attempt has ended, and the dyno is to be stopped.
 */
export async function adoptDyno(runs: Writes, resource: string, one: Launch, dyno: SeenDyno, told = false): Promise<'ok' | 'closed'> {
  const { ref, attempt, noOutput, timeout } = one;
  return await runs.launched({ ref, resource, attempt, timeout, noOutput, dyno, up: dyno.state === 'up', adopted: true, told });
}

export type DynoNews = ReturnType<typeof createDynoNews>;

/** For a process that watches no shard itself. */
export function createDynoNews(deps: { redis: Redis; runs: Writes & Pick<Runs, 'planned' | 'intended'>; log: Log }) {
  const { redis, runs, log } = deps;

  /** The launch under way whose answer the event overtook. */
  const answerless = async (resource: string, ref: TaskRef, attempt: number): Promise<Launch | undefined> => {
    if ((await runs.intended(ref)) !== attempt) return undefined;
    const planned = await runs.planned(ref);
    if (planned === undefined || planned.resource !== resource) return undefined;
    return { ref, attempt, noOutput: planned.task.no_output, timeout: planned.task.timeout };
  };

  return {
    /**
     * Finds the task that waits for a dyno, by the marker in its command, and writes what is told; `gone`: the dyno was destroyed. Answers
     * `not_ours` for a dyno of the customer's own, `nobody_waits` when no task of the resource waits for it (any more), else what was written.
     */
    heard: async (
      resource: string,
      { dyno, command, gone }: { readonly dyno: SeenDyno; readonly command: string; readonly gone: boolean },
    ): Promise<'not_ours' | 'nobody_waits' | 'nothing_new' | 'launched' | Note> => {
      const marker = readMarker(command);
      const ref = marker === undefined ? undefined : refOf(marker.taskId);
      const shard = ref === undefined ? undefined : parseRunId(ref.runId)?.shard;
      if (marker === undefined || ref === undefined || shard === undefined) return 'not_ours';
      const watch = createWatch({ redis, shard });
      // only what this resource watches: a marker may name anybody's task
      const watched = await watch.find(resource, dyno.id, marker);
      const one = watched ?? (await answerless(resource, ref, marker.attempt));
      if (one === undefined) return 'nobody_waits';
      await watch.heardOf(resource);
      const known = watched?.dyno !== undefined;
      if (!known) {
        const result = await adoptDyno(runs, resource, one, dyno, true);
        log.info({ taskId: one.ref.id, attempt: one.attempt, dyno: dyno.name, dynoId: dyno.id, result }, 'an event told of a dyno');
      }
      // a dyno that crashed says so even when it is gone with it
      const note = await noteDyno(runs, resource, one, dyno.id, gone && dyno.state !== 'crashed' ? undefined : dyno);
      return note ?? (known ? 'nothing_new' : 'launched');
    },
  };
}

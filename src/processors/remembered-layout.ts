// The layout of the shards as the archive knows it, for a Redis that has none: a new one, or one that was emptied.
import type { LayoutEntries, Witness } from '../schema/archive-marks.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';

export interface RememberedLayoutDeps {
  /** Whether Redis has a layout. */
  readonly isKnown: () => Promise<boolean>;
  readonly witness: () => Promise<Pick<Witness, 'layout'> | undefined>;
  /** Waits until it is asked again. */
  readonly pause: () => Promise<unknown>;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

/**
 * Answers what the archive has; undefined: nothing, or Redis has a layout. Waits for an archive that is away: a layout that was guessed meanwhile would
 * give files of before a loss other runs than they had. Throws what Redis answered.
 */
export async function rememberedLayout(deps: RememberedLayoutDeps): Promise<LayoutEntries | undefined> {
  let said = false;
  while (!(await deps.isKnown())) {
    try {
      return (await deps.witness())?.layout;
    } catch (error) {
      if (!(error instanceof Failure && error.retry)) {
        // waiting does not help; after a loss the recovery asks again, for as long as it takes
        deps.log.info({ error: messageOf(error) }, 'no layout read from the archive');
        return undefined;
      }
      if (!said) deps.log.warn({ error: messageOf(error) }, 'Redis has no layout of the shards: waiting for the archive, which may');
      said = true;
      await deps.pause();
    }
  }
  return undefined;
}

import type { Watch } from '../queues/watch.ts';
import { messageOf } from '../schema/failures.ts';
import { type Loop, startLoop } from './loop.ts';
import { type ProvisionDeps, rotate } from './provision.ts';

/** Milliseconds between two looks at the age of all credentials. */
const LOOK_MS = 300_000;

/** Rotates the credentials of all resources when they are due, until stopped; one process at a time. */
export function startRotation(
  deps: Pick<ProvisionDeps, 'resources' | 'issuer' | 'platform' | 'now' | 'failpoint' | 'log'> & { watch: Watch },
): Loop {
  return startLoop({
    name: 'rotate',
    every: LOOK_MS,
    log: deps.log,
    turn: async (signal) => {
      const release = await deps.watch.alone('rotate', LOOK_MS);
      if (release === undefined) return;
      try {
        for (const resource of await deps.resources.list()) {
          if (signal.aborted) return;
          await rotate(deps, resource).catch((error: unknown) =>
            deps.log.error({ resource: resource.id, error: messageOf(error) }, 'credentials not rotated'),
          );
        }
      } finally {
        await release();
      }
    },
  });
}

// Pub/sub channels of the shards: there are more of them when the number of shards is raised.
import type { Redis } from 'ioredis';

/**
 * Subscribes to all channels, again whenever the connection is new; the answered function subscribes to those that came since. `redis`: made with
 * `autoResubscribe: false`, since ioredis' own resubscription leaves its failure unhandled, which would end the process.
 */
export async function hearAll(
  redis: Redis,
  channels: () => readonly string[],
  onError: (error: Error) => void,
): Promise<() => Promise<void>> {
  let heard = 0;
  const hear = async (): Promise<void> => {
    const all = channels();
    if (all.length <= heard) return;
    await redis.subscribe(...all);
    heard = all.length;
  };
  await hear();
  redis.on('ready', () => {
    heard = 0;
    hear().catch(onError);
  });
  return hear;
}

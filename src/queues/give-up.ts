// A connection for what somebody waits for. ioredis keeps what is asked of a Redis that is away until it is back, for as long as that takes, and then
// carries it out, whether anybody still waits for it or not. Workers need that; a request that its sender gave up must not happen an hour later.
import type { Redis } from 'ioredis';
import { clusterOf } from './connection.ts';

/** Tries to connect again after which all that waits fails, so that it does not pile up: once after 1.5 s (backoff in connection.ts), then every 8 s. */
const RETRIES = 3;

/**
 * From now on every command of the connection fails that was not answered within `ms`, and one that was not sent until then never is: be it that Redis is
 * away, or that it takes connections and is frozen. One that was sent may be carried out however late.
 */
export function giveUpAfter(redis: Redis, ms: number): void {
  bound(redis, ms);
  const cluster = clusterOf(redis);
  if (cluster === undefined) {
    redis.options.maxRetriesPerRequest = RETRIES;
    return;
  }
  // what a node refused, or lost, goes to the next one without passing by the cluster's own method
  for (const node of cluster.nodes()) bound(node, ms);
  cluster.on('+node', (node: Redis) => bound(node, ms));
}

/** ioredis hands over by this method also what it kept, when it sends it at last. */
function bound(redis: Redis, ms: number): void {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, ...rest) => {
    if (command.isSettled) return command.promise;
    command.setTimeout(ms);
    return send(command, ...rest);
  };
}

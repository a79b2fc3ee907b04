import { createWebhookPost } from '../clients/webhook-post.ts';
import { startWebhooks } from '../processors/webhook.ts';
import { connect } from '../queues/connection.ts';
import { readRun } from '../queues/views.ts';
import { createWebhooks } from '../queues/webhooks.ts';
import type { Config } from '../schema/config.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { createSealerOf } from './wiring.ts';

/** The part of a worker process that tells customers' servers of ended runs. `post` is for tests. */
export function openWebhookWorker(config: Config, log: Log, post = createWebhookPost()): { stop(): Promise<void> } {
  const onError = (error: Error) => log.warn({ error: messageOf(error) }, 'redis connection');
  const redis = connect(config.redis, onError);
  const webhooks = createWebhooks({ redis, sealer: createSealerOf(config), shards: () => config.shards, now: Date.now, onError });
  const started = startWebhooks({ webhooks, post, show: (runId) => readRun(redis, runId), now: Date.now, log, connection: redis });
  return {
    stop: async () => {
      await started.stop();
      await webhooks.close();
      redis.disconnect();
    },
  };
}

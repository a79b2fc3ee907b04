import { accountBeginner } from '../processors/begin-account.ts';
import { provision } from '../processors/provision.ts';
import { connect } from '../queues/connection.ts';
import { createResources } from '../queues/resources.ts';
import { readConfig } from '../schema/config.ts';
import { Failure } from '../schema/failures.ts';
import { PLANS } from '../schema/plans.ts';
import { createClients, createLog, hookParts, queueArnOf } from './wiring.ts';

/**
 * `autofiles provision`: makes the resource of one app by hand, where no add-on marketplace does it: bucket, versioning,
 * notification, credentials, config vars. May be repeated. Configured as a worker is. Throws Failure request_invalid for a plan that is not offered.
 */
export async function provisionByHand(
  order: { id: string; app: string; bucket: string; plan: string },
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const config = readConfig(env);
  // the local plan has no limits: it is not sold
  const offered = Object.keys(PLANS).filter((slug) => slug !== 'local' || config.mode !== 'production');
  if (!offered.includes(order.plan))
    throw new Failure('request_invalid', `--plan: found ${JSON.stringify(order.plan)}, expected one of ${offered.join(', ')}.`);
  const log = createLog(config, 'provision');
  const clients = createClients(config);
  const redis = connect(config.redis, (error) => log.warn({ error: error.message }, 'redis connection'));
  try {
    const resources = createResources({ redis, sealer: clients.sealer, now: Date.now });
    const resource = { ...order, region: config.region };
    await provision(
      {
        ...clients,
        ...hookParts(config.addon.publicUrl),
        resources,
        queueArn: async () => await queueArnOf(config, clients.queue),
        beginAccount: accountBeginner({ ...clients, ...config, log }),
        log,
      },
      resource,
    );
    // where S3 is not AWS' own, unmodified clients in dynos must be told where it is
    if (config.s3Endpoint !== undefined) await clients.platform.setConfigVars(order.app, { AWS_ENDPOINT_URL_S3: config.s3Endpoint });
  } finally {
    redis.disconnect();
    clients.store.close();
    clients.queue.close();
    clients.issuer.close();
    clients.buckets.dispose();
  }
}

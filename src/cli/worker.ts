import { startEngine } from '../processors/engine.ts';
import { checkSafety, connect } from '../queues/connection.ts';
import { readConfig } from '../schema/config.ts';
import { stopOnSignal, tellReady } from './graceful.ts';
import { createClients, createLog } from './wiring.ts';

/** `autofiles worker`: consumers, planner, task processors, poller, sweeper in one process. */
export async function runWorker(env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(env);
  const log = createLog(config, 'worker');
  const clients = createClients(config);
  const probe = connect(config.redis, () => {});
  for (const warning of await checkSafety(probe)) log.warn({}, warning);
  probe.disconnect();
  const queueUrl = config.queueUrl ?? (await clients.queue.create(config.queueName)).url;
  const engine = await startEngine({
    ...clients,
    ...config,
    queueUrl,
    graceUntilDrained: config.mode !== 'production',
    log,
  });
  stopOnSignal(
    async (deadline) => {
      await engine.stop(deadline);
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
    },
    (line) => log.info({}, line),
  );
  tellReady();
}

import { setTimeout as sleep } from 'node:timers/promises';
import { startEngine } from '../processors/engine.ts';
import { checkSafety, connect } from '../queues/connection.ts';
import { readConfig } from '../schema/config.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { readFailpoint } from './failpoint.ts';
import { endWithSupervisor, stopOnSignal, tellReady } from './graceful.ts';
import { createClients, createLog } from './wiring.ts';

/** `autofiles worker`: consumers, planner, task processors, poller, sweeper in one process. */
export async function runWorker(env: NodeJS.ProcessEnv): Promise<void> {
  endWithSupervisor(env);
  const config = readConfig(env);
  const log = createLog(config, 'worker');
  const clients = createClients(config);
  const probe = connect(config.redis, () => {});
  for (const warning of await checkSafety(probe)) log.warn({}, warning);
  probe.disconnect();
  const queueUrl = config.queueUrl ?? (await findQueue(() => clients.queue.create(config.queueName), log)).url;
  const engine = await startEngine({
    ...clients,
    ...config,
    queueUrl,
    graceUntilDrained: config.mode !== 'production',
    failpoint: readFailpoint(env['AUTOFILES_FAILPOINT'], config.mode === 'production'),
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

/** Milliseconds that the queue may be away when a worker starts: it may be starting too. */
const QUEUE_START_MS = 30_000;

async function findQueue<T>(create: () => Promise<T>, log: Log): Promise<T> {
  const until = Date.now() + QUEUE_START_MS;
  for (;;) {
    try {
      return await create();
    } catch (error) {
      if (!(error instanceof Failure && error.retry) || Date.now() > until) throw error;
      log.debug({ error: messageOf(error) }, 'event queue not there yet');
      await sleep(100);
    }
  }
}

// Tells customers' servers that a run has ended: signed as Standard Webhooks has it (standardwebhooks.com, 1.0.0).
import { createHmac } from 'node:crypto';
import { DelayedError, Worker, type WorkerOptions } from 'bullmq';
import { WEBHOOK_PREFIX, WEBHOOK_QUEUE } from '../queues/keys.ts';
import type { DeliveryOrder, Webhooks } from '../queues/webhooks.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { RunView } from '../schema/run-view.ts';
import { startLoop } from './loop.ts';
import { createPlaces } from './webhook-places.ts';

/** Deliveries that one process sends at a time, for all resources together (webhook-places.ts: of one). */
const CONCURRENCY = 20;
/** Milliseconds between two looks at what has ended. */
const LOOK_MS = 1_000;

export interface WebhookDeps {
  readonly webhooks: Webhooks;
  readonly post: (url: string, headers: Readonly<Record<string, string>>, body: string) => Promise<number>;
  readonly show: (runId: string) => Promise<RunView | undefined>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Log;
}

/** Sends one delivery; every try stands in the log of deliveries. Throws what another try may heal. */
async function deliverWebhook(deps: WebhookDeps, order: DeliveryOrder, attempt: number): Promise<void> {
  const { webhooks, now } = deps;
  const hook = await webhooks.find(order.resource, order.webhook);
  const news = await newsOf(deps, order);
  // removed meanwhile: nobody wants to know any more
  if (hook === undefined || news === undefined) return;
  // a test is what wakes it
  if (hook.paused && order.run !== null) return;
  const begun = now();
  const { id } = order;
  const timestamp = String(Math.floor(begun / 1000));
  const body = JSON.stringify({ type: news.type, timestamp: new Date(begun).toISOString(), data: news.data });
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'autofiles-webhooks/1',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signatureOf(hook.secret, `${id}.${timestamp}.${body}`)}`,
  };
  let status: number | null = null;
  let failure: unknown;
  try {
    status = await deps.post(hook.url, headers, body);
    if (status < 200 || status > 299)
      failure = new Failure('webhook_unreachable', `Found HTTP ${status}, expected 2xx; redirects are not followed.`);
  } catch (error) {
    failure = error;
  }
  const error = failure === undefined ? null : messageOf(failure).slice(0, 300);
  await webhooks.note(order.resource, {
    at: new Date(begun).toISOString(),
    id,
    webhook: order.webhook,
    run: order.run,
    attempt,
    status,
    error,
    ms: now() - begun,
  });
  if (failure !== undefined) throw failure;
}

/** What there is to tell: the run without its steps and history, or that this is a test. */
async function newsOf(
  deps: WebhookDeps,
  { run: runId, resource, webhook }: DeliveryOrder,
): Promise<{ type: string; data: object } | undefined> {
  if (runId === null) return { type: 'webhook.ping', data: { resource, webhook } };
  const run = await deps.show(runId);
  if (run === undefined || run.resource !== resource) return undefined;
  const { steps: _steps, history: _history, ...summary } = run;
  return { type: 'run.ended', data: summary };
}

/** Queues what has ended and sends it, until stopped. Several processes queue nothing twice. `connection`: the worker makes its own of it. */
export function startWebhooks(deps: WebhookDeps & { readonly connection: WorkerOptions['connection'] }): { stop(): Promise<void> } {
  const dispatching = startLoop({ name: 'webhooks', every: LOOK_MS, log: deps.log, turn: async () => await deps.webhooks.dispatch() });
  const places = createPlaces(deps.now);
  const worker = new Worker<DeliveryOrder>(
    WEBHOOK_QUEUE,
    async (job, token) => {
      const place = places.take(job.data.resource, job.data.run === null ? 'test' : 'run');
      if (typeof place === 'number') {
        // no try: BullMQ counts none for a job that its processor delays
        await job.moveToDelayed(place, token);
        throw new DelayedError();
      }
      try {
        // a test that is asked for from now on is one more: the server may have been mended after this one came to it
        if (job.data.run === null) await job.removeDeduplicationKey();
        // attemptsMade counts the tries before this one
        await deliverWebhook(deps, job.data, job.attemptsMade + 1);
      } finally {
        place();
      }
    },
    { connection: deps.connection, prefix: WEBHOOK_PREFIX, concurrency: CONCURRENCY },
  );
  worker.on('error', (error) => deps.log.warn({ error: messageOf(error) }, 'webhook worker'));
  return {
    stop: async () => {
      await dispatching.stop();
      await worker.close();
    },
  };
}

/** HMAC-SHA256 in base64; the key is what follows `whsec_`, in base64. */
function signatureOf(secret: string, text: string): string {
  return createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
    .update(text)
    .digest('base64');
}

import { createHmac } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createGate, type Gate } from '../gate.ts';
import type { Delivery, Webhook, WebhookStore } from './webhook-state.ts';

/** Something that happened, as `include` names it (heroku.md 2.4). */
export interface PlatformEvent {
  include: string;
  action: 'create' | 'update' | 'destroy';
  resource: string;
  data: Record<string, unknown>;
  previous?: Record<string, unknown>;
}

/** Tells those who subscribed what happens: signed, in order and again and again for `sync`, once for `notify`. */
export interface Webhooks {
  publish(event: PlatformEvent): void;
  /** Forgets a webhook with what it was still to be told. */
  remove(id: string): void;
  /** Takes up what a stopped platform left undelivered. */
  resume(): void;
  close(): void;
}

export interface WebhooksDeps {
  store: WebhookStore;
  /** Whose action it was, for the event. */
  actor: { id: string; email: string };
  id: () => string;
  now: () => number;
  /** The wait before a second attempt; doubled each time, up to an hour (default 1,000 ms). */
  retryMs: number;
  report: (message: string) => void;
}

const answerMs = 10_000;
const longestRetryMs = 3_600_000;
// Heroku's figure for `sync` (heroku.md 2.4).
const mostAttempts = 180;
const notifyAtOnce = 8;

/** Makes the webhooks of the local platform. */
export function createWebhooks(deps: WebhooksDeps): Webhooks {
  const { store } = deps;
  const closing = new AbortController();
  const queues = new Map<string, { gate: Gate; removed: AbortController }>();

  const queueOf = ({ id, level }: Webhook): { gate: Gate; removed: AbortController } => {
    const queue = queues.get(id) ?? { gate: createGate(level === 'sync' ? 1 : notifyAtOnce), removed: new AbortController() };
    queues.set(id, queue);
    return queue;
  };
  const send = (webhook: Webhook, delivery: Delivery): void => {
    const { gate, removed } = queueOf(webhook);
    const signal = AbortSignal.any([closing.signal, removed.signal]);
    gate
      .through(() => deliver(webhook.id, delivery, signal))
      .catch((error: unknown) => {
        if (!signal.aborted) deps.report(`webhook ${webhook.url}: ${error instanceof Error ? error.message : String(error)}`);
      });
  };

  const deliver = async (webhookId: string, first: Delivery, signal: AbortSignal): Promise<void> => {
    let delivery = first;
    for (;;) {
      if (signal.aborted) return;
      if (delivery.nextAttemptAt !== null) await delay(Math.max(0, delivery.nextAttemptAt - deps.now()), undefined, { signal });
      // As it is now: it may have been changed or removed meanwhile.
      const webhook = store.webhooks().find(({ id }) => id === webhookId);
      if (webhook === undefined) return;
      const { code, error } = await attempt(webhook, delivery, signal);
      if (signal.aborted) return;
      const attempts = delivery.attempts + 1;
      const succeeded = code !== null && code >= 200 && code < 300;
      const over = succeeded || webhook.level === 'notify' || attempts >= mostAttempts;
      const waitMs = Math.min(longestRetryMs, deps.retryMs * 2 ** Math.min(attempts - 1, 30));
      delivery = {
        ...delivery,
        attempts,
        status: succeeded ? 'succeeded' : over ? 'failed' : 'retrying',
        lastCode: code,
        lastError: error,
        nextAttemptAt: over ? null : deps.now() + waitMs,
        updatedAt: deps.now(),
      };
      store.keep(delivery);
      if (over) return;
    }
  };

  const attempt = async (
    webhook: Webhook,
    delivery: Delivery,
    signal: AbortSignal,
  ): Promise<{ code: number | null; error: string | null }> => {
    const body = JSON.stringify({
      ...delivery.body,
      published_at: new Date(deps.now()).toISOString(),
      webhook_metadata: {
        attempt: { id: deps.id() },
        delivery: { id: delivery.id },
        event: { id: delivery.eventId, include: delivery.include },
        webhook: { id: webhook.id },
      },
    });
    try {
      const response = await fetch(webhook.url, {
        method: 'POST',
        redirect: 'manual',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'autofiles-local-platform',
          'heroku-webhook-hmac-sha256': createHmac('sha256', webhook.secret).update(body).digest('base64'),
          ...(webhook.authorization === null ? {} : { authorization: webhook.authorization }),
        },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
      });
      await response.body?.cancel();
      return { code: response.status, error: null };
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
      return { code: null, error: `${error instanceof Error ? error.message : String(error)}${cause}` };
    }
  };

  return {
    publish(event) {
      const listening = store.webhooks().filter(({ include }) => include.includes(event.include));
      if (listening.length === 0) return;
      const at = new Date(deps.now()).toISOString();
      const eventId = deps.id();
      const body = {
        id: eventId,
        action: event.action,
        actor: deps.actor,
        created_at: at,
        updated_at: at,
        data: event.data,
        previous_data: event.previous ?? {},
        resource: event.resource,
        sequence: store.nextSequence(),
        version: 'application/vnd.heroku+json; version=3',
      };
      for (const webhook of listening) {
        const now = deps.now();
        const common = { id: deps.id(), webhookId: webhook.id, eventId, include: event.include, body };
        const delivery: Delivery = {
          ...common,
          status: 'pending',
          attempts: 0,
          lastCode: null,
          lastError: null,
          nextAttemptAt: null,
          createdAt: now,
          updatedAt: now,
        };
        store.keep(delivery);
        send(webhook, delivery);
      }
    },
    remove(id) {
      store.forget(id);
      queues.get(id)?.removed.abort();
      queues.delete(id);
    },
    resume() {
      for (const webhook of store.webhooks()) {
        for (const delivery of store.deliveries(webhook.id)) {
          if (delivery.status === 'pending' || delivery.status === 'retrying') send(webhook, delivery);
        }
      }
    },
    close: () => closing.abort(),
  };
}

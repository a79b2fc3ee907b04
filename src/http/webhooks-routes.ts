// `/v1/webhooks`: who is told when runs end.
import Type from 'typebox';
import type { Audit } from '../queues/audit.ts';
import type { Webhooks } from '../queues/webhooks.ts';
import { Failure } from '../schema/failures.ts';
import { DeliveryView, WebhookView } from '../schema/webhook-view.ts';
import { EXAMPLE_WEBHOOK } from './api-examples.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';

/** Bytes of a webhook's address, as it is called, that are taken at most: ten of them are to fit into the backup of their resource (archive-marks.ts). */
const MAX_URL_BYTES = 2_000;

export function webhooksRoutes(deps: {
  webhooks: Pick<Webhooks, 'add' | 'list' | 'remove' | 'ping' | 'deliveries'>;
  audit: Pick<Audit, 'append'>;
}): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'get',
        path: '/webhooks',
        id: 'listWebhooks',
        tag: 'Webhooks',
        summary: 'List the webhooks of the resource',
        reply: Type.Array(WebhookView),
        examples: [{ summary: 'All webhooks' }],
      },
      async ({ resource }) => [...(await deps.webhooks.list(resource))],
    ),
    apiRoute(
      {
        method: 'post',
        path: '/webhooks',
        id: 'addWebhook',
        tag: 'Webhooks',
        summary: 'Have a server told of every run that ends',
        description:
          'Signed as Standard Webhooks has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`). HTTPS to addresses of the public internet alone, no redirects; a delivery that is not answered with 2xx is sent again, nine times in about 43 minutes, so it may come twice: `webhook-id` stays the same. One that took nothing for six hours is paused until a test is taken.',
        body: Type.Object(
          {
            url: Type.String({
              maxLength: MAX_URL_BYTES,
              description: 'https:// address, of at most 2,000 bytes as it is called (an emoji in its path has 12)',
            }),
          },
          { additionalProperties: false },
        ),
        status: 201,
        reply: Type.Object({ ...WebhookView.properties, secret: Type.String({ description: 'Signs the deliveries; shown this once' }) }),
        failures: ['conflict'],
        examples: [{ summary: 'Add', body: { url: 'https://example.com/autofiles' } }],
      },
      async ({ c, body, resource }) => {
        const url = webhookUrl(body.url);
        const webhook = await deps.webhooks.add(resource, url.href);
        await deps.audit.append(resource, {
          actor: c.var.principal.name,
          action: 'webhook.add',
          detail: `${webhook.id} ${url.host}`,
        });
        return webhook;
      },
    ),
    apiRoute(
      {
        method: 'delete',
        path: '/webhooks/{id}',
        id: 'removeWebhook',
        tag: 'Webhooks',
        summary: 'Remove a webhook; deliveries that wait are dropped',
        params: { id: 'Id of a webhook' },
        status: 204,
        failures: ['not_found'],
        examples: [{ summary: 'Remove', path: { id: EXAMPLE_WEBHOOK } }],
      },
      async ({ c, param, resource }) => {
        await deps.webhooks.remove(resource, param('id'));
        await deps.audit.append(resource, { actor: c.var.principal.name, action: 'webhook.remove', detail: param('id') });
        return c.body(null, 204);
      },
    ),
    apiRoute(
      {
        method: 'post',
        path: '/webhooks/{id}/ping',
        id: 'pingWebhook',
        tag: 'Webhooks',
        summary: 'Send a test delivery, once; the list of deliveries says what came of it',
        description:
          'Signed like every delivery, of type `webhook.ping`, and not sent again. One that is taken wakes a webhook that is paused. Of the tests of a webhook one waits at most: whoever asks meanwhile is answered with its id.',
        params: { id: 'Id of a webhook' },
        status: 202,
        reply: Type.Object({ id: Type.String({ description: '`webhook-id` of the delivery' }) }),
        failures: ['not_found'],
        examples: [{ summary: 'A test', path: { id: EXAMPLE_WEBHOOK } }],
      },
      async ({ param, resource }) => ({ id: await deps.webhooks.ping(resource, param('id')) }),
    ),
    apiRoute(
      {
        method: 'get',
        path: '/webhooks/deliveries',
        id: 'listDeliveries',
        tag: 'Webhooks',
        summary: 'List what came of the last deliveries, newest first',
        query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 50 })) }),
        reply: Type.Array(DeliveryView),
        examples: [{ summary: 'The last ten', query: { limit: '10' } }],
      },
      async ({ query, resource }) => [...(await deps.webhooks.deliveries(resource, query.limit ?? 50))],
    ),
  ];
}

/** The address of a webhook. Throws Failure request_invalid; whether it may be called is found out at each delivery. */
export function webhookUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '')
    throw new Failure('request_invalid', 'url: expected an https:// address without user and password.');
  const bytes = Buffer.byteLength(url.href);
  if (bytes > MAX_URL_BYTES)
    throw new Failure('request_invalid', `url: found ${bytes} bytes as it is called, expected at most ${MAX_URL_BYTES}.`);
  return url;
}

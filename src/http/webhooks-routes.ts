// `/v1/webhooks`: who is told when runs end.
import Type from 'typebox';
import type { Audit } from '../queues/audit.ts';
import type { Webhooks } from '../queues/webhooks.ts';
import { Failure } from '../schema/failures.ts';
import { DeliveryView, WebhookView } from '../schema/webhook-view.ts';
import { EXAMPLE_WEBHOOK } from './api-examples.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';

export function webhooksRoutes(deps: {
  webhooks: Pick<Webhooks, 'add' | 'list' | 'remove' | 'deliveries'>;
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
          'Signed as Standard Webhooks has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`). HTTPS to addresses of the public internet alone, no redirects; a delivery that is not answered with 2xx is sent again, nine times in about 43 minutes, so it may come twice: `webhook-id` stays the same.',
        body: Type.Object({ url: Type.String({ maxLength: 2_000, description: 'https:// address' }) }, { additionalProperties: false }),
        status: 201,
        reply: Type.Object({ ...WebhookView.properties, secret: Type.String({ description: 'Signs the deliveries; shown this once' }) }),
        failures: ['conflict'],
        examples: [{ summary: 'Add', body: { url: 'https://example.com/autofiles' } }],
      },
      async ({ c, body, resource }) => {
        const url = URL.parse(body.url);
        if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '')
          throw new Failure('request_invalid', 'url: expected an https:// address without user and password.');
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

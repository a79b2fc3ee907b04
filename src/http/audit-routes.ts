// `/v1/audit`: what was done to the resource, by whom.
import Type from 'typebox';
import type { Audit } from '../queues/audit.ts';
import { AuditEntry } from '../schema/audit-entry.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';

export function auditRoutes(deps: { readonly audit: Pick<Audit, 'list'> }): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'get',
        path: '/audit',
        id: 'listAudit',
        tag: 'Audit',
        summary: 'The administrative acts on the resource, newest first',
        query: Type.Object({
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Entries at most' })),
          before: Type.Optional(Type.String({ pattern: '^\\d{1,20}-\\d{1,20}$', description: 'Id of an entry: only older ones' })),
        }),
        reply: Type.Array(AuditEntry),
        examples: [{ summary: 'The newest entries', query: { limit: '10' } }],
      },
      async ({ resource, query }) => {
        const { limit = 50, before } = query;
        return [...(await deps.audit.list(resource, { limit, ...(before === undefined ? {} : { before }) }))];
      },
    ),
  ];
}

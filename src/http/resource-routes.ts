// `/v1/resource` and `/v1/ledger`: what the add-on is for this app, and whether every file has its decision.
import Type from 'typebox';
import type { Audit } from '../queues/audit.ts';
import { ResourceView } from '../schema/api-views.ts';
import { AuditEntry } from '../schema/audit-entry.ts';
import { LedgerView } from '../schema/ledger-view.ts';
import { type ApiRoute, apiRoute, notFound } from './api-route.ts';

/** Entries of one page of the audit log. */
const MAX_ENTRIES = 200;

export interface ResourceDeps {
  readonly audit: Pick<Audit, 'list' | 'append'>;
  readonly view: (id: string) => Promise<ResourceView | undefined>;
  readonly ledger: (id: string) => Promise<LedgerView | undefined>;
}

export function resourceRoutes(deps: { resources: ResourceDeps }): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'get',
        path: '/resource',
        id: 'showResource',
        tag: 'Resource',
        summary: 'Show plan, limits, usage, launch budget and age of the credentials',
        reply: ResourceView,
        failures: ['not_found'],
        examples: [{ summary: 'The resource of the token' }],
      },
      async ({ resource }) => {
        const view = await deps.resources.view(resource);
        if (view === undefined) throw notFound('resource: it is not provisioned yet, or gone');
        return view;
      },
    ),
    apiRoute(
      {
        method: 'get',
        path: '/ledger',
        id: 'showLedger',
        tag: 'Resource',
        summary: 'Show whether every version in the bucket has its decision',
        reply: LedgerView,
        failures: ['not_found'],
        examples: [{ summary: 'The ledger' }],
      },
      async ({ resource }) => {
        const ledger = await deps.resources.ledger(resource);
        if (ledger === undefined) throw notFound('resource: it is not provisioned yet, or gone');
        return ledger;
      },
    ),
    apiRoute(
      {
        method: 'get',
        path: '/audit',
        id: 'listAudit',
        tag: 'Audit',
        summary: 'List administrative acts on the resource, newest first',
        query: Type.Object({
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ENTRIES, default: 50 })),
          before: Type.Optional(Type.String({ pattern: '^\\d{1,15}-\\d{1,15}$', description: 'Id of an entry: only older ones follow' })),
        }),
        reply: Type.Array(AuditEntry),
        examples: [{ summary: 'The last ten', query: { limit: '10' } }],
      },
      async ({ query, resource }) => [
        ...(await deps.resources.audit.list(resource, {
          limit: query.limit ?? 50,
          ...(query.before === undefined ? {} : { before: query.before }),
        })),
      ],
    ),
  ];
}

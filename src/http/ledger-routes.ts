// `/v1/ledger/…`: whether every version of the bucket has its decision now, and what could be run after all.
import { Failure } from '../schema/failures.ts';
import { AuditOrder, BackfillOrder, BackfillPage, LedgerAudit } from '../schema/ledger-view.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';

export interface LedgerDeps {
  /** Compares now, changes nothing. Ends when `signal` does. */
  readonly audit: (resource: string, order: AuditOrder, signal: AbortSignal) => Promise<LedgerAudit>;
  readonly backfill: (resource: string, order: BackfillOrder) => Promise<BackfillPage>;
}

export function ledgerRoutes(deps: LedgerDeps): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'post',
        path: '/ledger/audit',
        id: 'auditLedger',
        tag: 'Ledger',
        summary: 'Compare the bucket with the decisions now',
        description:
          'Lists the bucket, up to 20,000 versions at a time, and changes nothing. `next` leads to the rest. One call per bucket at a time.',
        body: AuditOrder,
        reply: LedgerAudit,
        retrieves: true,
        failures: ['s3_unavailable', 'conflict', 'not_found'],
        examples: [{ summary: 'An audit' }],
      },
      async ({ c, resource, body }) => await deps.audit(resource, body, c.req.raw.signal),
    ),
    apiRoute(
      {
        method: 'post',
        path: '/ledger/backfill',
        id: 'backfill',
        tag: 'Ledger',
        summary: 'List files with a workflow that never ran, or run them',
        description: 'One page of the bucket, in the order of its keys. With `dry_run` (the default) nothing runs.',
        body: BackfillOrder,
        reply: BackfillPage,
        failures: ['s3_unavailable', 'not_found'],
        examples: [{ summary: 'What would run, of one folder', body: { dry_run: true, prefix: 'in/' } }],
      },
      async ({ resource, body }) => {
        for (const name of ['since', 'until'] as const) {
          const text = body[name];
          if (text !== undefined && Number.isNaN(Date.parse(text)))
            throw new Failure('request_invalid', `${name}: found ${JSON.stringify(text)}, expected a time in ISO 8601.`);
        }
        return await deps.backfill(resource, body);
      },
    ),
  ];
}

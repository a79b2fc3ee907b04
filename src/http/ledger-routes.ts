// `/v1/ledger/…`: whether every version of the bucket has its decision now, and what could be run after all.
import { Failure } from '../schema/failures.ts';
import { BackfillOrder, BackfillPage, LedgerAudit } from '../schema/ledger-view.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';

export interface LedgerDeps {
  /** Compares now, changes nothing. */
  readonly audit: (resource: string) => Promise<LedgerAudit>;
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
        description: 'Lists the whole bucket and changes nothing.',
        reply: LedgerAudit,
        retrieves: true,
        failures: ['s3_unavailable', 'conflict', 'not_found'],
        examples: [{ summary: 'An audit' }],
      },
      async ({ resource }) => await deps.audit(resource),
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

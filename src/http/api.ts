// All routes of the REST API: what is mounted at `/v1` and what the OpenAPI document lists.
import type { Audit } from '../queues/audit.ts';
import type { Feed } from '../queues/feed.ts';
import type { Tokens } from '../queues/tokens.ts';
import type { Webhooks } from '../queues/webhooks.ts';
import type { ApiRoute } from './api-route.ts';
import { auditRoutes } from './audit-routes.ts';
import { type CredentialsDeps, credentialsRoutes } from './credentials-routes.ts';
import { feedRoutes } from './feed-routes.ts';
import { type FilesDeps, filesRoutes } from './files-routes.ts';
import { type LedgerDeps, ledgerRoutes } from './ledger-routes.ts';
import { type ResourceDeps, resourceRoutes } from './resource-routes.ts';
import { type RunActionsDeps, runActionsRoutes } from './run-actions-routes.ts';
import { type RunsDeps, runsRoutes } from './runs-routes.ts';
import { type TasksDeps, tasksRoutes } from './tasks-routes.ts';
import { tokensRoutes } from './tokens-routes.ts';
import { webhooksRoutes } from './webhooks-routes.ts';
import { workflowsRoutes } from './workflows-routes.ts';

export interface ApiDeps extends RunsDeps, RunActionsDeps {
  readonly credentials: CredentialsDeps;
  readonly audit: Audit;
  readonly account: LedgerDeps;
  readonly tokens: Tokens;
  readonly feed: Pick<Feed, 'listen' | 'end' | 'read'>;
  readonly webhooks: Pick<Webhooks, 'add' | 'list' | 'remove' | 'ping' | 'deliveries'>;
  readonly tasks: TasksDeps;
  readonly files: FilesDeps;
  readonly resources: ResourceDeps;
}

/** Of two routes that fit a path the first one answers. */
export function apiRoutes(deps: ApiDeps): readonly ApiRoute[] {
  return [
    ...runsRoutes(deps),
    ...runActionsRoutes(deps),
    ...feedRoutes(deps),
    ...tasksRoutes(deps),
    ...filesRoutes(deps),
    ...workflowsRoutes(),
    ...resourceRoutes(deps),
    ...ledgerRoutes(deps.account),
    ...tokensRoutes(deps),
    ...credentialsRoutes(deps.credentials),
    ...auditRoutes(deps),
    ...webhooksRoutes(deps),
  ];
}

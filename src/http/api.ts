// All routes of the REST API: what is mounted at `/v1` and what the OpenAPI document lists.
import type { Tokens } from '../queues/tokens.ts';
import type { ApiRoute } from './api-route.ts';
import { type RunsDeps, runsRoutes } from './runs-routes.ts';
import { tokensRoutes } from './tokens-routes.ts';

export interface ApiDeps extends RunsDeps {
  readonly tokens: Tokens;
}

/** Routes that name more come before those that name less: `/runs/bulk` is no run. */
export function apiRoutes(deps: ApiDeps): readonly ApiRoute[] {
  return [...runsRoutes(deps), ...tokensRoutes(deps)];
}

// `/v1/resource` and `/v1/ledger`: what the add-on is for this app, whether every file has its decision, and what was set aside.
import { ResourceSettings, ResourceView } from '../schema/api-views.ts';
import { LedgerView, type SetAside, SetAsideList } from '../schema/ledger-view.ts';
import { type ApiRoute, apiRoute, notFound } from './api-route.ts';

export interface ResourceDeps {
  readonly view: (id: string) => Promise<ResourceView | undefined>;
  /** Changes what is given and notes who did it. Answers whether there is such a resource. */
  readonly change: (id: string, settings: ResourceSettings, actor: string) => Promise<boolean>;
  readonly ledger: (id: string) => Promise<LedgerView | undefined>;
  /** What was set aside of the bucket, newest first; with `key` of that file alone. */
  readonly setAside: (id: string, limit: number) => Promise<readonly SetAside[]>;
}

/** Entries of one answer. */
const MOST_SET_ASIDE = 100;

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
        method: 'patch',
        path: '/resource',
        id: 'changeResource',
        tag: 'Resource',
        summary: 'Pause or resume launches, or restrict which commands tasks may run',
        body: ResourceSettings,
        reply: ResourceView,
        failures: ['not_found'],
        examples: [
          { summary: 'Hold all launches back', body: { paused: true } },
          { summary: 'Run process types of the Procfile alone, and go on', body: { paused: false, commands: 'procfile' } },
        ],
      },
      async ({ c, resource, body }) => {
        const { kind, name } = c.var.principal;
        const changed = await deps.resources.change(resource, body, `${kind} ${name}`);
        const view = changed ? await deps.resources.view(resource) : undefined;
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
        path: '/ledger/quarantined',
        id: 'listQuarantined',
        tag: 'Ledger',
        summary:
          'List what was set aside, with the reasons: files that started no run although they asked for one, and metadata that was not taken',
        reply: SetAsideList,
        examples: [{ summary: 'What was set aside' }],
      },
      async ({ resource }) => ({ set_aside: [...(await deps.resources.setAside(resource, MOST_SET_ASIDE))] }),
    ),
  ];
}

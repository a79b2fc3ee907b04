import { Hono } from 'hono';
import { notFound } from '../api-error.ts';
import { pageOf } from '../paging.ts';
import type { AddonViews } from './addon-json.ts';
import { stableId } from './addon-name.ts';
import { planId } from './choose-names.ts';
import type { Provider } from './providers.ts';

/** `/addon-services` and their plans. */
export function serviceRoutes(deps: { providers: readonly Provider[]; views: AddonViews }): Hono {
  const { providers, views } = deps;
  const routes = new Hono();
  const find = (idOrName: string): Provider => {
    const found = providers.find(({ id }) => id === idOrName || stableId(id) === idOrName);
    if (found === undefined) throw notFound('addon_service');
    return found;
  };
  routes.get('/addon-services', (c) =>
    pageOf(
      c,
      providers.map((provider) => ({ id: stableId(provider.id), provider })),
      ({ provider }) => views.service(provider),
    ),
  );
  routes.get('/addon-services/:service', (c) => c.json(views.service(find(c.req.param('service')))));
  routes.get('/addon-services/:service/plans', (c) => {
    const provider = find(c.req.param('service'));
    const plans = provider.plans.map((plan) => ({ id: planId({ provider, plan }), plan }));
    return pageOf(c, plans, ({ plan }) => views.plan(provider, plan));
  });
  routes.get('/addon-services/:service/plans/:plan', (c) => {
    const provider = find(c.req.param('service'));
    const wanted = c.req.param('plan');
    const plan = provider.plans.find((one) => [one.name, `${provider.id}:${one.name}`, planId({ provider, plan: one })].includes(wanted));
    if (plan === undefined) throw notFound('plan');
    return c.json(views.plan(provider, plan));
  });
  return routes;
}

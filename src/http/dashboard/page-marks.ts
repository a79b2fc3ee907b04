// What every page has of its own: whose it is.
import { createMiddleware } from 'hono/factory';
import type { VisitEnv } from './visit.ts';

/** Gives each page of a known visitor its marks; mounted after the visit. */
export function pageMarks() {
  return createMiddleware<VisitEnv>(async (c, next) => {
    const { visit } = c.var;
    c.set('visit', { ...visit, view: { ...visit.view, resource: visit.resource } });
    return await next();
  });
}

// What every page has of its own: whose it is, and a word by which what its forms order is known again.
import { createMiddleware } from 'hono/factory';
import type { VisitEnv } from './visit.ts';

/** Gives each page of a known visitor its marks; mounted after the visit. `id`: a new word. */
export function pageMarks({ id }: { id: () => string }) {
  return createMiddleware<VisitEnv>(async (c, next) => {
    const { visit } = c.var;
    c.set('visit', { ...visit, view: { ...visit.view, resource: visit.resource, nonce: id() } });
    return await next();
  });
}

// Who looks at a page, and how a page is answered.
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { Failure } from '../../schema/failures.ts';
import { callerOf, firstOf, type PrincipalSource } from '../principal.ts';
import { contentSecurityPolicy } from '../security-headers.ts';
import type { Caller } from '../streams.ts';
import type { Assets } from './assets.ts';
import { errorPage, redisPage } from './error-page.ts';
import { type Mode, type Page, page, type View } from './layout.ts';

/** Everything that a page's handler needs of its request. */
export interface Visit {
  readonly resource: string;
  /** Who acts, for histories. */
  readonly name: string;
  readonly view: View;
  /** The same visitor, for streams. */
  readonly caller: Caller;
}
export interface VisitEnv {
  Variables: { visit: Visit };
}

export interface VisitDeps {
  readonly assets: Assets;
  readonly mode: Mode;
  /** Who may see pages, in the order in which they are asked. */
  readonly visitors: readonly PrincipalSource[];
  /** The token that the visitor's session wants in every form; undefined where it needs none. */
  readonly csrf: (c: Context) => string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Whether Redis answers. */
  readonly ready: () => Promise<boolean>;
  /** Where Redis is looked for and the last thing that went wrong there. */
  readonly redisTrouble: () => { readonly where: string; readonly error: string };
  /** Name of the app of a resource, and where its bucket is reached by browsers. */
  readonly placeOf: (resource: string) => Promise<Pick<View, 'app' | 'store'>>;
}

/** Finds out who visits, refuses strangers, and says so where Redis is away. */
export function visit(deps: VisitDeps) {
  return createMiddleware<VisitEnv>(async (c, next) => {
    const bare: View = {
      now: deps.now(),
      mode: deps.mode,
      app: '',
      store: '',
      assets: deps.assets,
      csrf: undefined,
      write: false,
      operator: false,
    };
    const nobody: Caller = { resource: '', stands: () => Promise.resolve(false) };
    c.set('visit', { resource: '', name: '', view: bare, caller: nobody });
    if (!(await deps.ready())) return showPage(c, redisPage(deps.mode === 'production' ? undefined : deps.redisTrouble()), 503);
    const principal = await firstOf(deps.visitors, c);
    if (principal === undefined)
      return showPage(
        c,
        errorPage(new Failure('unauthorized', 'Open the dashboard from the add-on’s page, or with `autofiles open`.')),
        401,
      );
    const { resource, name, scope, kind } = principal;
    const view = {
      ...bare,
      ...(await deps.placeOf(resource)),
      csrf: deps.csrf(c),
      write: scope === 'write',
      operator: kind === 'operator' || kind === 'local',
    };
    c.set('visit', { resource, name, view, caller: callerOf(deps.visitors, c, principal) });
    if (!view.write && c.req.method !== 'GET') throw new Failure('forbidden', `Found the scope ${scope}, expected write.`);
    return await next();
  });
}

/** Answers with a page. */
export function showPage(c: Context<VisitEnv>, shown: Page, status = 200): Response {
  // the failure table holds HTTP statuses with a body alone
  const { view } = c.var.visit;
  return c.body(String(page(view, shown)), status as 200, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': contentSecurityPolicy(shown.store ? view.store : ''),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store',
  });
}

// How an owner lets us start the app's dynos where Heroku does not grant that to the add-on: OAuth (heroku.md §1.5), with a state that works once and in
// this session alone, and PKCE (RFC 7636), whose verifier never leaves this service and the browser's cookie.
import { createHash } from 'node:crypto';
import { type Context, Hono } from 'hono';
import type { HerokuOAuth } from '../../clients/addon-ports.ts';
import type { Audit } from '../../queues/audit.ts';
import type { Resource, Resources } from '../../queues/resources.ts';
import type { Sessions } from '../../queues/sessions.ts';
import { Failure, messageOf } from '../../schema/failures.ts';
import { sameSecret } from '../same-secret.ts';
import type { VisitEnv } from './visit.ts';

/**
 * The least that starts dynos: a dyno sees all config vars, so `write` is not enough (heroku.md §1.7). Heroku has no scope for one app.
 */
const SCOPE = 'write-protected';

export interface ConsentDeps {
  /** The OAuth client that owners consent to. */
  readonly clientId: string;
  /** `https://id.heroku.com/oauth/authorize`. */
  readonly authorizeUrl: string;
  readonly oauth: Pick<HerokuOAuth, 'exchange'>;
  readonly sessions: Pick<Sessions, 'ask' | 'answer'>;
  /** What the visitor's session alone can know, for one purpose; undefined without a session. */
  readonly proof: (c: Context, purpose: string) => string | undefined;
  readonly resources: Pick<Resources, 'get' | 'change'>;
  /** The email of the token's account. Throws Failure heroku_refused when it may not list the app's dynos. */
  readonly check: (token: string, app: string) => Promise<string>;
  /** Whose leave is left without the owner's. */
  readonly without: (resource: Resource) => Promise<Resource['permission']>;
  readonly audit: Pick<Audit, 'append'>;
}

/** `/settings/consent` and what comes back from Heroku. Mounted where visits are known. */
export function consentRoutes(deps: ConsentDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();

  routes.get('/settings/consent', async (c) => {
    const { resource, view } = c.var.visit;
    if (!view.write) throw new Failure('forbidden', 'Only who may change the settings may let dynos be started.');
    const state = await deps.sessions.ask({ resource, proof: proofOf(deps, c, 'consent') });
    const query = {
      client_id: deps.clientId,
      response_type: 'code',
      scope: SCOPE,
      state,
      code_challenge: createHash('sha256')
        .update(verifierOf(deps, c, state))
        .digest('base64url'),
      code_challenge_method: 'S256',
    };
    return c.redirect(`${deps.authorizeUrl}?${new URLSearchParams(query)}`, 303);
  });

  routes.get('/settings/consent/callback', async (c) => {
    const { code, state = '', error } = c.req.query();
    const asked = await deps.sessions.answer(state);
    const mine = asked !== undefined && asked.resource === c.var.visit.resource && sameSecret(asked.proof, proofOf(deps, c, 'consent'));
    if (!mine) throw new Failure('forbidden', 'This answer of Heroku belongs to no question of this session. Begin again under Settings.');
    if (error !== undefined || code === undefined)
      throw new Failure('forbidden', `Heroku gave no consent (${error ?? 'no code'}). Nothing was changed; begin again under Settings.`);
    await take(deps, c, code, verifierOf(deps, c, state));
    return c.redirect('/settings', 303);
  });

  routes.post('/settings/consent/withdraw', async (c) => {
    const { resource: id, name } = c.var.visit;
    const resource = await deps.resources.get(id);
    if (resource === undefined) throw new Failure('not_found', 'The resource is gone.');
    const permission = (await deps.without(resource)) ?? 'none';
    await deps.resources.change(id, { set: { permission }, unset: ['customer'] });
    await deps.audit.append(id, { actor: name, action: 'consent.withdraw', detail: `dynos by ${permission} from now on` });
    return c.redirect('/settings', 303);
  });
  return routes;
}

/** Takes the consent only when it is good for this app: a token that cannot start its dynos would replace one that can. */
async function take(deps: ConsentDeps, c: Context<VisitEnv>, code: string, verifier: string): Promise<void> {
  const { resource: id, name } = c.var.visit;
  const resource = await deps.resources.get(id);
  if (resource === undefined) throw new Failure('not_found', 'The resource is gone.');
  const customer = await deps.oauth.exchange(code, { verifier });
  const email = await deps.check(customer.access, resource.app).catch((cause: unknown) => {
    if (!(cause instanceof Failure) || cause.retry) throw cause;
    throw new Failure('forbidden', `That account may not start dynos of ${resource.app_name ?? resource.app}: ${messageOf(cause)}`, {
      cause,
    });
  });
  const { done } = await deps.resources.change(id, { set: { permission: 'customer' }, secrets: { customer } });
  if (!done) throw new Failure('conflict', 'The add-on is being removed.');
  await deps.audit.append(id, { actor: name, action: 'consent.give', detail: `dynos by ${email}, scope ${SCOPE}` });
}

function proofOf(deps: ConsentDeps, c: Context, purpose: string): string {
  const proof = deps.proof(c, purpose);
  if (proof === undefined) throw new Failure('unauthorized', 'Consent is given in a session of the dashboard.');
  return proof;
}

/** 43 characters, as RFC 7636 §4.1 wants at least. */
function verifierOf(deps: ConsentDeps, c: Context, state: string): string {
  return createHash('sha256')
    .update(`${proofOf(deps, c, 'pkce')}\n${state}`)
    .digest('base64url');
}

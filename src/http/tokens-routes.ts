import { Hono } from 'hono';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { Tokens } from '../queues/tokens.ts';
import { Failure } from '../schema/failures.ts';
import { Scope } from '../schema/token-view.ts';
import type { Principal, PrincipalEnv } from './principal.ts';
import { readBody } from './read-body.ts';

const TokenOrder = Compile(
  Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 100, description: 'What it is for' }),
      scope: Scope,
    },
    { additionalProperties: false },
  ),
);

/** `/v1/tokens`: made, listed and revoked. A token makes no tokens: what leaked could outlive its own end that way. */
export function tokensRoutes(deps: { tokens: Pick<Tokens, 'make' | 'list' | 'revoke'> }) {
  const routes = new Hono<PrincipalEnv>();

  routes.get('/', async (c) => c.json(await deps.tokens.list(c.var.principal.resource)));

  routes.post('/', async (c) => {
    const principal = noToken(c.var.principal);
    const order = await readBody(c, TokenOrder);
    return c.json(await deps.tokens.make({ ...order, resource: principal.resource, by: principal.name }), 201);
  });

  routes.delete('/:id', async (c) => {
    await deps.tokens.revoke(noToken(c.var.principal).resource, c.req.param('id'));
    return c.body(null, 204);
  });

  return routes;
}

function noToken(principal: Principal): Principal {
  if (principal.kind === 'token')
    throw new Failure('forbidden', 'A token can neither make nor revoke tokens. Do it in the dashboard, under Settings.');
  return principal;
}

// `/v1/tokens`: made, listed and revoked.
import Type from 'typebox';
import type { Audit } from '../queues/audit.ts';
import type { Tokens } from '../queues/tokens.ts';
import { Failure } from '../schema/failures.ts';
import { Scope, TokenView } from '../schema/token-view.ts';
import { EXAMPLE_TOKEN } from './api-examples.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';
import type { Principal } from './principal.ts';

const TokenOrder = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100, description: 'What it is for' }),
    scope: Scope,
  },
  { additionalProperties: false },
);

const NewToken = Type.Object({ ...TokenView.properties, token: Type.String({ description: 'Its secret text, shown this once' }) });

/** A token makes no tokens: what leaked could outlive its own end that way. */
export function tokensRoutes(deps: {
  tokens: Pick<Tokens, 'make' | 'list' | 'revoke'>;
  audit: Pick<Audit, 'append'>;
}): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'get',
        path: '/tokens',
        id: 'listTokens',
        tag: 'Tokens',
        summary: 'List the API tokens of the resource',
        reply: Type.Array(TokenView),
        examples: [{ summary: 'All tokens' }],
      },
      async ({ resource }) => [...(await deps.tokens.list(resource))],
    ),
    apiRoute(
      {
        method: 'post',
        path: '/tokens',
        id: 'makeToken',
        tag: 'Tokens',
        summary: 'Make an API token; no token may do that',
        body: TokenOrder,
        status: 201,
        reply: NewToken,
        failures: ['conflict'],
        examples: [{ summary: 'A token that reads', body: { name: 'status page', scope: 'read' } }],
      },
      async ({ c, body, resource }) => {
        const { name: actor } = noToken(c.var.principal);
        const made = await deps.tokens.make({ ...body, resource, by: actor });
        await deps.audit.append(resource, { actor, action: 'token.make', detail: `${made.id} ${body.name} (${body.scope})` });
        return made;
      },
    ),
    apiRoute(
      {
        method: 'delete',
        path: '/tokens/{id}',
        id: 'revokeToken',
        tag: 'Tokens',
        summary: 'End an API token at once; no token may do that',
        params: { id: 'Id of a token' },
        status: 204,
        failures: ['not_found'],
        examples: [{ summary: 'Revoke', path: { id: EXAMPLE_TOKEN } }],
      },
      async ({ c, param, resource }) => {
        const { name: actor } = noToken(c.var.principal);
        await deps.tokens.revoke(resource, param('id'));
        await deps.audit.append(resource, { actor, action: 'token.revoke', detail: param('id') });
        return c.body(null, 204);
      },
    ),
  ];
}

function noToken(principal: Principal): Principal {
  if (principal.kind === 'token')
    throw new Failure('forbidden', 'A token can neither make nor revoke tokens. Do it in the dashboard, under Settings.');
  return principal;
}

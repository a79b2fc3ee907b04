// Who runs the service: credentials of their own, for `/admin/*` alone.
import type { PrincipalSource } from './principal.ts';
import { sameSecret } from './same-secret.ts';

/** The user `operator` with the configured password, by HTTP Basic; nobody without one. It belongs to no resource. */
export function operatorPrincipal(password: string | undefined): PrincipalSource {
  const expected = password === undefined ? undefined : `operator:${password}`;
  return async (c) => {
    const sent = /^Basic ([A-Za-z0-9+/=]{1,2000})$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (expected === undefined || sent === undefined) return undefined;
    if (!sameSecret(Buffer.from(sent, 'base64').toString('utf8'), expected)) return undefined;
    return { kind: 'operator', resource: '', scope: 'write', name: 'operator' };
  };
}

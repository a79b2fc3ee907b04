import { getConnInfo } from '@hono/node-server/conninfo';
import type { Context } from 'hono';

/** Tells where a request comes from; `unknown` where there is no connection, as in a test that calls the app directly. */
export type AddressOf = (c: Context) => string;

/**
 * `behindRouter`: the last entry of X-Forwarded-For is the router's own word, and counts; entries before it are whatever the client wrote. Without a
 * router the header counts for nothing.
 */
export function createAddressOf(behindRouter: boolean): AddressOf {
  return (c) => {
    const forwarded = behindRouter ? c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim() : undefined;
    if (forwarded !== undefined && /^[0-9a-fA-F.:]{2,45}$/.test(forwarded)) return forwarded;
    try {
      return getConnInfo(c).remote.address ?? 'unknown';
    } catch {
      return 'unknown';
    }
  };
}

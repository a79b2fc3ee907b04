// One POST to an address that a customer chose: it must reach the public internet and nothing of ours (SSRF).
import { Resolver } from 'node:dns/promises';
import { request } from 'node:https';
import { BlockList, isIP } from 'node:net';
import { Failure } from '../schema/failures.ts';

/** Milliseconds for name, connection and answer together. */
const DEADLINE_MS = 10_000;
/** Milliseconds that a name server may take, and how often it is asked; it takes longer with the second time. */
const NAME_SERVER = { timeout: 2_000, tries: 2 };

/** What is not the public internet (IANA special-purpose address registries). */
const SPECIAL = new BlockList();
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  SPECIAL.addSubnet(net, bits, 'ipv4');
const PUBLIC_V6 = new BlockList();
PUBLIC_V6.addSubnet('2000::', 3, 'ipv6');
for (const [net, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  SPECIAL.addSubnet(net, bits, 'ipv6');

/** Whether an address is one of the public internet. IPv6 counts by its global unicast block alone, so mapped forms of IPv4 do not. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !SPECIAL.check(address, 'ipv4');
  return family === 6 && PUBLIC_V6.check(address, 'ipv6') && !SPECIAL.check(address, 'ipv6');
}

export interface WebhookPostDeps {
  /** All addresses of a host name; to be given up with the signal. */
  readonly resolve?: (host: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** Which addresses may be called. */
  readonly allowed?: (address: string) => boolean;
  /** Certificate authority beside the usual ones. */
  readonly ca?: string;
}

/**
 * Sends the body once and answers with the HTTP status. HTTPS only, no redirects; every address of the name must be allowed,
 * and the one that was checked is the one that is called. Throws Failure `webhook_refused` for what must not be called,
 * `webhook_unreachable` when no answer came.
 */
export function createWebhookPost({ resolve = resolveAll, allowed = isPublicAddress, ca }: WebhookPostDeps = {}) {
  return async (url: string, headers: Readonly<Record<string, string>>, body: string): Promise<number> => {
    const target = URL.parse(url);
    if (target === null || target.protocol !== 'https:' || target.username !== '' || target.password !== '')
      throw new Failure('webhook_refused', 'Expected an https:// address without user and password.');
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const host = target.hostname.replace(/^\[|\]$/g, '');
    try {
      const addresses = isIP(host) > 0 ? [host] : await resolve(host, signal);
      const [address] = addresses;
      const forbidden = addresses.find((one) => !allowed(one));
      if (address === undefined || forbidden !== undefined)
        throw new Failure('webhook_refused', `${host} is ${forbidden ?? 'no address'}, expected addresses of the public internet alone.`);
      return await new Promise<number>((done, reject) => {
        const call = request(
          target,
          {
            method: 'POST',
            headers: { ...headers, 'content-length': Buffer.byteLength(body) },
            // pinned: asking again could give another address (DNS rebinding)
            lookup: (_host, options, found) => {
              const family = isIP(address);
              if (options.all) found(null, [{ address, family }]);
              else found(null, address, family);
            },
            agent: false,
            signal,
            ...(ca === undefined ? {} : { ca }),
          },
          (response) => {
            response.resume();
            // what the server says beyond its status is nobody's business here
            response.destroy();
            done(response.statusCode ?? 0);
          },
        );
        call.once('error', reject);
        call.end(body);
      });
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure('webhook_unreachable', `POST to ${host}.`, { cause: error });
    }
  };
}

/**
 * All addresses of a name, IPv4 first, asked of the name servers themselves: getaddrinfo takes one of the few threads for which every new
 * connection of the process waits, and a customer's name server that never answers would hold it. Knows no hosts file. Throws what the
 * name servers say, of both families of addresses when neither has one.
 */
export async function resolveAll(host: string, signal: AbortSignal, resolver = new Resolver(NAME_SERVER)): Promise<readonly string[]> {
  // RFC 6761: no name server is asked for it
  if (host === 'localhost' || host.endsWith('.localhost')) return ['127.0.0.1'];
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const asked = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const found = asked.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length === 0) throw new AggregateError(asked.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : [])));
    return found;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

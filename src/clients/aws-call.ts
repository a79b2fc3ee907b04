// What every AWS call has in common: keys, sockets, a deadline over all tries, and errors read once at the boundary.
import type { Agent as HttpAgent } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { Failure, type FailureCode, messageOf } from '../schema/failures.ts';
import { within } from './deadline.ts';
import type { CallOptions } from './ports.ts';
import { Sha256 } from './sha256.ts';

interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** When they end; a provider is asked again shortly before. */
  readonly expiration?: Date;
}

/** Where an AWS service is and who calls it. The SDKs' own look-up in environment and files serves when `credentials` is left out. */
export interface AwsAccess {
  /** Base URL of a local or compatible service; without it the region's AWS endpoint. */
  readonly endpoint?: string;
  readonly region: string;
  readonly credentials?: AwsKeys | (() => Promise<AwsKeys>);
}

/** Milliseconds to reach the server. SDK v3 has no limit of its own (aws-sdk-js-v3 #6763, #3722). */
export const CONNECT_TIMEOUT_MS = 2_000;
/** Milliseconds for one try of an ordinary call. */
export const TRY_TIMEOUT_MS = 5_000;
/** Milliseconds for a call with all its tries, when the caller names no deadline. */
export const CALL_DEADLINE_MS = 10_000;
/** Tries of one call, the first included; the deadline may end them earlier. */
const MAX_ATTEMPTS = 3;

/** Sockets kept open for the next call. */
export const AGENT_OPTIONS = { keepAlive: true, maxSockets: 128, maxFreeSockets: 64 } as const;

/** The part of an SDK client's configuration that is the same for all of them; `tryTimeout` and `silence` (between two bytes of a body) in milliseconds. */
export function clientConfig(
  access: AwsAccess,
  agents: { httpAgent: HttpAgent; httpsAgent: HttpsAgent },
  {
    tryTimeout = TRY_TIMEOUT_MS,
    maxAttempts = MAX_ATTEMPTS,
    silence,
  }: { tryTimeout?: number; maxAttempts?: number; silence?: number } = {},
) {
  return {
    region: access.region,
    ...(access.credentials === undefined ? {} : { credentials: access.credentials }),
    maxAttempts,
    retryMode: 'standard',
    // without throwOnRequestTimeout a breached requestTimeout is only a warning on the console
    sha256: Sha256,
    requestHandler: {
      ...agents,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: tryTimeout,
      throwOnRequestTimeout: true,
      // requestTimeout ends with the answer's headers; this one is for its body
      ...(silence === undefined ? {} : { socketTimeout: silence }),
    },
  };
}

/** The AWS endpoint of a service in a region; `cn-` regions live under another domain. */
export function awsEndpoint(service: string, region: string): string {
  return `https://${service}.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}

interface AwsError {
  /** Error code of the service (`NoSuchKey`), or of the network (`ECONNREFUSED`). */
  readonly code: string;
  /** HTTP status; undefined when no answer came. */
  readonly status: number | undefined;
}

/** Reads code and HTTP status out of whatever an SDK threw. */
export function readAwsError(error: unknown): AwsError {
  if (!(error instanceof Error)) return { code: 'unknown', status: undefined };
  const metadata = '$metadata' in error && typeof error.$metadata === 'object' ? error.$metadata : null;
  const status = metadata !== null && 'httpStatusCode' in metadata ? metadata.httpStatusCode : undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return { code: error.name === 'Error' ? code : error.name, status: typeof status === 'number' ? status : undefined };
}

/**
 * Makes one call with all its tries within the caller's deadline (10 s without one). `known` turns an error that is an answer
 * into a value; every other error becomes a Failure with code `unavailable`, the SDK's error as its cause. The caller's own
 * abort is thrown as it came.
 */
export async function awsCall<T>(
  unavailable: FailureCode,
  what: string,
  options: CallOptions,
  call: (signal: AbortSignal) => Promise<T>,
  known: (error: AwsError, cause: unknown) => { value: T } | undefined = () => undefined,
): Promise<T> {
  try {
    return await within(options, CALL_DEADLINE_MS, call);
  } catch (error) {
    if (error instanceof Failure) throw error;
    options.signal?.throwIfAborted();
    const read = readAwsError(error);
    const answer = known(read, error);
    if (answer !== undefined) return answer.value;
    throw awsFailure(unavailable, what, error);
  }
}

/** The Failure of a call that got no usable answer. */
export function awsFailure(code: FailureCode, what: string, error: unknown): Failure {
  const read = readAwsError(error);
  const answer = read.status === undefined ? read.code : `HTTP ${read.status} ${read.code}`;
  const message = messageOf(error);
  const hint = read.status === 403 || read.status === 401 ? ' Check the access key, its permissions and the clock of this machine.' : '';
  return new Failure(code, `${what}: ${answer}${message === '' || message === read.code ? '' : ` (${message})`}.${hint}`, { cause: error });
}

// A deadline and the caller's abort as one signal, without timers or listeners left behind.
import type { CallOptions } from './ports.ts';

/** What a call is ended with when its deadline passed. */
class OverdueError extends Error {
  override readonly name = 'OverdueError';
  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
  }
}

/**
 * Runs `call` with a signal that fires at the deadline (`options.deadline` ms, else `fallback` ms) or when the caller aborts, and
 * rejects at that moment with an OverdueError or the caller's reason, whether or not the call listens.
 */
export async function within<T>(options: CallOptions, fallback: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  options.signal?.throwIfAborted();
  const controller = new AbortController();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const end = (reason: unknown) => {
    reject(reason);
    controller.abort(reason);
  };
  const ms = options.deadline ?? fallback;
  const timer = setTimeout(() => end(new OverdueError(ms)), ms);
  const onAbort = () => end(options.signal?.reason);
  options.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([call(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

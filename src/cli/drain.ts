import type { ServerType } from '@hono/node-server';

/** Milliseconds between two looks at which connections have nothing to do any more: the server tells of none. */
const LOOK_MS = 50;

/**
 * Ends a server well: no connection is taken any more, streams end, idle connections are closed, and requests under way are answered; each connection is closed
 * behind its answer. What is left after `deadline` ms is cut off. Resolves when all connections are closed.
 */
export async function drain(server: ServerType, { endStreams, deadline }: { endStreams: () => void; deadline: number }): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  endStreams();
  // HTTP/2, which is not served here, has none of these
  if (!('closeIdleConnections' in server)) return await closed;
  const looking = setInterval(() => server.closeIdleConnections(), LOOK_MS);
  const late = setTimeout(() => server.closeAllConnections(), deadline);
  try {
    await closed;
  } finally {
    clearInterval(looking);
    clearTimeout(late);
  }
}

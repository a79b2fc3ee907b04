// The health check of a container: exit status 0 when the process in it is well. A worker is asked whether it makes
// progress; web only whether it can answer, since a web process is not made better by a restart when workers are stalled.
const worker = process.env['AUTOFILES_WORKER_PORT'];
const port = worker ?? process.env['AUTOFILES_HTTP_PORT'] ?? process.env['PORT'] ?? '8080';
/** Milliseconds; the container's own limit is 10 s. */
const DEADLINE_MS = 8_000;

try {
  const url = `http://127.0.0.1:${port}${worker === undefined ? '/readyz' : '/healthz'}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
  if (!response.ok) console.error(await response.text());
  process.exit(response.ok ? 0 : 1);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

/**
 * The URL that tells whether the process of a container is well: a worker is asked whether it makes progress; web only whether it can answer, since a
 * web process is not made better by a restart when workers are stalled. undefined: a worker without a port of its own, which nobody can ask; it ends
 * itself when it is stalled. `command`: of the container's first process, its words parted by NUL. An empty variable is an unset one.
 */
export function probeTarget(env: Readonly<Record<string, string | undefined>>, command: string): string | undefined {
  const worker = env['AUTOFILES_WORKER_PORT']?.trim();
  if (worker) return `http://127.0.0.1:${worker}/healthz`;
  // a shell in front of it has it all in one word
  if (command.split(/[\0\s]+/).includes('worker')) return undefined;
  const port = env['AUTOFILES_HTTP_PORT']?.trim() || env['PORT']?.trim() || '8080';
  return `http://127.0.0.1:${port}/readyz`;
}

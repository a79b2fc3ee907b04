// The child's side of a supervisor (cli/supervisor.ts), which is its parent at the other end of an IPC channel.

/**
 * Tells the supervisor something, if there is one: `{ready: true, port?}` or `{notice: TEXT}`. One that died a moment ago is no error of this
 * process: the message is dropped, and what is to be done then hangs on `onSupervisorGone`. Without the callback Node throws EPIPE out of the event
 * loop, and this process would end without ending what it started.
 */
export function tellSupervisor(message: { readonly ready: true; readonly port?: number } | { readonly notice: string }): void {
  if (process.connected) process.send?.(message, () => {});
}

/** Calls `work` once when the supervisor has ended, in whatever way, and at once where it had before this call; never where there is none. */
export function onSupervisorGone(work: () => void): void {
  if (process.send === undefined) return;
  if (process.connected) process.once('disconnect', work);
  else work();
}

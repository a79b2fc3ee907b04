/**
 * Tells the supervisor something, if there is one: `{ready: true, port?}` or `{notice: TEXT}`. One that died a moment ago is no error of this
 * process: the message is dropped, and what is to be done then hangs on the `disconnect` that follows. Without the callback Node throws EPIPE
 * out of the event loop, and this process would end without ending what it started.
 */
export function tellSupervisor(message: { readonly ready: true; readonly port?: number } | { readonly notice: string }): void {
  if (process.connected) process.send?.(message, () => {});
}

// The objects that the engine itself writes into a tenant's bucket: exports of ended runs.

/** Below it lie our own objects; an upload there is refused, and none of them is an event, a candidate or in scope of the ledger. */
export const OWN_PREFIX = '.autofiles/';

/** Whether the object of this key is one that the engine wrote, or would have. */
export function isOwnObject(key: string): boolean {
  return key.startsWith(OWN_PREFIX);
}

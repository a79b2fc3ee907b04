/** Whether a time in an address (ms since 1970) is less than `ms` away; what is no time is not. */
export function isRecent(at: string | undefined, now: number, ms: number): boolean {
  return Math.abs(now - Number(at ?? 'none')) < ms;
}

import { readdirSync, readFileSync } from 'node:fs';

/** Seconds of a tick in /proc: Linux' USER_HZ is 100 wherever Node runs. */
const TICK_S = 0.01;

/**
 * Seconds of CPU that a process and its descendants took so far, those that it waited for included. NaN where there is no /proc, as on macOS.
 */
export function treeCpu(root: number): number {
  let names: string[];
  try {
    names = readdirSync('/proc');
  } catch {
    return Number.NaN;
  }
  const found = new Map<number, { parent: number; seconds: number }>();
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // after the command in brackets: state, parent, …; utime, stime, cutime, cstime are fields 14 to 17 (proc(5))
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
      found.set(Number(name), { parent: Number(fields[1]), seconds: ticks * TICK_S });
    } catch {
      // gone since
    }
  }
  let total = 0;
  for (const [pid, { seconds }] of found) {
    let at: number | undefined = pid;
    while (at !== undefined && at !== root) at = found.get(at)?.parent;
    if (at === root) total += seconds;
  }
  return total;
}

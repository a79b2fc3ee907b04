import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

/**
 * What tells a process from a later one that was given the same pid: on Linux the boot's id and the start in clock ticks (field 22 of /proc/PID/stat), elsewhere what `ps` says
 * about its start. Null when there is no such process, or only its exit status waits to be read.
 */
export async function processIdentity(pid: number): Promise<string | null> {
  if (process.platform === 'linux') return linuxIdentity(pid);
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)]);
    return stdout.trim() === '' ? null : stdout.trim();
  } catch {
    // `ps` exits 1 when there is no such process.
    return null;
  }
}

/** The same at once, where the kernel tells without asking another program (Linux); null elsewhere. */
export function linuxIdentity(pid: number): string | null {
  const fields = statFields(pid);
  const started = fields?.[0] === 'Z' ? undefined : fields?.[19];
  const boot = read('/proc/sys/kernel/random/boot_id')?.trim();
  return started === undefined || boot === undefined ? null : `${boot}/${started}`;
}

/** The processes of this user whose environment has `HEROKU_DYNO_ID=<one of ids>`: also those that left their group. Linux only; elsewhere empty. */
export function processesOfDynos(ids: ReadonlySet<string>): Map<number, string> {
  const found = new Map<number, string>();
  if (process.platform !== 'linux' || ids.size === 0) return found;
  for (const pid of processIds()) {
    const environment = read(`/proc/${pid}/environ`);
    const id = environment === undefined ? undefined : /(?:^|\0)HEROKU_DYNO_ID=([^\0]+)/.exec(environment)?.[1];
    if (id !== undefined && ids.has(id)) found.set(pid, id);
  }
  return found;
}

/** Whether a process group has members but none of them runs: all ended and wait for a parent that does not ask. Linux only; elsewhere false. */
export function onlyZombiesIn(group: number): boolean {
  if (process.platform !== 'linux') return false;
  return processIds().every((pid) => {
    const [state, , memberOf] = statFields(pid) ?? [];
    return memberOf !== String(group) || state === 'Z';
  });
}

/** The running processes of a session. Linux only; elsewhere empty. */
export function processesOfSession(session: number): number[] {
  if (process.platform !== 'linux') return [];
  return processIds().filter((pid) => statFields(pid)?.[3] === String(session));
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

// The fields of /proc/PID/stat from the third (state, parent, group, …) on: the second, the command's name, may hold blanks and brackets itself.
function statFields(pid: number): string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

// A process may end between being listed and being read (ENOENT, ESRCH), and another user's environment is not ours to read (EACCES, EPERM).
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
}

import { readdirSync, readFileSync } from 'node:fs';

/** A dyno whose memory and processes are looked at. */
export interface WatchedDyno {
  /** The leader of the dyno's session. */
  pid: number;
  /** Bytes that it may use; processes and threads that Heroku would let it have. */
  quota: DynoQuota;
  say: (text: string) => void;
  kill: () => void;
}

/** What a size of dyno may use. */
export interface DynoQuota {
  memory: number;
  processes: number;
}

/** Looks at what dynos use, for as long as there are any, and says and does what Heroku does about too much. */
export interface QuotaWatch {
  /** Begins to watch; the answer ends it. */
  watch(dyno: WatchedDyno): () => void;
}

interface Usage {
  pids: number[];
  /** Bytes. */
  memory: number;
  threads: number;
}

interface Watched extends WatchedDyno {
  saidAt: number;
  saidProcesses: boolean;
}

// Heroku repeats R14 every 20 s while it lasts.
const repeatMs = 20_000;
const pageBytes = 4_096;

/**
 * Makes the watch. Linux only: elsewhere, and for processes that left the dyno's session, nothing is counted. Memory is what is resident and not shared, as far as /proc tells; R14 above
 * the quota, R15 and SIGKILL above twice as much (heroku.md 4.5). The number of processes is only spoken of: a limit of it would need a control group.
 */
export function createQuotaWatch(deps: { now: () => number; everyMs: number }): QuotaWatch {
  const dynos = new Set<Watched>();
  let timer: NodeJS.Timeout | undefined;

  const look = (): void => {
    const sessions = usageBySession();
    for (const dyno of dynos) {
      const usage = sessions.get(dyno.pid);
      if (usage !== undefined) judge(dyno, usage, deps.now());
    }
  };
  return {
    watch(dyno) {
      const watched = { ...dyno, saidAt: Number.NEGATIVE_INFINITY, saidProcesses: false };
      if (process.platform !== 'linux') return () => undefined;
      dynos.add(watched);
      timer ??= setInterval(look, deps.everyMs);
      return () => {
        dynos.delete(watched);
        if (dynos.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
  };
}

function judge(dyno: Watched, usage: Usage, now: number): void {
  const { memory, processes } = dyno.quota;
  if (usage.threads > processes && !dyno.saidProcesses) {
    dyno.saidProcesses = true;
    dyno.say(`Error: ${usage.threads} processes and threads; Heroku lets a dyno of this size have ${processes} (here nothing stops it)`);
  }
  if (usage.memory <= memory) return;
  // Files and libraries that processes share count once, if at all: only now is it worth asking each process for its own part.
  const own = usage.pids.reduce((sum, pid) => sum + ownMemory(pid), 0);
  if (own <= memory) return;
  const vast = own > 2 * memory;
  if (!vast && now - dyno.saidAt < repeatMs) return;
  dyno.saidAt = now;
  dyno.say(`Process running mem=${(own / 1024 ** 2).toFixed(1)}M(${((own / memory) * 100).toFixed(1)}%)`);
  dyno.say(vast ? 'Error R15 (Memory quota vastly exceeded)' : 'Error R14 (Memory quota exceeded)');
  if (vast) dyno.kill();
}

// One pass over /proc for all dynos. In /proc/PID/stat the name (2nd field) may hold blanks; from the state (3rd) on: session 6th, threads 20th, resident pages 24th.
function usageBySession(): Map<number, Usage> {
  const found = new Map<number, Usage>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = ifThere(`/proc/${name}/stat`);
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields === undefined || fields[0] === 'Z') continue;
    const session = Number(fields[3]);
    const usage = found.get(session) ?? { pids: [], memory: 0, threads: 0 };
    usage.pids.push(Number(name));
    usage.threads += Number(fields[17]);
    usage.memory += Number(fields[21]) * pageBytes;
    found.set(session, usage);
  }
  return found;
}

function ownMemory(pid: number): number {
  const [, resident = 0, shared = 0] = (ifThere(`/proc/${pid}/statm`) ?? '').split(' ').map(Number);
  return Math.max(0, resident - shared) * pageBytes;
}

// A process may end between being listed and being read.
function ifThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

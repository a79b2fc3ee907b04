// What `autofiles doctor` reads of the state: are there workers, and can every resource be served?
import { ALARM_MS } from './credentials.ts';

/** What a step came to. `skipped`: it stands on a step that failed, or is not set up on purpose. */
export interface Finding {
  readonly step: string;
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped';
  /** What was found. */
  readonly found: string;
  /** What to do about it. */
  readonly fix?: string;
}

export interface Fleet {
  readonly alive: number;
  /** What is wrong, each a sentence. */
  readonly problems: readonly string[];
}

/** What a resource's service depends on. */
export interface Installed {
  readonly id: string;
  readonly app: string;
  readonly state: string;
  /** Whose token starts its dynos; `none`: nobody's. */
  readonly permission: string | undefined;
  /** Milliseconds since 1970; undefined: it has no credentials. */
  readonly expiresAt: number | undefined;
  /** What its last provisioning or rotation ended with. */
  readonly error: string | undefined;
}

type Outcome = Omit<Finding, 'step'>;

/** Whether somebody serves. */
export function examineWorkers({ alive, problems }: Fleet): Outcome {
  if (alive === 0) return { state: 'warning', found: 'none has told of itself for a minute', fix: 'Start `autofiles worker`.' };
  if (problems.length > 0) return { state: 'failed', found: problems.join(' '), fix: 'See the logs of the workers.' };
  return { state: 'ok', found: `${alive} alive` };
}

/** Whether all resources have credentials and somebody's leave to start dynos. `now`: milliseconds since 1970. */
export function examineResources(resources: readonly Installed[], now: number): Outcome {
  const faults = resources.flatMap(({ id, app, state, permission, expiresAt, error }) => {
    const who = `${id} (${app})`;
    if (state === 'failed') return [`${who} was not provisioned: ${error ?? 'no reason is known'}`];
    if (state !== 'provisioned') return [];
    if (permission === 'none') return [`${who} has nobody's leave to start dynos: its owner gives it under Settings`];
    if (expiresAt === undefined) return [`${who} has no credentials`];
    if (expiresAt - now < ALARM_MS)
      return [`${who}: credentials end ${new Date(expiresAt).toISOString()}${error === undefined ? '' : `, ${error}`}`];
    return [];
  });
  const [first] = faults;
  if (first === undefined) return { state: 'ok', found: `${resources.length} installed, all with credentials and leave to start dynos` };
  return {
    state: 'failed',
    found: `${faults.length} of ${resources.length}: ${faults.join('; ')}`,
    fix: 'A rotation is ordered under /admin or by `autofiles credentials:rotate`.',
  };
}

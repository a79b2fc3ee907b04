import type { DynoPlatform } from '../clients/ports.ts';
import { messageOf } from '../schema/failures.ts';

/** Milliseconds that an app's process types are remembered; a name that is not among them is looked up anew. */
const CACHE_MS = 60_000;
/** Milliseconds for the look. */
const LOOK_DEADLINE_MS = 3_000;

/** Why a command may not run. `wait`: the platform did not tell, so time decides. */
export interface CommandFault {
  readonly wait: boolean;
  readonly message: string;
}

/** undefined: the command may run. */
export type CommandCheck = (app: string, command: string) => Promise<CommandFault | undefined>;

/**
 * The check of resources that allow process types alone: the command must be the name of one, without arguments, so that who
 * may write to the bucket can choose among what the app's developers wrote and nothing else. `now`: ms of any clock.
 */
export function createCommandCheck(deps: { platform: Pick<DynoPlatform, 'processTypes'>; now: () => number }): CommandCheck {
  const remembered = new Map<string, { until: number; types: readonly string[] }>();
  return async (app, command) => {
    const last = remembered.get(app);
    if (last !== undefined && last.until > deps.now() && last.types.includes(command)) return undefined;
    let types: readonly string[];
    try {
      types = await deps.platform.processTypes(app, { deadline: LOOK_DEADLINE_MS });
    } catch (error) {
      return { wait: true, message: `The process types of ${app} could not be read: ${messageOf(error)}` };
    }
    remembered.set(app, { until: deps.now() + CACHE_MS, types });
    if (types.includes(command)) return undefined;
    const expected = types.length === 0 ? 'none, for it has no Procfile' : types.join(', ');
    return {
      wait: false,
      message: `Found the command ${JSON.stringify(command)}, expected a process type of ${app} without arguments (${expected}): this add-on runs Procfile commands only. Add it to the Procfile, or allow any command with \`autofiles commands any\`.`,
    };
  };
}

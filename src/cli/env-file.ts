// `.autofiles/env` while the local cloud runs: it follows the app's config vars, so that a shell that reads it again has credentials
// that work, after a rotation and after the add-on was removed and created again.
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../schema/failures.ts';
import { type AppFolder, writeEnvFile } from './app-folder.ts';

/** Milliseconds between two looks at the config vars. */
const LOOK_MS = 5_000;

export interface EnvFile {
  /** What stood in it first. */
  readonly variables: Readonly<Record<string, string>>;
  /** Ends the following; resolves when nothing more is written. */
  stop(): Promise<void>;
}

/**
 * Writes the file and follows; `constant` are the variables that stay the same as long as the cloud runs. Throws what `configVars` and the writing throw at
 * first; afterwards `say` gets one line when the file cannot be written (a full disk), and it is tried again at each look.
 */
export async function keepEnvFile(deps: {
  folder: AppFolder;
  configVars: () => Promise<Record<string, string>>;
  constant: Readonly<Record<string, string>>;
  say: (line: string) => void;
}): Promise<EnvFile> {
  const read = async () => {
    const vars = await deps.configVars();
    return { ...Object.fromEntries(Object.entries(vars).filter(([name]) => name.startsWith('LD_'))), ...deps.constant };
  };
  const variables = await read();
  await writeEnvFile(deps.folder, variables);
  const stopping = new AbortController();
  const follow = async (): Promise<void> => {
    let written = JSON.stringify(variables);
    let failing = false;
    for (;;) {
      await sleep(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      // a platform that is being started again is looked at again, with nothing lost
      const next = await read().catch(() => undefined);
      const text = JSON.stringify(next);
      if (next === undefined || text === written || stopping.signal.aborted) continue;
      try {
        await writeEnvFile(deps.folder, next);
        written = text;
        failing = false;
      } catch (error) {
        if (!failing)
          deps.say(
            `${deps.folder.state}/env could not be written (${messageOf(error)}) and has credentials of before; it is tried again every ${LOOK_MS / 1000} s`,
          );
        failing = true;
      }
    }
  };
  const following = follow();
  return {
    variables,
    stop: async () => {
      stopping.abort();
      await following;
    },
  };
}

// `.autofiles/env` while the local cloud runs: it follows the app's config vars, so that a shell that reads it again has credentials
// that work, after a rotation and after the add-on was removed and created again.
import { setTimeout as sleep } from 'node:timers/promises';
import { type AppFolder, writeEnvFile } from './app-folder.ts';

/** Milliseconds between two looks at the config vars. */
const LOOK_MS = 5_000;

export interface EnvFile {
  /** What stood in it first. */
  readonly variables: Readonly<Record<string, string>>;
  /** Ends the following; resolves when nothing more is written. */
  stop(): Promise<void>;
}

/** Writes the file and follows; `constant` are the variables that stay the same as long as the cloud runs. Throws what `configVars` throws at first. */
export async function keepEnvFile(deps: {
  folder: AppFolder;
  configVars: () => Promise<Record<string, string>>;
  constant: Readonly<Record<string, string>>;
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
    for (;;) {
      await sleep(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      // a platform that is being started again is looked at again, with nothing lost
      const next = await read().catch(() => undefined);
      const text = JSON.stringify(next);
      if (next === undefined || text === written || stopping.signal.aborted) continue;
      await writeEnvFile(deps.folder, next);
      written = text;
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

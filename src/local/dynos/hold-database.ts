import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Milliseconds to wait for a platform that still holds the file: one whose parent was killed ends its dynos first, which have 10 s (`shutdownGraceMs`), and then
 * removes their folders.
 */
const waitMs = 15_000;
/** Milliseconds between two tries. */
const tryEveryMs = 50;

/**
 * Opens `file` with the tables of `schema` for this process alone, waiting for another one that ends. `onWait` is called once when it has to.
 * @throws Error when another process goes on holding it or the file is not ours.
 */
export async function holdDatabase(file: string, schema: string, onWait: () => void): Promise<DatabaseSync> {
  for (let waited = 0; ; waited += tryEveryMs) {
    try {
      return open(file, schema);
    } catch (cause) {
      if (!(cause instanceof Error && /locked|busy/i.test(cause.message)))
        throw new Error(`${file} could not be opened as the dynos platform's state; move it away to start afresh`, { cause });
      if (waited >= waitMs)
        throw new Error(`${file} is held by another dynos platform; stop that one first or give AUTOFILES_DYNOS_DIR another folder`, {
          cause,
        });
    }
    if (waited === 0) onWait();
    await delay(tryEveryMs);
  }
}

function open(file: string, schema: string): DatabaseSync {
  const db = new DatabaseSync(file);
  try {
    // The lock lives as long as this process (the kernel drops it on kill -9). NORMAL: a commit survives kill -9; power loss may cost the last ones, never the file.
    // No busy_timeout: SQLite would wait without letting anything else of this process run, a signal included.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 0;');
    db.exec(`BEGIN EXCLUSIVE; ${schema} COMMIT;`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

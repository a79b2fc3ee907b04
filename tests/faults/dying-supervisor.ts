// Loaded into the children of a start. At the one whose command line ends with DIES_AT the supervisor dies: before the child has loaded its own code
// (DIES_WHEN loading), or between the child's look whether it is there and the word that it is ready, which therefore cannot be sent (DIES_WHEN ready).
// The child's exit status is then written to ENDED_WITH.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';

const { DIES_AT: name = '', DIES_WHEN: when, ENDED_WITH: ended = '' } = process.env;
const send: ((message: unknown, ...more: never[]) => boolean) | undefined = process.send?.bind(process);

if (send !== undefined && name !== '' && process.argv.join(' ').endsWith(name)) {
  process.on('exit', (status) => writeFileSync(ended, String(status)));
  if (when === 'loading') {
    process.kill(process.ppid, 'SIGKILL');
    await once(process, 'disconnect');
  } else
    process.send = (...message: Parameters<typeof send>) => {
      const supervisor = process.ppid;
      process.kill(supervisor, 'SIGKILL');
      // its children get another parent when the last of its threads has let go of its files
      while (process.ppid === supervisor) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      return send(...message);
    };
}

// Loaded into the children of a start. In the one whose command line ends with DIES_AS_READY, the supervisor dies between the child's look
// whether it is there and its message to it, which therefore cannot be sent; the child's exit status is then written to ENDED_WITH.
import { writeFileSync } from 'node:fs';

const name = process.env['DIES_AS_READY'] ?? '';
const send: ((message: unknown, ...more: never[]) => boolean) | undefined = process.send?.bind(process);

if (send !== undefined && name !== '' && process.argv.join(' ').endsWith(name)) {
  process.on('exit', (status) => writeFileSync(process.env['ENDED_WITH'] ?? '', String(status)));
  process.send = (...message: Parameters<typeof send>) => {
    const supervisor = process.ppid;
    process.kill(supervisor, 'SIGKILL');
    // its children get another parent when the last of its threads has let go of its files
    while (process.ppid === supervisor) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    return send(...message);
  };
}

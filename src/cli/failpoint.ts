import { writeSync } from 'node:fs';
import { ADDON_FAILPOINTS, FAILPOINTS, type Failpoint } from '../schema/failpoint.ts';
import { Failure } from '../schema/failures.ts';

const STDERR = 2;

/**
 * `AUTOFILES_FAILPOINT=name:n[:signal]`, or several of them with commas between: at the n-th passing of such a place the
 * process says which one it is on stderr and sends itself the signal (SIGKILL, or SIGSTOP to be continued later). For tests
 * of crashes. Throws Failure config_invalid in production and for a name that is no failpoint.
 */
export function readFailpoint(setting: string | undefined, production: boolean): Failpoint {
  if (setting === undefined || setting === '') return () => {};
  if (production)
    throw new Failure('config_invalid', 'AUTOFILES_FAILPOINT is set, which kills this process on purpose; it has no place in production.');
  const known = { ...FAILPOINTS, ...ADDON_FAILPOINTS };
  const left = new Map<string, number>();
  const signals = new Map<string, string>();
  for (const one of setting.split(',')) {
    const [name = '', count = '1', signal = 'SIGKILL'] = one.split(':');
    if (!Object.hasOwn(known, name))
      throw new Failure('config_invalid', `AUTOFILES_FAILPOINT: found the name ${name}, expected one of ${Object.keys(known).join(', ')}.`);
    left.set(name, Number(count));
    signals.set(name, signal);
  }
  return (name) => {
    const before = left.get(name);
    if (before === undefined) return;
    left.set(name, before - 1);
    if (before !== 1) return;
    writeSync(STDERR, `failpoint ${name}\n`);
    process.kill(process.pid, signals.get(name));
  };
}

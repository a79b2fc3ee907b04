import { ADDON_FAILPOINTS, FAILPOINTS, type Failpoint } from '../schema/failpoint.ts';
import { Failure } from '../schema/failures.ts';

/**
 * `AUTOFILES_FAILPOINT=name:n[:signal]`: at the n-th passing of that place the process sends itself the signal (SIGKILL,
 * or SIGSTOP to be continued later). For tests of crashes; refused in production.
 */
export function readFailpoint(setting: string | undefined, production: boolean): Failpoint {
  if (setting === undefined || setting === '') return () => {};
  if (production)
    throw new Failure('config_invalid', 'AUTOFILES_FAILPOINT is set, which kills this process on purpose; it has no place in production.');
  const [wanted, count = '1', signal = 'SIGKILL'] = setting.split(':');
  const known = { ...FAILPOINTS, ...ADDON_FAILPOINTS };
  if (!Object.hasOwn(known, wanted ?? ''))
    throw new Failure('config_invalid', `AUTOFILES_FAILPOINT: found the name ${wanted}, expected one of ${Object.keys(known).join(', ')}.`);
  let left = Number(count);
  return (name) => {
    if (name !== wanted) return;
    left -= 1;
    if (left === 0) process.kill(process.pid, signal);
  };
}

// What dynos may do with what they are given.
import type { CaseFile } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

export function freshEnough(file: CaseFile): Finding {
  const i = look('I25', 'the credentials that a dyno is given are good until it has written its output', ['writes of dynos']);
  for (const { own, bucket, allowed } of file.of('access'))
    if (own) i.holds('writes of dynos', allowed, () => `a dyno was not allowed to write into its own bucket ${bucket}`);
  return i.done();
}

export function credentialWall(file: CaseFile): Finding {
  const i = look('I27', 'no credentials of one resource open the bucket of another', ['writes into a foreign bucket tried']);
  for (const { own, bucket, allowed } of file.of('access'))
    if (!own) i.holds('writes into a foreign bucket tried', !allowed, () => `a dyno of another resource wrote into ${bucket}`);
  return i.done();
}

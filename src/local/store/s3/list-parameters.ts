import { encodePercent } from '../http-request.ts';
import { S3Error } from '../s3-error.ts';
import { param, type S3Context } from './context.ts';

// A page of any S3 list has at most this many entries.
const MAX_ENTRIES = 1000;

/** A `max-…` parameter: 1,000 when absent or larger. Throws S3Error InvalidArgument for anything but a number. */
export function readCount(context: S3Context, name: string): number {
  const text = param(context, name);
  if (text === undefined || text === '') return MAX_ENTRIES;
  if (!/^\d{1,10}$/.test(text) || Number(text) > 2_147_483_647) {
    throw new S3Error('InvalidArgument', `Provided ${name} not an integer or within integer range`, {
      details: { ArgumentName: name, ArgumentValue: text },
    });
  }
  return Math.min(Number(text), MAX_ENTRIES);
}

/** How keys are written in a list: percent-encoded with `encoding-type=url` (`/` kept), else as they are. */
export function urlEncoder(context: S3Context): (text: string) => string {
  const type = param(context, 'encoding-type');
  if (type === undefined || type === '') return (text) => text;
  if (type !== 'url')
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request', {
      details: { ArgumentName: 'encoding-type', ArgumentValue: type },
    });
  return (text) => encodePercent(text).replaceAll('%2F', '/');
}

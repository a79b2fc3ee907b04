import type { IncomingMessage } from 'node:http';
import { type Chaos, parseChaos } from './chaos.ts';
import type { ParsedRequest } from './http-request.ts';
import { receiveText } from './receive-body.ts';
import type { Answer } from './s3/context.ts';
import { S3Error } from './s3-error.ts';
import type { Verifier } from './sigv4.ts';

const MAX_BODY = 4096;

/** GET and PUT of `/_autofiles/chaos`, signed by the root credential for the service s3. No bucket can have that name. */
export async function serveSwitch(
  deps: { chaos: Chaos; verifier: Verifier },
  req: IncomingMessage,
  request: ParsedRequest,
): Promise<Answer> {
  const { credential, payload } = await deps.verifier.verify(request, { service: 's3' });
  if (!credential.root) throw new S3Error('AccessDenied');
  if (request.rawPath !== '/_autofiles/chaos') throw new S3Error('NotImplemented', 'The store has one switch: /_autofiles/chaos.');
  if (request.method === 'PUT') {
    const { text } = await receiveText({ req, headers: request.headers, payload }, MAX_BODY);
    deps.chaos.set(readSettings(text));
  } else if (request.method !== 'GET') throw new S3Error('MethodNotAllowed');
  return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(deps.chaos.current())) };
}

function readSettings(text: string) {
  try {
    return parseChaos(text);
  } catch (error) {
    throw new S3Error('InvalidArgument', error instanceof Error ? error.message : String(error));
  }
}

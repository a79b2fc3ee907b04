// Stands before the local store, notes what passes (objects written, messages handed out and deleted) and breaks some of it:
// S3 and SQS as they misbehave, on the wire. Requests keep their Host, so their signatures stay valid.
import { once } from 'node:events';
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { ObjectId } from './checker/evidence.ts';
import type { Dice } from './dice.ts';
import type { Ledger } from './ledger.ts';
import {
  type Answer,
  answerExpired,
  collect,
  fail,
  header,
  objectOf,
  oneFailed,
  placeOf,
  recordsOf,
  type SqsMessage,
  versionOf,
} from './store-wire.ts';

/** Shares of the engine's requests that go wrong. */
export interface StoreFaults {
  /** HEAD and GET of an object answer 503 SlowDown. */
  readonly slowDown: number;
  /** HEAD and GET of an object answer 403 AccessDenied, as while a policy is changed. */
  readonly forbidden: number;
  /** The body of an object breaks off in the middle. */
  readonly torn: number;
  /** A batch of deletes is refused: its receipts have expired. */
  readonly expired: number;
  /** STS refuses to give credentials. */
  readonly sts: number;
  /** An answer comes seconds late. */
  readonly stall: number;
  /** A receive or delete is done and its answer is lost. */
  readonly lostAnswer: number;
  /** A batch of deletes does one entry less and says so. */
  readonly partialDelete: number;
  /** Every request is refused. */
  readonly down: boolean;
}

export const NO_STORE_FAULTS: StoreFaults = {
  slowDown: 0,
  forbidden: 0,
  torn: 0,
  expired: 0,
  sts: 0,
  stall: 0,
  lostAnswer: 0,
  partialDelete: 0,
  down: false,
};

/** What `x-amz-meta-spoil` of an upload wants: when, seen from the HEAD of its version, and what. */
const SPOILS: Readonly<Record<string, readonly ['before' | 'after', 'remove' | 'overwrite']>> = {
  unread: ['before', 'remove'],
  gone: ['after', 'remove'],
  overwritten: ['after', 'overwrite'],
};

/** Milliseconds of a stalled answer. */
const STALL_MS = 3_000;

export interface StoreTap {
  /** For the engine: faults apply. */
  readonly faulty: number;
  /** For dynos and the driver: everything passes. */
  readonly clean: number;
  set(faults: StoreFaults): void;
  /** New PUTs wait until `release`; resolves when none is under way, so that none is left in doubt when the store dies. */
  hold(): Promise<void>;
  release(): void;
  close(): Promise<void>;
}

/** Starts the tap. `port`: the store's. `discard` deletes a message whose event is to be lost. */
export async function startStoreTap(deps: {
  port: () => number;
  dice: Dice;
  ledger: Ledger;
  discard: (receipt: string) => Promise<void>;
  /** Deletes an object version for good. */
  remove: (object: ObjectId) => Promise<void>;
  /** Writes another object in its place, which asks for nothing. */
  overwrite: (object: ObjectId) => Promise<void>;
  /** Whether the engine accounts for each of these versions; undefined when Redis does not say. */
  accounted: (versions: readonly ObjectId[]) => Promise<readonly boolean[] | undefined>;
}): Promise<StoreTap> {
  const { dice, ledger } = deps;
  const agent = new Agent({ keepAlive: true, maxSockets: 200 });
  let faults = NO_STORE_FAULTS;
  const receipts = new Map<string, { readonly message: string; readonly records: readonly ObjectId[] }>();
  /** Versions that ask for nothing: they leave no trace but in the account. */
  const plain = new Set<string>();
  const silent = new Set<string>();
  const spoils = new Map<string, { readonly when: string; done?: Promise<void> }>();
  const putting = new Set<Promise<unknown>>();
  let held: PromiseWithResolvers<void> | undefined;

  /** What the driver wants done to an object when it is first looked at, once; whoever looks meanwhile waits. */
  const spoil = async (object: ObjectId, moment: 'before' | 'after'): Promise<void> => {
    const wanted = object.version === '' ? undefined : spoils.get(placeOf(object));
    if (wanted === undefined) return;
    if (wanted.done === undefined && SPOILS[wanted.when]?.[0] === moment)
      wanted.done = (SPOILS[wanted.when]?.[1] === 'remove' ? deps.remove : deps.overwrite)(object);
    await wanted.done;
  };

  const forward = (request: IncomingMessage, body: Buffer, gone: AbortSignal): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const upstream = httpRequest(
        {
          host: '127.0.0.1',
          port: deps.port(),
          method: request.method,
          path: request.url,
          headers: request.headers,
          agent,
          signal: gone,
          setHost: false,
        },
        (response) => {
          collect(response).then(
            (answer) => resolve({ status: response.statusCode ?? 502, headers: response.headers, body: answer }),
            reject,
          );
        },
      );
      upstream.once('error', reject);
      upstream.end(body);
    });

  const serve = async (request: IncomingMessage, response: ServerResponse, breakable: boolean): Promise<void> => {
    const began = Date.now();
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const body = await collect(request);
    const target = String(request.headers['x-amz-target'] ?? '').split('.')[1];
    const active = breakable ? faults : NO_STORE_FAULTS;
    const object = target === undefined ? objectOf(request.url ?? '') : undefined;
    if (object !== undefined && request.method === 'HEAD' && object.version === '' && object.key.startsWith('out/'))
      ledger.note({ kind: 'look', t: began, bucket: object.bucket, key: object.key });
    if (active.down) return fail(response, 503, 'ServiceUnavailable');
    const reads = object !== undefined && (request.method === 'HEAD' || request.method === 'GET');
    if (reads && dice.chance(active.slowDown)) return fail(response, 503, 'SlowDown');
    if (reads && dice.chance(active.forbidden)) return fail(response, 403, 'AccessDenied');
    if (active.sts > 0 && /^Action=(AssumeRole|GetFederationToken)\b|&Action=(AssumeRole|GetFederationToken)\b/.test(body.toString()))
      if (dice.chance(active.sts)) return fail(response, 403, 'AccessDenied');
    if (target === 'DeleteMessageBatch' && dice.chance(active.expired)) return answerExpired(response, body);
    if (breakable && object !== undefined && request.method === 'HEAD') await spoil(object, 'before');
    if (target === 'DeleteMessageBatch' || target === 'DeleteMessage') await noteDeletes(target, body, began);
    const isPut = request.method === 'PUT' && object !== undefined;
    if (isPut) await held?.promise;
    // its event is on its way before its answer is
    if (isPut && header(request.headers, 'x-amz-meta-lost') !== undefined) silent.add(placeOf(object));
    const when = isPut ? header(request.headers, 'x-amz-meta-spoil') : undefined;
    if (isPut && when !== undefined) spoils.set(placeOf(object), { when });
    const asking = forward(request, body, isPut ? new AbortController().signal : gone.signal);
    if (isPut) {
      putting.add(asking);
      asking.catch(() => {}).finally(() => putting.delete(asking));
    }
    const answer = await asking;
    if (breakable && object !== undefined && request.method === 'HEAD') await spoil(object, 'after');
    let changed = answer;
    if (target === 'ReceiveMessage') changed = await noteReceive(answer);
    if (isPut && answer.status === 200) notePut(request, object, answer, began, body);
    const bucket = request.method === 'PUT' && answer.status === 200 ? /^\/([^/?]+)\/?$/.exec(request.url ?? '')?.[1] : undefined;
    if (bucket !== undefined) ledger.note({ kind: 'bucket', bucket });
    if (target === 'DeleteMessageBatch' && dice.chance(active.partialDelete)) changed = oneFailed(answer);
    if ((target === 'ReceiveMessage' || target === 'DeleteMessageBatch') && dice.chance(active.lostAnswer)) {
      request.socket.destroy();
      return;
    }
    if (dice.chance(active.stall)) await new Promise((resolve) => setTimeout(resolve, STALL_MS));
    if (response.destroyed) return;
    const { 'transfer-encoding': _chunked, connection: _connection, ...headers } = changed.headers;
    const length = request.method === 'HEAD' ? {} : { 'content-length': changed.body.length };
    response.writeHead(changed.status, { ...headers, ...length });
    if (object !== undefined && request.method === 'GET' && changed.status === 200 && dice.chance(active.torn)) {
      response.write(changed.body.subarray(0, changed.body.length / 2), () => response.destroy());
      return;
    }
    response.end(changed.body);
  };

  const notePut = (request: IncomingMessage, object: ObjectId, answer: Answer, began: number, body: Buffer) => {
    const version = answer.headers['x-amz-version-id'];
    if (typeof version !== 'string' || body.length === 0) return;
    const meta = (name: string) => header(request.headers, `x-amz-meta-${name}`);
    const [taskId, run, code] = [meta('ld_task_id'), meta('ld_run'), meta('ld_code')];
    const id = { bucket: object.bucket, key: object.key, version };
    const lost = meta('lost') !== undefined;
    const readable = meta('spoil') === undefined || meta('spoil') === 'overwritten';
    const asks = taskId !== undefined || run !== undefined || code !== undefined;
    if (!(asks && readable) && !object.key.startsWith('.autofiles/')) plain.add(versionOf(id));
    ledger.note({
      kind: 'put',
      ...id,
      began,
      ...(taskId === undefined ? {} : { taskId }),
      ...(run === undefined ? {} : { run: true }),
      ...(code === undefined ? {} : { code }),
      ...(lost ? { silent: true } : {}),
    });
  };

  const noteReceive = async (answer: Answer): Promise<Answer> => {
    if (answer.status !== 200) return answer;
    const parsed = JSON.parse(answer.body.toString()) as { Messages?: SqsMessage[] };
    const kept: SqsMessage[] = [];
    for (const message of parsed.Messages ?? []) {
      const records = recordsOf(message.Body);
      // an event that is lost on its way: S3 promises none, and at least one in a while is
      if (records.some((record) => silent.has(placeOf(record)))) {
        await deps.discard(message.ReceiptHandle);
        continue;
      }
      receipts.set(message.ReceiptHandle, { message: message.MessageId, records });
      ledger.note({
        kind: 'receive',
        message: message.MessageId,
        count: Number(message.Attributes?.ApproximateReceiveCount ?? 1),
        records,
        // as much of it as is kept when it is set aside
        ...(records.length === 0 ? { body: message.Body.slice(0, 1_000) } : {}),
      });
      kept.push(message);
    }
    if (kept.length === (parsed.Messages ?? []).length) return answer;
    return { ...answer, body: Buffer.from(JSON.stringify({ ...parsed, Messages: kept })) };
  };

  const noteDeletes = async (target: string, body: Buffer, t: number) => {
    const parsed = JSON.parse(body.toString()) as { Entries?: { ReceiptHandle: string }[]; ReceiptHandle?: string };
    const handles =
      target === 'DeleteMessage' ? [parsed.ReceiptHandle ?? ''] : (parsed.Entries ?? []).map(({ ReceiptHandle }) => ReceiptHandle);
    for (const handle of handles) {
      const handed = receipts.get(handle);
      if (handed === undefined) continue;
      const asked = handed.records.filter((record) => plain.has(versionOf(record)));
      const said = asked.length === 0 ? undefined : await deps.accounted(asked);
      const accounts = said === undefined ? {} : { accounts: asked.map((id, n) => ({ ...id, accounted: said[n] === true })) };
      ledger.note({ kind: 'delete', t, message: handed.message, ok: true, ...accounts });
    }
  };

  const start = async (breakable: boolean) => {
    const server = createServer((request, response) => {
      serve(request, response, breakable).catch(() => response.destroy());
    });
    server.keepAliveTimeout = 60_000;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
  };
  const [faulty, clean] = await Promise.all([start(true), start(false)]);

  return {
    faulty: faulty.port,
    clean: clean.port,
    set: (next) => {
      faults = next;
    },
    hold: async () => {
      held ??= Promise.withResolvers();
      while (putting.size > 0) await Promise.allSettled(putting);
    },
    release: () => {
      held?.resolve();
      held = undefined;
    },
    close: async () => {
      for (const { server } of [faulty, clean]) {
        const closed = once(server, 'close');
        server.close();
        server.closeAllConnections();
        await closed;
      }
      agent.destroy();
    },
  };
}

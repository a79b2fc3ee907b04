// The REST API as the commands use it: openapi-fetch over the types that are generated from the API's own document
// (api-types.ts), so that a call that the server does not know does not compile.
import { EventSourceParserStream } from 'eventsource-parser/stream';
import createClient, { type Client } from 'openapi-fetch';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { ContainerCredentials, type ResourceSettings, ResourceView } from '../schema/api-views.ts';
import { allFailureCodes, Failure, failureKind } from '../schema/failures.ts';
import { type BackfillOrder, BackfillPage, LedgerAudit, type SetAside, SetAsideList } from '../schema/ledger-view.ts';
import { HistoryEntry, RunPage, type RunSummary, RunView } from '../schema/run-view.ts';
import type { paths } from './api-types.ts';

/** Milliseconds for an ordinary answer, and for one that lists a whole bucket. */
const DEADLINE_MS = 10_000;
const BUCKET_DEADLINE_MS = 300_000;
/** Milliseconds until a stream that broke is taken up again. */
const STREAM_AGAIN_MS = 200;
/** How often a call is made that may be made again, and milliseconds in between: Redis is away for seconds where it is started anew or fails over. */
const CALLS = 4;
const AGAIN_MS = 1_000;

type Query<Path extends keyof paths> = paths[Path] extends { get: { parameters: { query?: infer Q } } } ? NonNullable<Q> : never;
type Body<Path extends keyof paths> = paths[Path] extends { post: { requestBody: { content: { 'application/json': infer B } } } }
  ? B
  : never;

/** Which runs are wanted. */
export type RunsQuery = Query<'/v1/runs'>;
/** What of an ended run runs again. */
export type RetryOrder = Body<'/v1/runs/{id}/retry'>;

const checks = {
  runPage: Compile(RunPage),
  runView: Compile(RunView),
  historyEntry: Compile(HistoryEntry),
  resource: Compile(ResourceView),
  started: Compile(Type.Object({ id: Type.String() })),
  cancelled: Compile(Type.Object({ id: Type.String(), state: Type.String() })),
  credentials: Compile(ContainerCredentials),
  requested: Compile(Type.Object({ requested_at: Type.String() })),
  audit: Compile(LedgerAudit),
  backfill: Compile(BackfillPage),
  setAside: Compile(SetAsideList),
  problem: Compile(Type.Object({ title: Type.String(), detail: Type.String() })),
};

export type Api = ReturnType<typeof createApi>;

/** Calls that answer with what the schema of their answer says, and throw Failure with the server's own code and words. */
export function createApi(access: { readonly url: string; readonly token: string }) {
  const client = openClient(access, DEADLINE_MS);
  const patient = openClient(access, BUCKET_DEADLINE_MS);
  const of = (id: string) => ({ params: { path: { id } } });

  return {
    runs: async (query: RunsQuery): Promise<readonly RunSummary[]> =>
      await repeated(async () => answered(await client.GET('/v1/runs', { params: { query } }), checks.runPage).runs, isRefused),
    run: async (id: string): Promise<RunView> =>
      await repeated(async () => answered(await client.GET('/v1/runs/{id}', of(id)), checks.runView), isRefused),
    cancel: async (id: string) => answered(await client.POST('/v1/runs/{id}/cancel', of(id)), checks.cancelled),
    /** Runs an ended run again; answers with the new run's id. `key` names that run, so that an order whose answer was lost is given again and starts one. */
    retry: async (id: string, body: RetryOrder, key: string): Promise<string> => {
      const headers = { 'idempotency-key': key };
      return await repeated(
        async () => answered(await client.POST('/v1/runs/{id}/retry', { ...of(id), body, headers }), checks.started).id,
        isAway,
      );
    },
    resource: async (): Promise<ResourceView> => answered(await client.GET('/v1/resource'), checks.resource),
    /** Changes what is given; answers with what stands then. */
    changeResource: async (body: ResourceSettings): Promise<ResourceView> =>
      answered(await client.PATCH('/v1/resource', { body }), checks.resource),
    credentials: async () => answered(await client.GET('/v1/credentials'), checks.credentials),
    rotateCredentials: async () => answered(await client.POST('/v1/credentials/rotate'), checks.requested),
    /** What was set aside last, newest first. */
    setAside: async (): Promise<readonly SetAside[]> => answered(await client.GET('/v1/ledger/quarantined'), checks.setAside).set_aside,
    /** Compares the whole bucket with the decisions, page by page; `onPage` hears what was found so far whenever there is more to come. */
    audit: async (onPage: (soFar: LedgerAudit) => void = () => {}): Promise<LedgerAudit> => {
      let sum: LedgerAudit | undefined;
      for (;;) {
        const body = sum === undefined || sum.next === null ? {} : { cursor: sum.next };
        const page = answered(await patient.POST('/v1/ledger/audit', { body }), checks.audit);
        sum = sum === undefined ? page : addedUp(sum, page);
        if (sum.next === null) return sum;
        onPage(sum);
      }
    },
    /** One page of what would run, or runs, after all. */
    backfill: async (body: BackfillOrder): Promise<BackfillPage> =>
      answered(await patient.POST('/v1/ledger/backfill', { body }), checks.backfill),
    /** Calls back for every entry of the run's history, those before included; resolves when the run has ended. */
    follow: async (id: string, onEntry: (entry: HistoryEntry) => void | Promise<void>, signal: AbortSignal): Promise<void> => {
      let last = 0;
      for (;;) {
        // a stream that breaks is taken up again where it broke
        try {
          const answer = await client.GET('/v1/runs/{id}/events', {
            params: { path: { id }, query: { after: last } },
            headers: { accept: 'text/event-stream' },
            parseAs: 'stream',
            signal,
          });
          if (answer.error !== undefined || !answer.data) throw refusal(answer);
          for await (const { event, data } of answer.data.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())) {
            if (event === 'end') return;
            const entry = parsed(JSON.parse(data), checks.historyEntry);
            last = entry.n;
            await onEntry(entry);
          }
        } catch (error) {
          if (signal.aborted || (error instanceof Failure && !isAway(error))) throw error;
        }
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, STREAM_AGAIN_MS));
      }
    },
  };
}

/** Whether the server said that Redis is away. */
const isRefused = ({ code }: Failure) => code === 'redis_unavailable';
/** The same, or nobody said anything: what became of the call is not known. */
const isAway = (error: Failure) => isRefused(error) || error.code === 'not_running';

/** What a call that may be made again comes to. */
async function repeated<T>(call: () => Promise<T>, again: (error: Failure) => boolean): Promise<T> {
  for (let made = 1; ; made += 1) {
    try {
      return await call();
    } catch (error) {
      if (made === CALLS || !(error instanceof Failure) || !again(error)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Two parts of one audit as one: the numbers of both, the watermark that stood last. */
function addedUp(before: LedgerAudit, page: LedgerAudit): LedgerAudit {
  const oldest = [before.oldest_unaccounted, page.oldest_unaccounted].filter((version) => version !== null);
  return {
    ...page,
    in_scope: before.in_scope + page.in_scope,
    accounted_for: before.accounted_for + page.accounted_for,
    in_flight: before.in_flight + page.in_flight,
    missing: before.missing + page.missing,
    before_account: before.before_account + page.before_account,
    oldest_unaccounted: oldest.toSorted((a, b) => Date.parse(a.saved_at) - Date.parse(b.saved_at))[0] ?? null,
  };
}

/** Sends with the token and a deadline (a stream has none: it lasts as long as what it tells of). */
function openClient({ url, token }: { readonly url: string; readonly token: string }, deadline: number): Client<paths> {
  return createClient<paths>({
    baseUrl: url,
    headers: { authorization: `Bearer ${token}` },
    // lists as the document has them: by commas
    querySerializer: { array: { style: 'form', explode: false } },
    fetch: async (request) => {
      const stream = request.headers.get('accept') === 'text/event-stream';
      const signals = [request.signal, ...(stream ? [] : [AbortSignal.timeout(deadline)])];
      try {
        return await fetch(request, { redirect: 'error', signal: AbortSignal.any(signals) });
      } catch (cause) {
        if (request.signal.aborted) throw cause;
        throw new Failure('not_running', `Nothing answers at ${url}. Start it with \`autofiles start\`.`, { cause });
      }
    },
  });
}

interface Answer {
  readonly data?: unknown;
  readonly error?: unknown;
  readonly response: Response;
}
interface Check<T> {
  Check(value: unknown): value is T;
}

function answered<T>(answer: Answer, check: Check<T>): T {
  if (answer.error !== undefined || !answer.response.ok) throw refusal(answer);
  return parsed(answer.data, check);
}

/** What the server said in its problem+json, or its status where something before the server answered. */
function refusal({ error, response }: Answer): Failure {
  if (!checks.problem.Check(error)) {
    const code = response.status === 404 ? 'not_found' : response.status === 401 ? 'unauthorized' : 'request_invalid';
    return new Failure(code, `${response.url} answered ${response.status} ${response.statusText}.`);
  }
  const { title, detail } = error;
  const code = allFailureCodes().find((one) => one === title) ?? 'request_invalid';
  // the message begins with the code's own sentence, which Failure puts there again
  const opening = failureKind(code).message;
  return new Failure(code, detail.startsWith(opening) ? detail.slice(opening.length).trimStart() : detail);
}

function parsed<T>(value: unknown, check: Check<T>): T {
  if (check.Check(value)) return value;
  throw new Failure(
    'internal',
    `The server answered with something unexpected: ${JSON.stringify(value)?.slice(0, 200)}. Is it of another version?`,
  );
}

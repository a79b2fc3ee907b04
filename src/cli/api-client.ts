import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { type ResourceSettings, ResourceView } from '../schema/api-views.ts';
import { Failure } from '../schema/failures.ts';
import { type HistoryEntry, HistoryEntry as HistoryEntrySchema, RunPage, type RunSummary, RunView } from '../schema/run-view.ts';

/** Milliseconds for an ordinary answer. */
const DEADLINE_MS = 10_000;

const runPage = Compile(RunPage);
const runView = Compile(RunView);
const historyEntry = Compile(HistoryEntrySchema);
const resourceView = Compile(ResourceView);
const started = Compile(Type.Object({ id: Type.String() }));
const problemReply = Compile(Type.Object({ detail: Type.String() }));

export interface Api {
  runs(query: Readonly<Record<string, string>>): Promise<readonly RunSummary[]>;
  run(id: string): Promise<RunView>;
  cancel(id: string): Promise<unknown>;
  /** Runs an ended run again; answers with the new run's id. */
  retry(id: string, order: { mode: string; step?: number; task?: string; workflow?: unknown }): Promise<string>;
  resource(): Promise<ResourceView>;
  /** Changes what is given; answers with what stands then. */
  changeResource(settings: ResourceSettings): Promise<ResourceView>;
  /** Calls back for every entry of the run's history, those before included; resolves when the run has ended. */
  follow(id: string, onEntry: (entry: HistoryEntry) => void | Promise<void>, signal: AbortSignal): Promise<void>;
}

/** The REST API as the commands use it. Throws Failure with the server's own words. */
export function createApi(access: { url: string; token: string }): Api {
  const headers = { authorization: `Bearer ${access.token}` };

  const call = async (path: string, init: RequestInit & { signal?: AbortSignal } = {}): Promise<Response> => {
    let response: Response;
    try {
      response = await fetch(new URL(path, access.url), {
        ...init,
        headers: { ...headers, ...init.headers },
        signal: init.signal ?? AbortSignal.timeout(DEADLINE_MS),
      });
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      throw new Failure('not_running', `Nothing answers at ${access.url}. Start it with \`autofiles start\`.`, { cause });
    }
    if (response.ok) return response;
    const body: unknown = await response.json().catch(() => undefined);
    const words = problemReply.Check(body) ? body.detail : `${response.status} ${response.statusText}`;
    throw new Failure(response.status === 404 ? 'not_found' : response.status === 401 ? 'unauthorized' : 'request_invalid', words);
  };

  const api: Api = {
    runs: async (query) => parsed(runPage, await (await call(`/v1/runs?${new URLSearchParams(query)}`)).json()).runs,
    run: async (id) => parsed(runView, await (await call(`/v1/runs/${encodeURIComponent(id)}`)).json()),
    cancel: async (id) => await (await call(`/v1/runs/${encodeURIComponent(id)}/cancel`, { method: 'POST' })).json(),
    retry: async (id, order) => {
      const response = await call(`/v1/runs/${encodeURIComponent(id)}/retry`, { method: 'POST', body: JSON.stringify(order) });
      return parsed(started, await response.json()).id;
    },
    resource: async () => parsed(resourceView, await (await call('/v1/resource')).json()),
    changeResource: async (settings) =>
      parsed(resourceView, await (await call('/v1/resource', { method: 'PATCH', body: JSON.stringify(settings) })).json()),
    follow: async (id, onEntry, signal) => {
      let last = 0;
      for (;;) {
        // a stream that breaks is taken up again where it broke
        try {
          const response = await call(`/v1/runs/${encodeURIComponent(id)}/events`, { signal, headers: { 'last-event-id': String(last) } });
          for await (const event of eventsOf(response)) {
            if (event.name === 'end') return;
            const entry = parsed(historyEntry, JSON.parse(event.data));
            last = entry.n;
            await onEntry(entry);
          }
        } catch (error) {
          if (signal.aborted || (error instanceof Failure && error.code !== 'not_running')) throw error;
        }
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    },
  };
  return api;
}

function parsed<T>(schema: { Check(value: unknown): value is T }, value: unknown): T {
  if (!schema.Check(value))
    throw new Failure(
      'internal',
      `The server answered with something unexpected: ${JSON.stringify(value)?.slice(0, 200)}. Is it of another version?`,
    );
  return value;
}

/** Server-sent events of a response (WHATWG HTML, 9.2.6). */
async function* eventsOf(response: Response): AsyncGenerator<{ name: string; data: string }> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    rest += decoder.decode(chunk, { stream: true });
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      let name = 'message';
      const data: string[] = [];
      for (const line of block.split('\n')) {
        if (line.startsWith('event: ')) name = line.slice(7);
        else if (line.startsWith('data: ')) data.push(line.slice(6));
      }
      if (data.length > 0) yield { name, data: data.join('\n') };
    }
  }
}

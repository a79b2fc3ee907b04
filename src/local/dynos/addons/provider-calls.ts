import { setTimeout as delay } from 'node:timers/promises';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { Provider } from './providers.ts';

/** How a provider answered. `none`: no answer, or one that says nothing (it is asked again). `refused`: its own words for the customer. */
export type ProviderAnswer =
  | { kind: 'done' | 'later'; config: Record<string, string> | undefined; message: string }
  | { kind: 'gone' }
  | { kind: 'refused'; message: string }
  | { kind: 'none'; reason: string };

const answerBody = Compile(
  Type.Object({
    id: Type.Optional(Type.Union([Type.String({ minLength: 1 }), Type.Integer()])),
    config: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()])),
    message: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  }),
);

// Heroku lets a provider answer for 25 s (heroku.md 1.1), and asks again when nothing came: delivery is at least once.
const answerMs = 25_000;
const tries = 3;
const betweenMs = 1_000;

/**
 * Calls the Partner API (heroku.md 1): `POST base_url`, `PUT` and `DELETE base_url/uuid`, Basic auth, at least once. What cannot be understood counts as no answer.
 */
export async function callProvider(
  provider: Provider,
  call: { method: 'POST' | 'PUT' | 'DELETE'; uuid?: string; body?: unknown; signal: AbortSignal },
): Promise<ProviderAnswer> {
  for (let tried = 1; ; tried += 1) {
    const answer = await callOnce(provider, call);
    if (answer.kind !== 'none' || tried === tries || call.signal.aborted) return answer;
    await delay(betweenMs * tried, undefined, { signal: call.signal }).catch(() => undefined);
  }
}

async function callOnce(
  provider: Provider,
  { method, uuid, body, signal }: { method: string; uuid?: string; body?: unknown; signal: AbortSignal },
): Promise<ProviderAnswer> {
  const url = uuid === undefined ? provider.baseUrl : `${provider.baseUrl}/${uuid}`;
  try {
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: {
        authorization: `Basic ${Buffer.from(`${provider.id}:${provider.password}`).toString('base64')}`,
        accept: 'application/vnd.heroku-addons+json; version=3',
        'user-agent': 'autofiles-local-platform',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
    });
    return understand(method, response.status, await response.text(), provider);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
    return { kind: 'none', reason: `${method} ${url} failed: ${error instanceof Error ? error.message : String(error)}${cause}` };
  }
}

function understand(method: string, status: number, text: string, provider: Provider): ProviderAnswer {
  const body = parse(text);
  const said = answerBody.Check(body) ? body : undefined;
  // 422 and 503 carry words for the customer.
  if ((status === 422 || status === 503) && typeof said?.message === 'string') return { kind: 'refused', message: said.message };
  if (status === 410 || (status === 404 && method === 'DELETE')) return { kind: 'gone' };
  const where = `${provider.id} answered ${method} with ${status}`;
  if (status < 200 || status > 299) return { kind: 'none', reason: where };
  // A DELETE has nothing to say.
  if (method === 'DELETE') return { kind: status === 202 ? 'later' : 'done', config: undefined, message: said?.message ?? '' };
  if (said === undefined) return { kind: 'none', reason: `${where} and a body that is not as heroku.md 1.2 has it: ${text.slice(0, 200)}` };
  if (method === 'POST' && said.id === undefined) return { kind: 'none', reason: `${where} and a body without an id` };
  return { kind: status === 202 ? 'later' : 'done', config: said.config ?? undefined, message: said.message ?? '' };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: nothing is understood of it.
    return undefined;
  }
}

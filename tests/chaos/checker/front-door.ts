// Who is let in where, what add-ons leave behind, and whose word about dynos is taken.
import type { CaseFile } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

/** Milliseconds after a loss of Redis in which a removal that it forgot may not be back yet. */
const RECOVERED_MS = 5_000;

/** Answers that say nothing: the service was not available. A 500 is none of them: whatever is broken, somebody has to expect it. */
const unavailable = (status: number) => status === 0 || [502, 503, 504].includes(status);

/** Statuses by route and caller, as docs and OpenAPI document have them. Whoever is not named gets the last one. */
const ofToken = { own: 200, viewer: 200, other: 200, anybody: 401 };
const ofWriters = { ...ofToken, viewer: 403 };
const nobody = { anybody: 401 };
const WALL: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'GET /v1/runs': ofToken,
  'GET /v1/resource': ofToken,
  'GET /v1/tokens': ofToken,
  'GET /v1/audit': ofToken,
  'GET /v1/ledger': ofToken,
  'GET /v1/webhooks': ofToken,
  'POST /v1/runs/bulk': ofWriters,
  'POST /v1/workflows/validate': ofToken,
  // a token makes no tokens
  'POST /v1/tokens': { own: 403, viewer: 403, other: 403, anybody: 401 },
  'POST /v1/credentials/rotate': { ...ofWriters, own: 202, other: 202 },
  'GET /v1/runs/:foreign': { other: 404, anybody: 401 },
  'POST /v1/runs/:foreign/cancel': { other: 404, anybody: 401 },
  'GET /admin/resources': { operator: 200, anybody: 401 },
  // pages are for sessions
  'GET /settings': nobody,
  'GET /runs': nobody,
  'POST /session/links': nobody,
  'POST /heroku/resources': { partner: 422, anybody: 401 },
  'DELETE /heroku/resources/01234567-89ab-cdef-0123-456789abcdef': { partner: 410, anybody: 401 },
  'GET /healthz': { anybody: 200 },
};

export function deadAfterRemoval(file: CaseFile): Finding {
  const i = look('I26', 'the credentials of a removed resource open nothing', ['old credentials tried']);
  for (const { resource, status } of file.of('dead'))
    i.holds('old credentials tried', status === 403 || status === 404, () => `S3 answered ${status} to credentials of ${resource}`);
  return i.done();
}

export function everyRouteGuarded(file: CaseFile): Finding {
  const i = look('I28', 'every caller gets what is his on every route, and nothing else, whatever is broken', [
    'refused',
    'let in',
    'sessions of removed resources',
  ]);
  for (const { route, caller, status } of file.of('knock')) {
    if (unavailable(status)) {
      i.saw('not available');
      continue;
    }
    const row = WALL[route];
    const expected = row?.[caller] ?? row?.['anybody'];
    i.holds(expected !== undefined && expected < 300 ? 'let in' : 'refused', status === expected, () => {
      return `${route} answered ${status} to ${caller}, expected ${expected}`;
    });
    if (caller === 'removed') i.saw('sessions of removed resources');
  }
  return i.done();
}

export function signOnsProven(file: CaseFile): Finding {
  const i = look('I29', 'a session begins by a good, fresh and unused sign-on of an installed resource alone', [
    'sessions',
    'forms sent more than once',
    'forms that are not good',
  ]);
  for (const [token, sent] of Map.groupBy(file.of('sign_on'), (one) => one.token)) {
    const begun = sent.filter(({ session }) => session);
    const first = sent[0];
    if (first === undefined) continue;
    i.saw('sessions', begun.length);
    if (first.form === 'good') {
      // with Redis it may be lost that a form was used
      if (sent.length > 1 && !file.lost(first.t - 5_000, sent.at(-1)?.t ?? first.t))
        i.holds('forms sent more than once', begun.length <= 1, () => `${begun.length} sessions by ${token}`);
      continue;
    }
    // docs/guarantees.md, "Not promised": the session opens nothing once the removal is back (I28)
    for (const { form, status, session, t } of sent)
      if (form === 'removed' && session && file.lost(t - RECOVERED_MS, t)) i.saw('forms of resources whose removal Redis forgot');
      else
        i.holds('forms that are not good', !session && (status === 403 || unavailable(status)), () => {
          return `a form (${form}) was answered with ${status}${session ? ' and a session' : ''}`;
        });
  }
  return i.done();
}

export function installedOnce(file: CaseFile): Finding {
  const i = look('I32', 'asked for any number of times, a resource is made once; removed any number of times, nothing of it is left', [
    'resources asked for again',
    'resources provisioned',
    'resources removed again',
    'resources gone',
  ]);
  const installs = Map.groupBy(file.of('install'), ({ resource }) => resource);
  const removals = Map.groupBy(file.of('remove'), ({ resource }) => resource);
  const told = new Set(file.of('told').flatMap(({ resource, what }) => (what === 'provisioned' ? [resource] : [])));
  const made = new Set(file.of('bucket').map(({ bucket }) => bucket));
  for (const { id, state, keys, buckets } of file.evidence.guests) {
    const answers = (installs.get(id) ?? []).filter(({ status }) => !unavailable(status));
    const accepted = answers.filter(({ status }) => status === 202);
    const odd = answers.find(({ status }) => ![202, 410, 422].includes(status));
    if (odd !== undefined) i.wrong(`${id} was answered ${odd.status}: ${odd.text}`);
    if (accepted.length > 1)
      i.holds('resources asked for again', new Set(accepted.map(({ text }) => text)).size === 1, () => `${id} got different answers`);
    const own = [...made].filter((bucket) => bucket.includes(id));
    if (told.has(id)) i.holds('resources provisioned', own.length === 1, () => `${id} has the buckets ${own.join(' ')}`);
    const ends = (removals.get(id) ?? []).filter(({ status }) => !unavailable(status));
    for (const { status } of ends) if (status !== 204 && status !== 410) i.wrong(`the removal of ${id} was answered ${status}`);
    if (ends.length > 1) i.saw('resources removed again');
    i.holds(
      'resources gone',
      state === 'removed' && keys.length === 0 && buckets.length === 0,
      () => `${id} is ${state}, and left ${[...keys, ...buckets].join(' ')}`,
    );
  }
  return i.done();
}

export function newsProven(file: CaseFile): Finding {
  const i = look('NEWS', 'events of dynos are taken from Heroku alone', ['events taken', 'forged events']);
  for (const { forged, status } of file.of('event')) {
    if (unavailable(status)) continue;
    if (forged) i.holds('forged events', status === 401, () => `a forged event was answered ${status}`);
    else if (status >= 500) i.wrong(`an event was answered ${status}`);
    else if (status < 300) i.saw('events taken');
  }
  return i.done();
}

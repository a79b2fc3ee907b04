// Who gets which answer where. A new route needs a row.

/** `removed`: of a resource whose removal has begun; `other`: of another tenant. The last three belong to tenant A, whose things are asked for. */
export const CALLERS = [
  'none',
  'partner',
  'operator',
  'removed',
  'removed session',
  'other',
  'other session',
  'viewer',
  'token',
  'owner',
] as const;
export type Caller = (typeof CALLERS)[number];

export interface Row {
  /** HTTP statuses in the order of CALLERS. */
  readonly statuses: string;
  /** In place of the pattern; `{A}` is the resource of tenant A. */
  readonly path?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as a form. */
  readonly form?: Readonly<Record<string, string>>;
}

/** bull-board's own routes, behind one guard: there is nothing for anybody but operators. */
export const BOARD = /^\w+ \/admin\/queues(\/|$)/;
/** Files of the dashboard, which are everybody's. */
const ASSETS = /^GET \/assets\//;

const RUN = 'r0-2c9x0f4kq7w1m5t8z3ba';
const ENDED = 'r0-7h3n5v9s1d6k2p8y4c0e';
const FILE = 'in/photos/holiday.jpg';

/** Everybody's, whoever asks. */
export const OPEN: Row = { statuses: '200 200 200 200 200 200 200 200 200 200' };
const never = (status: number) => ({ statuses: CALLERS.map(() => status).join(' ') });
/** Of the API: what every resource has of its own. */
const own = (status: number, viewer = status) => ({ statuses: `401 401 401 401 401 ${status} ${status} ${viewer} ${status} ${status}` });
/** Of the API: things of tenant A, which are not there for others. */
const theirs = (status: number, viewer = status) => ({ statuses: `401 401 401 401 401 404 404 ${viewer} ${status} ${status}` });
/** Of the dashboard: sessions alone get in. */
const page = (others: number, status = others) => ({ statuses: `401 401 401 401 401 401 ${others} 401 401 ${status}` });

export const WALL: Readonly<Record<string, Row>> = {
  'GET /healthz': OPEN,
  'GET /readyz': OPEN,
  // open on loopback; in production a token of its own
  'GET /metrics': OPEN,
  'GET /schema/workflow.json': OPEN,
  'GET /openapi.json': OPEN,
  'GET /reference': OPEN,
  'GET /reference.css': OPEN,

  'POST /heroku/resources': { statuses: '401 422 401 401 401 401 401 401 401 401', body: {} },
  'PUT /heroku/resources/:id': {
    statuses: '401 200 401 401 401 401 401 401 401 401',
    path: '/heroku/resources/{A}',
    body: { plan: 'basic' },
  },
  'DELETE /heroku/resources/:id': {
    statuses: '401 410 401 401 401 401 401 401 401 401',
    path: '/heroku/resources/01234567-89ab-cdef-0123-456789abcdef',
  },
  'POST /heroku/webhooks': { ...never(401), path: '/heroku/webhooks?resource={A}', body: { id: 'x', resource: 'dyno' } },
  'POST /heroku/sso': { ...never(403), form: { resource_id: '{A}', timestamp: '1267597772' } },
  'POST /session/links': never(401),
  'GET /session/open': { ...never(403), path: '/session/open?code=guess' },
  'POST /session/end': OPEN,
  'GET /admin/resources': { statuses: '401 401 200 401 401 401 401 401 401 401' },
  'POST /admin/resources/:id/rotate': { statuses: '401 401 202 401 401 401 401 401 401 401', path: '/admin/resources/{A}/rotate' },

  'GET /v1/runs': own(200),
  'GET /v1/runs/:id': theirs(200),
  'GET /v1/runs/:id/history': theirs(200),
  'GET /v1/runs/:id/workflow': theirs(200),
  'GET /v1/runs/:id/events': theirs(200),
  'POST /v1/runs/:id/cancel': theirs(200, 403),
  'POST /v1/runs/:id/retry': { ...theirs(202, 403), path: `/v1/runs/${ENDED}/retry`, body: { mode: 'run' } },
  // answers for each run by itself
  'POST /v1/runs/bulk': { ...own(200, 403), body: { action: 'cancel', ids: [RUN] } },
  'GET /v1/events': own(200),
  'GET /v1/tasks/:id': { ...theirs(200), path: `/v1/tasks/${ENDED}.1.0` },
  'GET /v1/tasks/:id/log': { ...theirs(200), path: `/v1/tasks/${ENDED}.1.0/log` },
  'GET /v1/files': own(200),
  'GET /v1/files/:key{.+}': { ...own(200), path: `/v1/files/${FILE}` },
  'POST /v1/files/link': { ...own(200), body: { key: FILE } },
  'POST /v1/uploads': { ...own(201, 403), body: { key: 'in/photo.jpg' } },
  'POST /v1/workflows/validate': { ...own(200), body: { workflow: { run: [{ cmd: 'work' }] } } },
  'GET /v1/resource': own(200),
  'PATCH /v1/resource': { ...own(200, 403), body: { paused: true } },
  'GET /v1/ledger': own(200),
  'GET /v1/ledger/quarantined': own(200),
  'POST /v1/ledger/audit': { ...own(200), body: {} },
  'POST /v1/ledger/backfill': { ...own(200, 403), body: { dry_run: true, prefix: 'in/' } },
  'GET /v1/tokens': own(200),
  // a token makes and revokes no tokens
  'POST /v1/tokens': { statuses: '401 401 401 401 401 403 201 403 403 201', body: { name: 'x', scope: 'read' } },
  'DELETE /v1/tokens/:id': { statuses: '401 401 401 401 401 403 404 403 403 204' },
  'GET /v1/credentials': { statuses: '401 401 401 401 401 404 404 403 200 200' },
  'POST /v1/credentials/rotate': own(202, 403),
  'GET /v1/audit': own(200),
  'GET /v1/webhooks': own(200),
  'POST /v1/webhooks': { ...own(201, 403), body: { url: 'https://example.com/hook' } },
  'DELETE /v1/webhooks/:id': theirs(204, 403),
  'POST /v1/webhooks/:id/ping': theirs(202, 403),
  'GET /v1/webhooks/deliveries': own(200),

  'GET /': page(200),
  'GET /runs': page(200),
  'POST /runs/bulk': { ...page(200), form: { action: 'cancel', id: RUN } },
  'GET /runs/live': page(200),
  'GET /runs/:id': page(404, 200),
  'GET /runs/:id/again': page(404, 200),
  'POST /runs/:id/cancel': { ...page(404, 303), form: {} },
  'POST /runs/:id/retry': { ...page(404, 303), path: `/runs/${ENDED}/retry`, form: { mode: 'run' } },
  'GET /runs/:id/live': page(404, 200),
  // no such dyno was launched
  'GET /runs/:id/tasks/:task/log': page(404),
  'GET /runs/:id/tasks/:task/log/text': page(404),
  'GET /runs/:id/tasks/:task/log/stream': page(404),
  'GET /files': page(200),
  'GET /files/object': { ...page(404, 200), path: `/files/object?key=${encodeURIComponent(FILE)}` },
  'GET /files/download': { ...page(302), path: `/files/download?key=${encodeURIComponent(FILE)}` },
  // no such file stands there now
  'GET /files/text': { ...page(404), path: `/files/text?key=${encodeURIComponent(FILE)}` },
  'POST /files/form': { ...page(200), form: { key: 'in/', name: 'a.txt' } },
  'GET /files/uploaded': { ...page(302), path: '/files/uploaded?key=in/a' },
  'POST /files/upload': { ...page(422), form: { key: 'in/a' } },
  'GET /settings': page(200),
  'POST /settings/pause': { ...page(303), form: { paused: 'yes' } },
  'POST /settings/commands': { ...page(303), form: { commands: 'any' } },
  'GET /settings/consent': page(303),
  // a code that this session never asked for
  'GET /settings/consent/callback': { ...page(403), path: '/settings/consent/callback?code=x&state=x' },
  'POST /settings/consent/withdraw': { ...page(303), form: {} },
  'POST /settings/rotate': { ...page(303), form: {} },
  'POST /settings/tokens': { ...page(200), form: { name: 'x', scope: 'read' } },
  'POST /settings/tokens/revoke': { ...page(404, 303), form: { id: '{token}' } },
  'POST /settings/webhooks': { ...page(200), form: { url: 'https://example.com/hook' } },
  'POST /settings/webhooks/remove': { ...page(404, 303), form: { id: '{webhook}' } },
  'POST /settings/webhooks/ping': { ...page(404, 303), form: { id: '{webhook}' } },
};

/** Routes that no row speaks of. */
export function rowless(routes: readonly string[]): readonly string[] {
  return routes.filter((route) => !Object.hasOwn(WALL, route) && !BOARD.test(route) && !ASSETS.test(route));
}

// Keeps a page live: it is fetched again when its stream says so, or when time alone changes it, and what differs is changed:
// the server alone draws.
import { morph } from './morph.ts';
import { FETCH_MS, isRefusal, type KeptStream, keepStream } from './stream.ts';

/** Milliseconds between two fetches that were asked for at once, and until the next one after one that failed. */
const REFRESH_GAP_MS = 120;
const LOST_AGAIN_MS = 2_000;

const main = document.querySelector('main');
/** Whose page this is. Another app's dashboard, opened in the same browser, has the same addresses and takes the session's place. */
const owner = document.body.dataset['resource'];

let fetching = false;
let wanted = false;
let failed = false;
let later: ReturnType<typeof setTimeout> | undefined;
let stream: KeptStream | undefined;
let ticking: ReturnType<typeof setInterval> | undefined;
let tickMs = 0;

/** Fetches the page and shows what differs. */
export async function refresh(): Promise<void> {
  if (fetching) {
    wanted = true;
    return;
  }
  fetching = true;
  try {
    const response = await fetch(location.href, {
      headers: { accept: 'text/html' },
      cache: 'no-store',
      signal: AbortSignal.timeout(FETCH_MS),
    });
    show(response, new DOMParser().parseFromString(await response.text(), 'text/html'));
  } catch {
    failed = true;
    tell('lost', 'connection lost, trying again');
    refreshIn(LOST_AGAIN_MS);
  } finally {
    fetching = false;
    if (wanted) {
      wanted = false;
      setTimeout(() => void refresh(), REFRESH_GAP_MS);
    }
  }
}

function show({ ok, status }: Response, next: Document): void {
  const { resource, live, tick } = next.body.dataset;
  if (owner !== undefined && resource !== undefined && resource !== owner) {
    leave('not live', 'Another app’s dashboard was opened in this browser; open this one again.');
    return;
  }
  if (isRefusal(status)) {
    if (status === 404) leave('no longer there', 'This page is no longer there; what stands here is as it was.');
    else leave('signed out', 'You are signed out; what stands here is as it was. Open the dashboard again as you did before.');
    return;
  }
  const nextMain = next.querySelector('main');
  if (main !== null && nextMain !== null) {
    morph(main, nextMain);
    document.title = next.title;
    document.dispatchEvent(new CustomEvent('autofiles:shown'));
  }
  if (failed && stream?.isOpen()) tell('yes', 'live');
  failed = false;
  const wait = document.querySelector<HTMLElement>('[data-again]')?.dataset['again'];
  if (wait !== undefined) refreshIn(Number(wait) * 1000);
  else if (ok && live === undefined) endLive();
  else if (ok && stream !== undefined) beat(Number(tick ?? 0));
}

function refreshIn(ms: number): void {
  clearTimeout(later);
  later = setTimeout(() => void refresh(), ms);
}

/** Looks again every `ms`; a run that takes long is drawn in larger units, and less often. */
function beat(ms: number): void {
  if (ms === tickMs) return;
  clearInterval(ticking);
  tickMs = ms;
  if (ms > 0) ticking = setInterval(() => document.visibilityState === 'visible' && void refresh(), ms);
}

function tell(on: 'yes' | 'lost' | 'no', word: string): void {
  const badge = document.querySelector<HTMLElement>('#live');
  const text = document.querySelector('#live-word');
  if (badge !== null) badge.dataset['on'] = on;
  if (text !== null && text.textContent !== word) text.textContent = word;
}

function startLive(address: string): void {
  stream = keepStream(address, {
    events: { change: () => void refresh(), end: () => void refresh().then(endLive) },
    open: (again) => {
      tell('yes', 'live');
      if (again) void refresh();
    },
    lost: () => tell('lost', 'connection lost, trying again'),
    // the page itself is what was asked for, and stops it all where it is refused
    stands: async () => {
      await refresh();
      return stream !== undefined;
    },
  });
  beat(Number(document.body.dataset['tick'] ?? 0));
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible' && stream !== undefined) void refresh();
  });
}

function endLive(): void {
  if (stream !== undefined) stop('ended', 'no');
}

function stop(word: string, on: 'lost' | 'no' = 'lost'): void {
  stream?.end();
  stream = undefined;
  beat(0);
  tell(on, word);
}

/** Nothing comes any more, and what was fetched is not for here: what is shown stays, with the reason above it. */
function leave(word: string, why: string): void {
  stop(word);
  document.querySelector('#left')?.remove();
  const box = document.createElement('div');
  box.id = 'left';
  box.className = 'callout';
  box.setAttribute('role', 'alert');
  const words = document.createElement('p');
  words.textContent = why;
  box.append(words);
  main?.prepend(box);
}

/** A page that only waits becomes what it waits for: that may be live, so it is loaded whole. */
function waitFor(ms: number): void {
  const look = async () => {
    const asked = fetch('/readyz', { cache: 'no-store', signal: AbortSignal.timeout(FETCH_MS) });
    if ((await asked.catch(() => undefined))?.ok) location.reload();
    else setTimeout(() => void look(), ms);
  };
  setTimeout(() => void look(), ms);
}

const liveAt = document.body.dataset['live'];
const wait = document.querySelector<HTMLElement>('[data-again]')?.dataset['again'];
if (liveAt !== undefined) startLive(liveAt);
else if (wait !== undefined) waitFor(Number(wait) * 1000);
addEventListener('popstate', () => void refresh());

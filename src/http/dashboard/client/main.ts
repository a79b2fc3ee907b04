// What every page does in the browser: it stays live, follows clicks, and keeps relative times fresh. A page is made
// live by fetching it again when its stream says so and changing what differs: the server alone draws.
const main = document.querySelector('main');
const liveAt = document.body.dataset['live'];
const tickMs = Number(document.body.dataset['tick'] ?? 0);
const REFRESH_GAP_MS = 120;
const LOST_AGAIN_MS = 2_000;

// ---- keeping the page live

let fetching = false;
let wanted = false;

async function refresh(): Promise<boolean> {
  if (fetching) {
    wanted = true;
    return true;
  }
  fetching = true;
  try {
    const response = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store' });
    const text = await response.text();
    const next = new DOMParser().parseFromString(text, 'text/html');
    const nextMain = next.querySelector('main');
    if (main !== null && nextMain !== null) {
      morph(main, nextMain);
      document.title = next.title;
      freshen();
      document.dispatchEvent(new CustomEvent('autofiles:shown'));
    }
    const again = document.querySelector<HTMLElement>('[data-again]')?.dataset['again'];
    if (again !== undefined) setTimeout(() => void refresh(), Number(again) * 1000);
    else if (response.ok && next.body.dataset['live'] === undefined) endLive();
    return response.ok;
  } catch {
    tell('lost', 'connection lost, trying again');
    setTimeout(() => void refresh(), LOST_AGAIN_MS);
    return false;
  } finally {
    fetching = false;
    if (wanted) {
      wanted = false;
      setTimeout(() => void refresh(), REFRESH_GAP_MS);
    }
  }
}

/** Makes `old` like `next`, touching only what differs; what the reader opened, typed or scrolled stays. */
function morph(old: Element, next: Element): void {
  if (old.hasAttribute('data-keep') && old.id === next.id) return;
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && !isReaders(old, name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !isReaders(old, name)) old.setAttribute(name, value);
  }
  const named = new Map([...old.children].flatMap((child) => (child.id === '' ? [] : [[child.id, child] as const])));
  let cursor = old.firstChild;
  for (const fresh of next.childNodes) {
    const known = fresh instanceof Element && fresh.id !== '' ? named.get(fresh.id) : cursor;
    if (known === undefined || known === null || !alike(known, fresh)) {
      old.insertBefore(document.importNode(fresh, true), cursor);
      continue;
    }
    if (known === cursor) cursor = cursor.nextSibling;
    else old.insertBefore(known, cursor);
    if (known instanceof Element && fresh instanceof Element) morph(known, fresh);
    else if (known.nodeValue !== fresh.nodeValue) known.nodeValue = fresh.nodeValue;
  }
  while (cursor !== null) {
    const gone = cursor;
    cursor = cursor.nextSibling;
    gone.remove();
  }
}

/** Attributes that the reader's own doing sets. */
function isReaders(element: Element, name: string): boolean {
  return (
    (name === 'open' && element.matches('details, dialog')) ||
    (name === 'viewBox' && element.matches('[data-graph-canvas]')) ||
    name === 'data-live-graph' ||
    (name === 'disabled' && element.matches('[data-bulk]'))
  );
}

function alike(one: Node, other: Node): boolean {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  return !(one instanceof Element && other instanceof Element) || one.id === other.id;
}

function tell(on: 'yes' | 'lost' | 'no', word: string): void {
  const badge = document.querySelector<HTMLElement>('#live');
  const text = document.querySelector('#live-word');
  if (badge !== null) badge.dataset['on'] = on;
  if (text !== null && text.textContent !== word) text.textContent = word;
}

let source: EventSource | undefined;
let ticking: ReturnType<typeof setInterval> | undefined;

function startLive(address: string): void {
  source = new EventSource(address);
  source.addEventListener('open', () => tell('yes', 'live'));
  // one that was refused (signed off, too many open) is not tried again by the browser
  source.addEventListener('error', () =>
    tell('lost', source?.readyState === EventSource.CLOSED ? 'not live: load the page again' : 'connection lost, trying again'),
  );
  source.addEventListener('change', () => void refresh());
  source.addEventListener('end', () => void refresh().then(endLive));
  if (tickMs > 0) ticking = setInterval(() => document.visibilityState === 'visible' && void refresh(), tickMs);
}

function endLive(): void {
  source?.close();
  clearInterval(ticking);
  tell('no', 'ended');
}

if (liveAt !== undefined) startLive(liveAt);
else {
  const again = document.querySelector<HTMLElement>('[data-again]')?.dataset['again'];
  // what comes instead of the trouble may be live: it is loaded whole
  if (again !== undefined) {
    const look = async () => {
      const response = await fetch('/readyz', { cache: 'no-store' }).catch(() => undefined);
      if (response?.ok) location.reload();
      else setTimeout(() => void look(), Number(again) * 1000);
    };
    setTimeout(() => void look(), Number(again) * 1000);
  }
}

// ---- times

function freshen(): void {
  const now = Date.now();
  for (const time of document.querySelectorAll<HTMLTimeElement>('time[data-relative]')) {
    const text = relative(Date.parse(time.dateTime), now);
    if (time.textContent !== text) time.textContent = text;
  }
  for (const button of document.querySelectorAll<HTMLButtonElement>('[data-copy], [data-help]')) button.hidden = false;
}

function relative(at: number, now: number): string {
  const ms = Math.abs(now - at);
  const units: readonly (readonly [number, string])[] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ];
  const unit = units.find(([size]) => ms >= size);
  if (unit === undefined) return 'now';
  const text = `${Math.floor(ms / unit[0])} ${unit[1]}`;
  return at > now ? `in ${text}` : `${text} ago`;
}

freshen();
setInterval(freshen, 1_000);

// ---- what is clicked

let toasting: ReturnType<typeof setTimeout> | undefined;
function toast(text: string): void {
  const place = document.querySelector('#toast');
  if (place === null) return;
  place.textContent = text;
  clearTimeout(toasting);
  toasting = setTimeout(() => place.replaceChildren(), 3_000);
}

document.addEventListener('click', (event) => {
  if (!(event.target instanceof Element)) return;
  const copy = event.target.closest<HTMLElement>('[data-copy]')?.dataset['copy'];
  if (copy !== undefined) {
    navigator.clipboard.writeText(copy).then(
      () => toast('Copied'),
      () => toast('The browser does not allow copying'),
    );
  }
  for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.menu[open]'))
    if (!menu.contains(event.target)) menu.open = false;
  const link = event.target.closest<HTMLAnchorElement>('a[data-nav]');
  if (link !== null && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    go(link);
  }
});

/** Another task of the same run: the page changes in place, so nothing jumps. */
function go(link: HTMLAnchorElement | SVGAElement): void {
  const address = typeof link.href === 'string' ? link.href : new URL(link.href.baseVal, location.href).href;
  history.pushState(null, '', address);
  void refresh().then(() => {
    const pane = document.querySelector<HTMLElement>('#task');
    if (pane !== null && matchMedia('(max-width: 1020px)').matches) pane.scrollIntoView({ block: 'start' });
  });
}
document.addEventListener('click', (event) => {
  if (!(event.target instanceof SVGElement)) return;
  const link = event.target.closest<SVGAElement>('svg a[data-nav]');
  if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link);
});
document.addEventListener('change', countSelected);
document.addEventListener('autofiles:shown', countSelected);

/** Says how many rows are selected; the buttons act on those alone. */
function countSelected(): void {
  const place = document.querySelector('[data-selected]');
  if (place === null) return;
  const chosen = document.querySelectorAll('input[name="id"]:checked').length;
  place.textContent = chosen === 0 ? 'Select rows to retry or cancel several' : `${chosen} selected`;
  for (const button of document.querySelectorAll<HTMLButtonElement>('[data-bulk]')) button.disabled = chosen === 0;
}
countSelected();

addEventListener('popstate', () => void refresh());

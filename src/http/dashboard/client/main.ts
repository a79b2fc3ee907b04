// What every page does in the browser: it follows clicks, sends each form once, and keeps relative times fresh. What keeps it
// live: live.ts.
import { refresh } from './live.ts';

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
document.addEventListener('autofiles:shown', freshen);

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
  // a node of the graph is such a link, too
  const link = event.target.closest<HTMLAnchorElement | SVGAElement>('a[data-nav]');
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

// ---- what is sent

/** Milliseconds after which a form may be sent again: Heroku's router gives an answer up after 30 s. */
const SENT_MS = 30_000;
let sent = new WeakSet<HTMLFormElement>();

// a double click, or a key that is held down, sends a form twice: that would start a second run, or make a second token
document.addEventListener('submit', (event) => {
  const form = event.target;
  // one that saves a file says itself when it may be sent again
  if (!(form instanceof HTMLFormElement) || form.getAttribute('method') !== 'post' || form.matches('[data-upload]')) return;
  if (sent.has(form)) return event.preventDefault();
  sent.add(form);
  setTimeout(() => sent.delete(form), SENT_MS);
});
addEventListener('pageshow', ({ persisted }) => {
  sent = new WeakSet();
  // a page that the browser kept and shows again: what is ordered from it now is another order
  if (persisted) for (const field of document.querySelectorAll<HTMLInputElement>('input[name="nonce"]')) field.value = crypto.randomUUID();
});

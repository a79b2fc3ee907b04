// The keys that every page knows; `?` lists them. What a key does is what a click on the page's own links and buttons does.

document.addEventListener('click', (event) => {
  if (event.target instanceof Element && event.target.closest('[data-help]') !== null) help();
});

function help(): void {
  const dialog = document.querySelector<HTMLDialogElement>('#help');
  if (dialog !== null && !dialog.open) dialog.showModal();
}

/** Rows that j and k walk: links of the timeline or of a list. */
const rowLinks = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>('[data-row], .tl-row:not(.further) .tl-name')];

function walk(by: number): void {
  const rows = rowLinks();
  const at = rows.indexOf(document.activeElement instanceof HTMLElement ? document.activeElement : document.body);
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

/** The thing in the focused row, else on the page, that a key stands for. */
function actOn(selector: string): void {
  const row = document.activeElement?.closest('tr');
  const found = row?.querySelector<HTMLElement>(selector) ?? document.querySelector<HTMLElement>(selector);
  if (found instanceof HTMLDetailsElement) {
    found.open = true;
    found.querySelector<HTMLElement>('button')?.focus();
  } else found?.click();
}

const GO: Readonly<Record<string, string>> = { o: '/', r: '/runs', f: '/files', s: '/settings' };
let going = false;

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') {
    for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.menu[open]')) {
      menu.open = false;
      menu.querySelector('summary')?.focus();
    }
    if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur();
    return;
  }
  if (event.target instanceof Element && event.target.matches('input:not([type="checkbox"]), textarea, select, [contenteditable]')) return;
  if (document.querySelector('dialog[open]') !== null) return;
  if (going) {
    going = false;
    const address = GO[event.key];
    if (address !== undefined) location.assign(address);
    return;
  }
  const focused = document.activeElement?.closest('tr');
  switch (event.key) {
    case '?':
      help();
      break;
    case 'g':
      going = true;
      setTimeout(() => {
        going = false;
      }, 1_500);
      break;
    case 'j':
      walk(1);
      break;
    case 'k':
      walk(-1);
      break;
    case 'r':
      if (focused?.querySelector('details.menu') !== null && focused !== null && focused !== undefined) actOn('details.menu');
      else actOn('[data-key="r"]');
      break;
    case 'c':
      actOn('[data-key="c"]');
      break;
    case 'x':
      focused?.querySelector<HTMLInputElement>('input[type="checkbox"]')?.click();
      break;
    case 'l': {
      const log = document.querySelector<HTMLElement>('#log');
      log?.scrollIntoView({ block: 'start' });
      document.querySelector<HTMLElement>('.log .lines, .log-open a')?.focus();
      break;
    }
    case '/': {
      const search = document.querySelector<HTMLInputElement>('input[type="search"]');
      if (search === null) return;
      search.focus();
      search.select();
      break;
    }
    default:
      return;
  }
  event.preventDefault();
});

// The keys that every page knows; `?` lists them. A key moves, selects or opens; what changes something is for Enter on the button
// that the key leads to. All can be switched off (WCAG 2.1.4): who speaks to a computer says many letters.

/** Where the browser keeps that they are off. */
const OFF = 'autofiles:keys-off';
let off = readOff();

document.addEventListener('click', (event) => {
  if (event.target instanceof Element && event.target.closest('[data-help]') !== null) help();
});

function help(): void {
  const dialog = document.querySelector<HTMLDialogElement>('#help');
  if (dialog === null || dialog.open) return;
  const box = dialog.querySelector<HTMLInputElement>('[data-keys]');
  if (box !== null) box.checked = !off;
  dialog.showModal();
}

document.addEventListener('change', (event) => {
  if (event.target instanceof HTMLInputElement && event.target.matches('[data-keys]')) keepOff(!event.target.checked);
});

function readOff(): boolean {
  try {
    return localStorage.getItem(OFF) !== null;
  } catch {
    // a browser that keeps nothing for pages
    return false;
  }
}

function keepOff(now: boolean): void {
  off = now;
  try {
    if (now) localStorage.setItem(OFF, 'yes');
    else localStorage.removeItem(OFF);
  } catch {
    // it holds for this page then
  }
}
// said in another tab
addEventListener('storage', () => {
  off = readOff();
});

/** Rows that j and k walk: links of the timeline or of a list. */
const rowLinks = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>('[data-row], .tl-row:not(.further) .tl-name')];

function walk(by: number): void {
  const rows = rowLinks();
  const at = rows.indexOf(document.activeElement instanceof HTMLElement ? document.activeElement : document.body);
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

/** Leads to what a key stands for: in the row that has the focus, or on the page where none has it. */
function reach(selector: string): void {
  const found = (focusedRow() ?? document).querySelector<HTMLElement>(selector);
  if (found instanceof HTMLDetailsElement) {
    found.open = true;
    found.querySelector<HTMLElement>('button')?.focus();
  } else found?.focus();
}

const focusedRow = () => document.activeElement?.closest('tr') ?? undefined;

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
  if (off || document.querySelector('dialog[open]') !== null) return;
  // a key that is held down walks, and does nothing else again
  if (event.repeat && event.key !== 'j' && event.key !== 'k') return;
  if (going) {
    going = false;
    const address = GO[event.key];
    if (address !== undefined) location.assign(address);
    return;
  }
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
      reach(focusedRow() === undefined ? '[data-key="r"]' : 'details.menu');
      break;
    case 'c':
      reach('[data-key="c"]');
      break;
    case 'x':
      focusedRow()?.querySelector<HTMLInputElement>('input[type="checkbox"]')?.click();
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

// The live log of a dyno: follows, searches, copies, links to a line. Lines come as text and class names, and become text
// nodes: nothing that a process prints is ever markup here.
import { type KeptStream, keepStream, pageStands } from './stream.ts';

type Piece = readonly [text: string, classes: string];
type Line = readonly [at: string, platform: boolean, pieces: readonly Piece[]];

const MOST_LINES = 5_000;
let current: { place: HTMLElement; stream: KeptStream } | undefined;

function open(place: HTMLElement): void {
  if (current?.place === place) return;
  current?.stream.end();
  const address = place.dataset['log'] ?? '';
  const full = place.querySelector('a')?.getAttribute('href') ?? '';
  const list = make('ol', 'lines');
  list.tabIndex = 0;
  list.setAttribute('aria-label', 'Log lines');
  const tools = make('div', 'log-tools');
  const follow = button('Follow', () => pressed(follow, follow.getAttribute('aria-pressed') !== 'true'));
  const search = document.createElement('input');
  search.type = 'search';
  search.placeholder = 'Search';
  search.setAttribute('aria-label', 'Search the log');
  const copy = button('Copy', () => void navigator.clipboard.writeText(textOf(list)).then(() => say('copied')));
  const whole = link('Open', full);
  const download = link('Download', full.replace('/log?', '/log/text?'));
  const note = make('span', 'end');
  note.setAttribute('role', 'status');
  tools.append(follow, search, copy, whole, download, note);
  place.replaceChildren(tools, list);
  pressed(follow, true);

  const say = (text: string) => {
    note.textContent = text;
  };
  search.addEventListener('input', () => say(mark(list, search.value)));
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') nextHit(list);
  });
  list.addEventListener('scroll', () => {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
    if (!atEnd) pressed(follow, false);
  });

  let lines = 0;
  // a stream that begins anew sends everything anew; until it does, what was there stays, and then the place that was read
  let anew = true;
  let before = { top: 0, lines: 0 };
  const add = (fresh: readonly Line[]) => {
    if (anew) {
      before = { top: list.scrollTop, lines };
      list.replaceChildren();
      lines = 0;
      anew = false;
    }
    list.append(...fresh.map((line, i) => row(line, lines + i + 1, full)));
    lines += fresh.length;
    while (list.childElementCount > MOST_LINES) list.firstElementChild?.remove();
    if (search.value !== '') say(mark(list, search.value));
    if (follow.getAttribute('aria-pressed') === 'true') list.scrollTop = list.scrollHeight;
    else if (lines - fresh.length < before.lines) list.scrollTop = before.top;
  };
  const stream = keepStream(address, {
    open: () => {
      anew = true;
      say('');
    },
    lost: () => say('connection lost, trying again'),
    stands: async () => {
      const stands = await pageStands();
      if (!stands) say('not shown any more: load the page again');
      return stands;
    },
    events: {
      lines: (event) => add(JSON.parse(String(event.data)) as readonly Line[]),
      end: () => {
        stream.end();
        say(list.childElementCount === 0 ? 'nothing was written' : 'ended');
        pressed(follow, false);
      },
      unavailable: (event) => {
        stream.end();
        // opened again for a page that is seen again: what it showed is more than a reason
        if (list.childElementCount > 0) return say(`not live: ${String(event.data)}`);
        const why = make('p', 'log-open');
        why.textContent = `${String(event.data)} `;
        why.append(link('What shows it', full));
        list.replaceWith(why);
      },
    },
  });
  current = { place, stream };
}

function row([at, platform, pieces]: Line, number: number, full: string): HTMLElement {
  const item = document.createElement('li');
  if (platform) item.className = 'platform';
  const anchor = link(String(number), `${full}#L${number}`);
  anchor.className = 'ln';
  anchor.setAttribute('aria-label', `Line ${number}`);
  const text = make('span', 'tx');
  for (const [content, classes] of pieces) {
    if (classes === '') text.append(content);
    else {
      const span = make('span', classes);
      span.textContent = content;
      text.append(span);
    }
  }
  item.append(anchor);
  if (at !== '') {
    const time = document.createElement('time');
    time.dateTime = at;
    time.textContent = at.slice(11, 19);
    time.title = at;
    item.append(time);
  }
  item.append(text);
  return item;
}

const textOf = (list: Element) => [...list.querySelectorAll('.tx')].map((line) => line.textContent ?? '').join('\n');

function mark(list: Element, wanted: string): string {
  let hits = 0;
  for (const item of list.children) {
    const hit = wanted !== '' && (item.querySelector('.tx')?.textContent ?? '').toLowerCase().includes(wanted.toLowerCase());
    item.classList.toggle('hit', hit);
    if (hit) hits += 1;
  }
  if (hits > 0) list.querySelector('.hit')?.scrollIntoView({ block: 'nearest' });
  return wanted === '' ? '' : `${hits} found`;
}

function nextHit(list: Element): void {
  const hits = [...list.querySelectorAll('.hit')];
  const at = hits.findIndex((hit) => hit.classList.contains('marked'));
  hits[at]?.classList.remove('marked');
  const next = hits[(at + 1) % hits.length];
  next?.classList.add('marked');
  next?.scrollIntoView({ block: 'nearest' });
}

function make(tag: string, className: string): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
function button(word: string, act: () => void): HTMLButtonElement {
  const element = document.createElement('button');
  element.type = 'button';
  element.textContent = word;
  element.addEventListener('click', act);
  return element;
}
function link(word: string, href: string): HTMLAnchorElement {
  const element = document.createElement('a');
  element.textContent = word;
  element.href = href;
  return element;
}
function pressed(element: Element, on: boolean): void {
  element.setAttribute('aria-pressed', String(on));
}

function look(): void {
  const place = document.querySelector<HTMLElement>('[data-log]');
  if (place !== null) open(place);
  else {
    current?.stream.end();
    current = undefined;
  }
}
document.addEventListener('autofiles:shown', look);
look();

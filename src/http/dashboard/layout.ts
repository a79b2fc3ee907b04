// The frame of every page: head, navigation, mode, and what the client script needs to keep the page live.
import { type AssetName, type Assets, assetPath } from './assets.ts';
import { type Html, html, nothing } from './html.ts';
import { icon, iconSprite } from './icons.ts';

export type Mode = 'local' | 'test' | 'production';

/** What every page of a request is drawn with. */
export interface View {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly mode: Mode;
  /** Name of the app that the resource belongs to. */
  readonly app: string;
  /** Where the resource's bucket is reached by browsers: scheme, host, port; empty while there is none. */
  readonly store: string;
  readonly assets: Assets;
  /** Id of the resource; undefined for who is nobody's visitor. */
  readonly resource?: string;
  /** Goes into every form that changes something; undefined where the session needs none. */
  readonly csrf: string | undefined;
  /** A word that no other page has; in forms it tells an order that is sent twice from two. */
  readonly nonce?: string;
  /** Whether this session may change anything. */
  readonly write: boolean;
  /** Whether it may see the queues of all resources. */
  readonly operator: boolean;
}

const PAGES = [
  ['overview', '/', 'Overview'],
  ['runs', '/runs', 'Runs'],
  ['files', '/files', 'Files'],
  ['settings', '/settings', 'Settings'],
] as const;
export type PageName = (typeof PAGES)[number][0];

const MODE_WORDS: Readonly<Record<Mode, readonly [string, string]>> = {
  local: ['Local', 'The local cloud on this machine: nothing here reaches AWS or Heroku'],
  test: ['Test', 'A test installation'],
  production: ['Production', 'Real files, real dynos'],
};

export interface Page {
  readonly title: string;
  readonly current: PageName | undefined;
  readonly main: Html;
  /** Address of the stream that tells when to look again; undefined for a page that stays as it is. */
  readonly live?: string;
  /** Milliseconds after which the page looks again although nothing was told, because time itself changes it. */
  readonly tick?: number;
  readonly scripts?: readonly AssetName[];
  /** It loads images out of the bucket or sends files there. */
  readonly store?: boolean;
}

/** A whole document. */
export function page(view: View, { title, current, main, live, tick, scripts = [] }: Page): Html {
  const [mode, modeTitle] = MODE_WORDS[view.mode];
  const asset = (name: AssetName) => assetPath(view.assets, name);
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${title} · Autofiles</title><link rel="stylesheet" href="${asset('dashboard.css')}"><link rel="icon" type="image/svg+xml" href="${asset('favicon.svg')}">
${(['main.js', 'keyboard.js', ...scripts] as const).map((name) => html`<script type="module" src="${asset(name)}"></script>`)}</head>
<body class="mode-${view.mode}"${view.resource === undefined ? '' : html` data-resource="${view.resource}"`}${live === undefined ? '' : html` data-live="${live}"`}${tick === undefined ? '' : html` data-tick="${tick}"`}>${iconSprite()}
<a class="skip" href="#main">Skip to the content</a>
<header class="top"><a class="logo" href="/"><svg width="22" height="22" viewBox="0 0 24 24" aria-hidden="true"><path class="logo-file" d="M4 2h9l5 5v15H4z"/><path class="logo-bolt" d="M12 8l-4 7h3l-1 5 5-7h-3.4z"/></svg><span>Autofiles</span></a>
<nav aria-label="Main"><ul>${PAGES.map(([name, href, word]) => html`<li><a href="${href}"${name === current ? html` aria-current="page"` : ''}>${word}</a></li>`)}${view.operator ? html`<li><a href="/admin/queues">Queues</a></li>` : ''}</ul></nav>
<div class="top-end">${live === undefined ? '' : html`<span class="live" id="live" role="status" data-keep><span class="dot"></span><span id="live-word">not live without JavaScript</span></span>`}${view.app === '' ? '' : html`<span class="app" title="The app ${view.app}"><span class="vh">App </span>${view.app}</span>`}<span class="mode" title="${modeTitle}">${mode}</span><button class="ghost" type="button" data-help aria-label="Keyboard shortcuts" hidden>?</button></div></header>
<main id="main" tabindex="-1">${main}</main>
<div id="toast" role="status" aria-live="polite"></div>
${shortcuts()}
</body></html>`;
}

function shortcuts(): Html {
  const keys = [
    ['/', 'Search or filter'],
    ['j, k', 'Next, previous row'],
    ['Enter', 'Open the row'],
    ['r', 'To the retries'],
    ['c', 'To the cancel button'],
    ['x', 'Select the row'],
    ['l', 'To the log'],
    ['g o, g r, g f, g s', 'Overview, Runs, Files, Settings'],
    ['?', 'This help'],
    ['Esc', 'Close'],
  ];
  return html`<dialog id="help" aria-labelledby="help-title"><h2 id="help-title">Keyboard</h2><dl class="keys">${keys.map(
    ([key, what]) => html`<div><dt>${(key ?? '').split(', ').map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd></div>`,
  )}</dl><p><label><input type="checkbox" data-keys checked> Keys of one letter or sign do this</label></p><form method="dialog"><button class="button" autofocus>Close</button></form></dialog>`;
}

/** The way back above a page's title. */
export function crumbs(...parts: readonly (readonly [string, string])[]): Html {
  return html`<nav class="crumbs" aria-label="Breadcrumb"><ol>${parts.map(([href, word]) => html`<li><a href="${href}">${word}</a></li>`)}</ol></nav>`;
}

/** A text that a button copies. */
export function copyable(text: string, shown: string = text): Html {
  return html`<span class="copyable"><code>${shown}</code><button class="ghost" type="button" data-copy="${text}" aria-label="Copy ${text}" hidden>${icon('copy')}</button></span>`;
}

/** A list of facts: word and value; facts without a value are left out. */
export function facts(entries: readonly (readonly [string, Html | string | number | undefined])[]): Html {
  return html`<dl class="facts">${entries.map(([word, value]) => (value === undefined ? nothing : html`<div><dt>${word}</dt><dd>${value}</dd></div>`))}</dl>`;
}

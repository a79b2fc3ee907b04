// The icons, drawn once per page as symbols and used by name.
import type { RunState, TaskState } from '../../schema/run-view.ts';
import { type Html, html } from './html.ts';

const ICONS = {
  succeeded: html`<circle cx="8" cy="8" r="7" fill="currentColor" stroke="none"/><path d="M4.8 8.3l2.2 2.2 4.2-4.6" class="on"/>`,
  failed: html`<circle cx="8" cy="8" r="7" fill="currentColor" stroke="none"/><path d="M5.5 5.5l5 5m0-5l-5 5" class="on"/>`,
  rejected: html`<path d="M8 1.4L15 14H1z" fill="currentColor" stroke="none"/><path d="M8 6v3.6M8 11.6v.2" class="on"/>`,
  running: html`<circle cx="8" cy="8" r="6" opacity=".3"/><path d="M8 2a6 6 0 0 1 6 6"/>`,
  launching: html`<circle cx="8" cy="8" r="6" opacity=".3"/><path d="M8 11V5m-2.6 2.4L8 4.8l2.6 2.6"/>`,
  waiting: html`<circle cx="8" cy="8" r="6" stroke-dasharray="2.4 2.3"/>`,
  cooling: html`<circle cx="8" cy="8" r="6"/><path d="M8 4.6V8l2.2 1.6"/>`,
  retrying: html`<path d="M13.4 9a5.5 5.5 0 1 1-1-4.4M13.6 1.8v3.4h-3.4"/>`,
  skipped: html`<circle cx="8" cy="8" r="6"/><path d="M5 8h6"/>`,
  cancelled: html`<circle cx="8" cy="8" r="6"/><path d="M3.8 12.2l8.4-8.4"/>`,
  file: html`<path d="M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3"/>`,
  folder: html`<path d="M1.5 3.5h4.6l1.4 1.8h7v7.2h-13z"/>`,
  again: html`<path d="M13.4 9a5.5 5.5 0 1 1-1-4.4M13.6 1.8v3.4h-3.4"/>`,
  stop: html`<rect x="3.5" y="3.5" width="9" height="9" rx="1.5"/>`,
  more: html`<path d="M4 6.5l4 4 4-4"/>`,
  copy: html`<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M3 10.5h-.5v-8h8V3"/>`,
  download: html`<path d="M8 2v8m-3-2.8L8 10.2l3-3M2.5 13.5h11"/>`,
  upload: html`<path d="M8 10.5v-8M5 5.2L8 2.2l3 3M2.5 13.5h11"/>`,
  link: html`<path d="M6.6 9.4a2.8 2.8 0 0 0 4 0l2.2-2.2a2.8 2.8 0 0 0-4-4l-.9.9M9.4 6.6a2.8 2.8 0 0 0-4 0L3.2 8.8a2.8 2.8 0 0 0 4 4l.9-.9"/>`,
  search: html`<circle cx="7" cy="7" r="4.5"/><path d="M10.4 10.4l3.6 3.6"/>`,
} as const;
export type IconName = keyof typeof ICONS;

/** All symbols; stands once in a page, before the first use. */
export function iconSprite(): Html {
  return html`<svg class="sprite" width="0" height="0" aria-hidden="true" focusable="false"><defs>${Object.entries(ICONS).map(
    ([name, drawing]) => html`<symbol id="i-${name}" viewBox="0 0 16 16">${drawing}</symbol>`,
  )}<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" class="hatch-ground"/><rect width="2.6" height="6" class="hatch-line"/></pattern></defs></svg>`;
}

/** An icon beside a text that says the same; hidden from screen readers. */
export function icon(name: IconName): Html {
  return html`<svg class="icon" width="16" height="16" aria-hidden="true" focusable="false"><use href="#i-${name}"/></svg>`;
}

export type ShownState = RunState | TaskState;

const STATE_ICONS: Readonly<Record<ShownState, IconName>> = {
  accepted: 'waiting',
  running: 'running',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
  rejected: 'rejected',
  waiting: 'waiting',
  launching: 'launching',
  cooling: 'cooling',
  retrying: 'retrying',
  skipped: 'skipped',
};

/** The icon of a state alone, in its colour; the state's word must stand beside it or be read out. */
export function stateIcon(state: ShownState): Html {
  return html`<span class="st st-${state}">${icon(STATE_ICONS[state])}</span>`;
}

/** A state as icon and word, so that it never depends on colour. */
export function stateBadge(state: ShownState, word: string = state): Html {
  return html`<span class="badge st st-${state}">${icon(STATE_ICONS[state])}${word}</span>`;
}

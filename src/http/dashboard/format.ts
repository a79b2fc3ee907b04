// Durations, sizes and times as people read them.
import { type Html, html } from './html.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** A duration in ms: `340 ms`, `2.41 s`, `31.2 s`, `4 min 05 s`, `2 h 03 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  const time = Math.max(0, ms);
  if (time < SECOND_MS) return `${Math.round(time)} ms`;
  if (time < 10 * SECOND_MS) return `${(time / SECOND_MS).toFixed(2)} s`;
  if (time < MINUTE_MS) return `${(time / SECOND_MS).toFixed(1)} s`;
  if (time < HOUR_MS) return `${Math.floor(time / MINUTE_MS)} min ${padded(Math.floor((time % MINUTE_MS) / SECOND_MS))} s`;
  if (time < DAY_MS) return `${Math.floor(time / HOUR_MS)} h ${padded(Math.floor((time % HOUR_MS) / MINUTE_MS))} min`;
  return `${Math.floor(time / DAY_MS)} d ${Math.floor((time % DAY_MS) / HOUR_MS)} h`;
}

/** A duration as `1.4 s` or `12 s` on an axis: no more digits than the distance of its ticks needs. */
export function tickText(ms: number): string {
  if (ms === 0) return '0';
  if (ms < SECOND_MS) return `${ms} ms`;
  if (ms < MINUTE_MS) return `${Number((ms / SECOND_MS).toFixed(2))} s`;
  if (ms < HOUR_MS) return `${Number((ms / MINUTE_MS).toFixed(2))} min`;
  return `${Number((ms / HOUR_MS).toFixed(2))} h`;
}

/** Bytes: `512 B`, `1.4 KB`, `23 MB`. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  for (const [unit, size] of UNITS) {
    if (count < size * 1000 || unit === 'TB') return `${count / size < 10 ? (count / size).toFixed(1) : Math.round(count / size)} ${unit}`;
  }
  return `${count} B`;
}
const UNITS = [
  ['KB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['TB', 1e12],
] as const;

/** A whole number with thousands separated: `12,431`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** How long ago or ahead: `now`, `12 s ago`, `4 min ago`, `in 3 h`, `2 d ago`. */
function relative(at: number, now: number): string {
  const ms = Math.abs(now - at);
  const text =
    ms < SECOND_MS
      ? ''
      : ms < MINUTE_MS
        ? `${Math.floor(ms / SECOND_MS)} s`
        : ms < HOUR_MS
          ? `${Math.floor(ms / MINUTE_MS)} min`
          : ms < DAY_MS
            ? `${Math.floor(ms / HOUR_MS)} h`
            : `${Math.floor(ms / DAY_MS)} d`;
  if (text === '') return 'now';
  return at > now ? `in ${text}` : `${text} ago`;
}

/** A time element: relative as its text (the client keeps it fresh), absolute on hover. */
export function when(iso: string, now: number): Html {
  const at = Date.parse(iso);
  return html`<time datetime="${iso}" title="${absolute(iso)}" data-relative>${relative(at, now)}</time>`;
}

/** `2026-11-29 00:14:41.250 UTC` */
function absolute(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)} UTC`;
}

/** The clock time of a moment: `00:14:41.250`. */
export function clock(iso: string): string {
  return iso.slice(11, 23);
}

const padded = (value: number) => String(value).padStart(2, '0');

/** At most `length` characters, cut with an ellipsis. */
export function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

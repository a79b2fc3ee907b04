// Small plots as SVG with positions in per cent: they need no script, and the same figures stand beside them as a table.
import type { ActivityStretch } from '../../queues/activity.ts';
import type { RunSummary } from '../../schema/run-view.ts';
import { clock, count, duration, tickText } from './format.ts';
import { type Html, html } from './html.ts';
import { titleOf } from './run-page.ts';

/** Pixels. */
const HEIGHT = 120;
const FOOT = 18;

const percent = (value: number) => `${Number(value.toFixed(3))}%`;
/** Milliseconds from which on a clock time alone does not tell which day is meant: 20 hours. */
const DAYS_FROM_MS = 72_000_000;
const day = (ms: number) => `${new Date(ms).toISOString().slice(5, 10)} `;
const hour = (ms: number) => clock(new Date(ms).toISOString()).slice(0, 5);

/** Runs by the time they were accepted: one bar per stretch, what failed below what did not. */
export function throughputChart(stretches: readonly ActivityStretch[]): Html {
  const totals = stretches.map((one) => one.succeeded + one.failed + one.cancelled + one.rejected);
  const most = Math.max(1, ...totals);
  const width = 100 / Math.max(1, stretches.length);
  const inner = HEIGHT - FOOT;
  const shown = stretches.filter((_, i) => (totals[i] ?? 0) > 0);
  const all = totals.reduce((sum, total) => sum + total, 0);
  return html`<figure class="chart"><figcaption>Runs per half hour <span class="muted">most ${count(most)}</span></figcaption>
<svg width="100%" height="${HEIGHT}" role="img" aria-label="${count(all)} ended runs in 24 hours; the figures follow as a table"><line class="base" x1="0" x2="100%" y1="${inner}" y2="${inner}"/>${stretches.map(
    (one, i) => {
      const bad = one.failed + one.rejected;
      const total = totals[i] ?? 0;
      if (total === 0) return '';
      const high = Math.max(3, (total / most) * (inner - 6));
      const badHigh = bad === 0 ? 0 : Math.max(3, (bad / total) * high);
      return html`<g><title>${hour(one.from)}: ${total} runs, ${bad} failed</title><rect class="bar-good" x="${percent(i * width + width * 0.12)}" width="${percent(width * 0.76)}" y="${inner - high}" height="${high}" rx="1.5"/>${
        bad === 0
          ? ''
          : html`<rect class="bar-bad" x="${percent(i * width + width * 0.12)}" width="${percent(width * 0.76)}" y="${inner - badHigh}" height="${badHigh}" rx="1.5"/>`
      }</g>`;
    },
  )}${stretches.map((one, i) => (i % 12 === 0 ? html`<text x="${percent(i * width)}" y="${HEIGHT - 4}">${hour(one.from)}</text>` : ''))}</svg>
<details class="sub"><summary>As a table</summary><table class="list"><thead><tr><th scope="col">From (UTC)</th><th scope="col" class="num">succeeded</th><th scope="col" class="num">failed</th><th scope="col" class="num">cancelled</th><th scope="col" class="num">rejected</th></tr></thead><tbody>${shown.map(
    (one) =>
      html`<tr><td>${hour(one.from)}</td><td class="num">${one.succeeded}</td><td class="num">${one.failed}</td><td class="num">${one.cancelled}</td><td class="num">${one.rejected}</td></tr>`,
  )}</tbody></table></details></figure>`;
}

/** How long the newest ended runs took: one dot each, on a logarithmic height; a failed one is a cross. */
export function durationChart(runs: readonly RunSummary[]): Html {
  const ended = runs.flatMap((run) =>
    run.ended_at === null || run.state === 'rejected'
      ? []
      : [{ run, at: Date.parse(run.created_at), ms: Math.max(1, Date.parse(run.ended_at) - Date.parse(run.created_at)) }],
  );
  if (ended.length === 0) return html``;
  const first = Math.min(...ended.map(({ at }) => at));
  const last = Math.max(...ended.map(({ at }) => at), first + 1);
  const low = Math.log10(Math.min(...ended.map(({ ms }) => ms))) - 0.2;
  const high = Math.log10(Math.max(...ended.map(({ ms }) => ms))) + 0.2;
  const inner = HEIGHT - FOOT;
  const y = (ms: number) => inner - ((Math.log10(ms) - low) / (high - low)) * (inner - 8) - 2;
  const sorted = ended.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  const marks = [1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000].filter(
    (ms) => Math.log10(ms) > low && Math.log10(ms) < high,
  );
  return html`<figure class="chart"><figcaption>Duration of the last ${ended.length} runs <span class="muted">half within ${duration(at(0.5))}, 95 of 100 within ${duration(at(0.95))}</span></figcaption>
<svg width="100%" height="${HEIGHT}" role="img" aria-label="Half of the runs took up to ${duration(at(0.5))}, 95 of 100 up to ${duration(at(0.95))}"><line class="base" x1="0" x2="100%" y1="${inner}" y2="${inner}"/>${marks.map(
    (ms) =>
      html`<line class="base faint" x1="0" x2="100%" y1="${y(ms)}" y2="${y(ms)}"/><text x="0" y="${y(ms) - 3}">${tickText(ms)}</text>`,
  )}${ended.map(({ run, at: when, ms }) => {
    const x = 9 + ((when - first) / (last - first)) * 89;
    return html`<svg x="${percent(x)}" y="${y(ms)}" overflow="visible" class="dot-${run.state === 'succeeded' ? 'good' : 'bad'}"><title>${titleOf(run)}: ${run.state}, ${duration(ms)}</title>${run.state === 'succeeded' ? html`<circle r="3.2"/>` : html`<path d="M-3.4 -3.4l6.8 6.8m0 -6.8l-6.8 6.8"/>`}</svg>`;
  })}<text x="9%" y="${HEIGHT - 4}">${last - first > DAYS_FROM_MS ? day(first) : ''}${hour(first)}</text><text x="100%" y="${HEIGHT - 4}" class="end">${last - first > DAYS_FROM_MS ? day(last) : ''}${hour(last)} UTC</text></svg></figure>`;
}

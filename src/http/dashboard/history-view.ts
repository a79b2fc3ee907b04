// The history of a run as a table, its words for people.
import type { HistoryEntry, RunView } from '../../schema/run-view.ts';
import { clock } from './format.ts';
import { type Html, html } from './html.ts';
import { taskName, taskNumber } from './timeline-view.ts';

const HISTORY_WORDS: Readonly<Record<string, string>> = {
  accepted: 'accepted',
  planned: 'planned',
  queued: 'waits for its turn to launch',
  intent: 'launch decided',
  launched: 'dyno asked for',
  adopted: 'dyno found again',
  up: 'dyno up',
  exited: 'dyno ended',
  output: 'output arrived',
  late_output: 'later output',
  refused_output: 'output refused: never launched',
  cooling: 'wait_for begins',
  retry: 'attempt failed, tried again',
  refused: 'launch refused',
  lost: 'launch lost',
  failing: 'the run is failing',
  cancelling: 'cancel asked for',
  superseded: 'dyno of a closed attempt',
  unexported: 'export given up',
  omitted: 'entries that the archive leaves out',
};

/** Entries that a table shows. */
const MOST_ENTRIES = 500;

/** History entries as a table; with `task` only that one's. */
export function historyTable(run: RunView, task?: string): Html {
  const names = new Map(
    run.steps.flatMap((step, k) => step.tasks.map((one, i) => [one.id, `${taskNumber(run, k, i)} ${taskName(one)}`] as const)),
  );
  const all = task === undefined ? run.history : run.history.filter((entry) => entry.task === task);
  const entries = all.slice(-MOST_ENTRIES);
  const left = all.length - entries.length;
  return html`${left === 0 ? '' : html`<p class="muted">The newest ${entries.length} of ${all.length}; <code>GET /v1/runs/${run.id}/history</code> has all.</p>`}<div class="scroll" tabindex="0" role="region" aria-label="History"><table class="history"><thead><tr><th scope="col">Time</th>${task === undefined ? html`<th scope="col">Task</th>` : ''}<th scope="col">What</th><th scope="col">Detail</th></tr></thead><tbody>${entries.map(
    (entry) =>
      html`<tr><td class="mono"><time datetime="${entry.at}" title="${entry.at}">${clock(entry.at)}</time></td>${
        task === undefined
          ? html`<td>${entry.task === null ? '' : (names.get(entry.task) ?? entry.task)}${entry.attempt !== null && entry.attempt > 1 ? html` <span class="chip">attempt ${entry.attempt}</span>` : ''}</td>`
          : ''
      }<td>${HISTORY_WORDS[entry.what] ?? entry.what}</td><td class="detail">${detailOf(entry)}</td></tr>`,
  )}</tbody></table></div>`;
}

function detailOf(entry: HistoryEntry): string {
  if (!/output$/.test(entry.what) || !entry.detail.startsWith('{')) return entry.detail;
  const output: unknown = JSON.parse(entry.detail);
  if (typeof output !== 'object' || output === null || !('key' in output)) return entry.detail;
  return `${String(output.key)}${'state' in output ? ` · state ${String(output.state)}` : ''}`;
}

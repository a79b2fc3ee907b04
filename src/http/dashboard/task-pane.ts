// The details of one task: what to do about it, its output, its log, its attempts side by side.
import type { RunView } from '../../schema/run-view.ts';
import { bytes, duration, when } from './format.ts';
import { historyTable } from './history-view.ts';
import { type Html, html } from './html.ts';
import { icon, stateBadge } from './icons.ts';
import { copyable, facts, type View } from './layout.ts';
import { downloadHref, fileHref } from './links.ts';
import { outputPreview } from './previews.ts';
import { guardField, type RetryForm } from './retry-forms.ts';
import { PHASE_WORDS, PHASES, phaseTimes, type TaskTimeline } from './timeline.ts';
import { taskName, taskNumber } from './timeline-view.ts';

/** The pane. `retry`: undefined where nothing can be run again. */
export function taskPane(view: View, run: RunView, row: TaskTimeline, retry: RetryForm | undefined): Html {
  const { task, step, index, attempts } = row;
  const dynos = attempts.filter(({ dyno }) => dyno !== null);
  return html`<section class="card pane" id="task" aria-labelledby="task-h" tabindex="-1"><header><h2 id="task-h"><span class="no">${taskNumber(run, step, index)}</span> ${taskName(task)}</h2>${stateBadge(task.state)}</header>
${task.error === null ? '' : html`<div class="callout small">${icon('failed')}<p class="pre"><code>${task.error.code}</code> ${task.error.message}</p></div>`}
${retry === undefined ? '' : paneActions(retry, row)}
${facts([
  ['Command', copyable(task.cmd)],
  ['Dyno', task.dyno === null ? undefined : html`${task.dyno} <span class="muted">${task.machine}</span>`],
  ['Size', task.dyno === null ? task.machine : undefined],
  [DEADLINE_WORDS[task.state] ?? 'Deadline', task.deadline === null ? undefined : when(task.deadline, view.now)],
])}
${outputOf(row)}
${logOf(run, row, dynos.at(-1)?.number)}
${attempts.length === 0 ? '' : attemptsTable(row)}
<details class="sub"><summary>History of this task</summary>${historyTable(run, task.id)}</details>
</section>`;
}

const DEADLINE_WORDS: Readonly<Record<string, string>> = { cooling: 'Goes on', retrying: 'Next attempt' };

function paneActions(form: RetryForm, { task, step }: TaskTimeline): Html {
  return html`<form method="post" action="/runs/${form.runId}/retry" class="row">${guardField(form)}<input type="hidden" name="step" value="${step + 1}"><input type="hidden" name="task" value="${task.id}">
<button class="button" name="mode" value="task">${icon('again')}Only this task</button><button class="button" name="mode" value="from">From step ${step + 1} on</button></form>`;
}

function outputOf({ task }: TaskTimeline): Html | '' {
  if (task.output === null) return '';
  const { key, version_id: version, size, state } = task.output;
  return html`<h3>Output</h3><div class="output"><a href="${fileHref(key, version)}" class="file">${icon('file')}${key}</a> <span class="muted">${bytes(size)}</span> <a class="button small" href="${downloadHref(key, version)}">${icon('download')}Download</a>
${state === null ? '' : html`<p class="state-text"><span class="muted">ld_state</span> <code>${state}</code></p>`}</div>${outputPreview({ key, versionId: version, size })}`;
}

/** Attempts side by side: a phase that took longer than before is seen at once. */
function attemptsTable({ attempts }: TaskTimeline): Html {
  const used = PHASES.filter((phase) => attempts.some(({ segments }) => segments.some((segment) => segment.phase === phase)));
  const times = attempts.map((attempt) => new Map(phaseTimes(attempt).map(({ phase, ms }) => [phase, ms])));
  return html`<h3>${attempts.length === 1 ? 'Where the time went' : 'Attempts compared'}</h3><div class="scroll" tabindex="0" role="region" aria-label="Attempts"><table class="attempts"><thead><tr><th scope="col"><span class="vh">Phase</span></th>${attempts.map(({ number }) => html`<th scope="col" class="num">${attempts.length === 1 ? 'Time' : `Attempt ${number}`}</th>`)}</tr></thead><tbody>${used.map(
    (phase) =>
      html`<tr><th scope="row"><svg width="10" height="10" aria-hidden="true"><rect class="ph ph-${phase}" width="10" height="10" rx="2"/></svg> ${PHASE_WORDS[phase]}</th>${times.map((own) => html`<td class="num">${own.has(phase) ? duration(own.get(phase) ?? 0) : '–'}</td>`)}</tr>`,
  )}<tr><th scope="row">Dyno</th>${attempts.map(({ dyno }) => html`<td class="num mono">${dyno ?? '–'}</td>`)}</tr>
${attempts.some(({ exit }) => exit !== '') ? html`<tr><th scope="row">Ended</th>${attempts.map(({ exit }) => html`<td class="num">${exit === '' ? '–' : exit}</td>`)}</tr>` : ''}
<tr><th scope="row">Result</th>${attempts.map(({ state, error }) => html`<td class="num" title="${error}">${state === 'open' ? 'goes on' : state}</td>`)}</tr></tbody></table></div>`;
}

function logOf(run: RunView, { task, step, index, attempts }: TaskTimeline, newest: number | undefined): Html {
  const base = `/runs/${run.id}/tasks/${step}.${index}/log`;
  if (newest === undefined) {
    return html`<h3 id="log">Log</h3><p class="muted">${attempts.length === 0 ? 'This task started no dyno.' : 'No dyno of this task was started yet.'}</p>`;
  }
  const withDyno = attempts.filter(({ dyno }) => dyno !== null);
  return html`<div class="log-head"><h3 id="log">Log</h3>${
    withDyno.length > 1
      ? html`<ul class="log-attempts">${withDyno.map(({ number }) => html`<li><a href="${base}?attempt=${number}">attempt ${number}</a></li>`)}</ul>`
      : ''
  }</div><div class="log" id="log-${task.id.replaceAll('.', '-')}-${newest}" data-log="${base}/stream?attempt=${newest}" data-keep><p class="log-open"><a href="${base}?attempt=${newest}">Open the log of ${attempts.find(({ number }) => number === newest)?.dyno ?? 'the dyno'}</a></p></div>`;
}

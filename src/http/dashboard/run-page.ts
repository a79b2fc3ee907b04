// One run: what it is, what went wrong, where the time went, its graph, one task's details, and its history.
import { isFinal, type RunView } from '../../schema/run-view.ts';
import { bytes, count, duration, when } from './format.ts';
import { graphView } from './graph-view.ts';
import { historyTable } from './history-view.ts';
import { type Html, html } from './html.ts';
import { icon, stateBadge } from './icons.ts';
import { copyable, crumbs, facts, type Page, type View } from './layout.ts';
import { fileHref } from './links.ts';
import { cancelForm, guardField, type RetryForm } from './retry-forms.ts';
import { stagesOf } from './stages.ts';
import { taskPane } from './task-pane.ts';
import { type TaskTimeline, type Timeline, timelineOf } from './timeline.ts';
import { taskName, taskNumber, timelineView } from './timeline-view.ts';

/** A page that shows time passing looks again this often, ms: a bar grows by about a pixel meanwhile. */
const LEAST_TICK_MS = 1_000;
const PIXELS = 400;

/** The run's page. `asked`: `step.index` of the task whose details are wanted. */
export function runPage(view: View, run: RunView, asked: string | undefined): Page {
  const timeline = timelineOf(run, view.now);
  const chosen = choose(timeline, asked);
  const ended = isFinal(run.state);
  const undone = timeline.tasks.some(({ task }) => task.state !== 'succeeded');
  const form: RetryForm = { runId: run.id, undone, csrf: view.csrf, nonce: view.nonce };
  const retry = ended && view.write && run.state !== 'rejected' ? form : undefined;
  return {
    title: `${titleOf(run)}: ${shownState(run)}`,
    current: 'runs',
    scripts: ['log.js', 'graph.js', 'preview.js'],
    store: true,
    ...(ended ? {} : { live: `/runs/${run.id}/live`, tick: Math.max(LEAST_TICK_MS, Math.round((timeline.to - timeline.from) / PIXELS)) }),
    main: html`${crumbs(['/runs', 'Runs'])}
<div class="run-head"><div><h1>${titleOf(run)}</h1>${stateBadge(shownState(run), runWord(run))}</div>
<div class="actions">${!ended && view.write ? cancelForm(form) : ''}${retry === undefined ? '' : againForm(retry, run)}</div></div>
${stagesOf(run)}${headFacts(view, run, timeline)}
${problem(run, timeline)}
${
  run.steps.length === 0
    ? ''
    : html`<div class="panes"><section class="card tl-card" aria-labelledby="tl-h"><h2 id="tl-h">Timeline</h2>${timelineView(run, timeline, chosen?.task.id, retry)}</section>
${chosen === undefined ? '' : taskPane(view, run, chosen, retry)}</div>
<section class="card" aria-labelledby="gr-h"><h2 id="gr-h">Graph</h2>${graphView(run, chosen?.task.id)}</section>`
}
<section class="card" aria-labelledby="hi-h"><details${run.steps.length === 0 ? html` open` : ''}><summary><h2 id="hi-h">History</h2> <span class="muted">${count(run.history.length)} entries</span></summary>${historyTable(run)}</details></section>`,
  };
}

/** What a run is called: its title, or the file that started it. */
export function titleOf(run: { readonly title: string; readonly trigger: { readonly key: string } }): string {
  return run.title === '' ? (run.trigger.key.split('/').at(-1) ?? run.trigger.key) : run.title;
}

/** The state as shown: a run whose tasks only wait for their next attempt is retrying, not running. */
function shownState(run: RunView): RunView['state'] | 'retrying' {
  if (run.state !== 'running') return run.state;
  const tasks = run.steps.flatMap((step) => step.tasks);
  const busy = tasks.some(({ state }) => state === 'running' || state === 'launching' || state === 'cooling');
  return !busy && tasks.some(({ state }) => state === 'retrying') ? 'retrying' : run.state;
}

function runWord(run: RunView): string {
  if (run.state === 'running' && run.error !== null) return 'failing: what was launched is awaited';
  if (run.state === 'running' && run.history.some(({ what }) => what === 'cancelling')) return 'being cancelled';
  return shownState(run);
}

/** The task that was asked for, else the first that failed, else the first that goes on, else the last one. */
function choose(timeline: Timeline, asked: string | undefined): TaskTimeline | undefined {
  const { tasks } = timeline;
  return (
    tasks.find(({ step, index }) => `${step}.${index}` === asked) ??
    tasks.find(({ task }) => task.state === 'failed') ??
    tasks.find(({ task }) => task.state !== 'succeeded' && task.state !== 'skipped' && task.state !== 'waiting') ??
    tasks.findLast(({ task }) => task.state === 'succeeded') ??
    tasks[0]
  );
}

function headFacts(view: View, run: RunView, timeline: Timeline): Html {
  const tasks = run.steps.flatMap((step) => step.tasks);
  const done = tasks.filter(({ state }) => state === 'succeeded').length;
  const { key, version_id: version, size } = run.trigger;
  return facts([
    ['File', html`<a href="${fileHref(key, version)}" class="file">${icon('file')}${key}</a> <span class="muted">${bytes(size)}</span>`],
    [
      'Started by',
      run.again === null ? 'saving the file' : html`${AGAIN_WORDS[run.again.how]} <a href="/runs/${run.again.of}">${run.again.of}</a>`,
    ],
    ['Started', when(run.saved_at !== null && run.again === null ? run.saved_at : run.created_at, view.now)],
    [
      run.ended_at === null ? 'For' : 'Took',
      html`<span${run.ended_at === null ? html` data-since="${new Date(timeline.from).toISOString()}"` : ''}>${duration(timeline.to - timeline.from)}</span>`,
    ],
    ['Tasks', tasks.length === 0 ? undefined : `${done} of ${tasks.length} succeeded`],
    [
      'Cost',
      tasks.length === 0
        ? undefined
        : html`<span title="From each accepted launch until its task was decided">${timeline.dynoSeconds.toFixed(1)} dyno seconds</span>`,
    ],
    ['Run', copyable(run.id)],
  ]);
}

const AGAIN_WORDS: Readonly<Record<NonNullable<RunView['again']>['how'], string>> = {
  run: 'running the whole of',
  from: 'running on from a step of',
  task: 'running one task of',
  failed: 'running what did not succeed of',
};

function problem(run: RunView, timeline: Timeline): Html | '' {
  if (run.error === null) return '';
  const failed = timeline.tasks.find(({ task }) => task.state === 'failed');
  const lines = run.error.message.split('\n').filter((line) => line !== '');
  return html`<section class="callout" aria-label="What went wrong">${icon(run.state === 'rejected' ? 'rejected' : 'failed')}<div>
${
  failed === undefined
    ? html`<p><b>${run.state === 'rejected' ? 'The workflow was rejected; nothing was started.' : 'The run failed.'}</b> <code>${run.error.code}</code></p>`
    : html`<p><b>Step ${taskNumber(run, failed.step, failed.index)}, <a href="?task=${failed.step}.${failed.index}#task" data-nav>${taskName(failed.task)}</a>, failed</b> <code>${run.error.code}</code></p>`
}${lines.map((line) => html`<p class="pre">${line}</p>`)}${
  run.state === 'rejected'
    ? html`<p>Correct the file and save it again: each save is a run of its own. <code>autofiles validate FILE</code> tells the same before.</p>`
    : ''
}</div></section>`;
}

function againForm(form: RetryForm, run: RunView): Html {
  const failed = run.state !== 'succeeded';
  return html`<form method="post" action="/runs/${form.runId}/retry">${guardField(form)}<button class="button primary" name="mode" value="${failed ? 'failed' : 'run'}" data-key="r">${icon('again')}${failed ? 'Retry what failed' : 'Run again'}</button></form>
<a class="button" href="/runs/${form.runId}/again">More …</a>`;
}

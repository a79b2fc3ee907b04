// The list of runs: what ran, what went wrong in the row itself, newest first; filters stand in the address.
import type { RunPage, RunSummary } from '../../schema/run-view.ts';
import { duration, shortened, when } from './format.ts';
import { type Html, html } from './html.ts';
import { icon, stateBadge } from './icons.ts';
import type { Page, View } from './layout.ts';
import { fileHref } from './links.ts';
import { guardField } from './retry-forms.ts';
import { titleOf } from './run-page.ts';
import { FILTER_STATES, filterHref, isFiltered, PERIODS, type RunsFilter } from './runs-filter.ts';

/** The page. */
export function runsPage(view: View, filter: RunsFilter, { runs, next }: RunPage): Page {
  return {
    title: 'Runs',
    current: 'runs',
    live: '/runs/live',
    main: html`<div class="run-head"><h1>Runs</h1></div>${filters(filter)}
<section class="card" aria-label="Runs">${
      runs.length > 0
        ? bulkForm(view, runs)
        : isFiltered(filter) || filter.cursor !== ''
          ? html`<p>No run fits these filters${next === null ? '' : ' among those looked at so far'}.${isFiltered(filter) ? html` <a href="/runs">Show all runs</a>` : ''}</p>`
          : noRuns()
    }${next === null ? '' : html`<p><a class="button" href="${filterHref(filter, { cursor: next })}">${runs.length > 0 ? 'Older' : 'Look further'}</a></p>`}</section>`,
  };
}

function filters(filter: RunsFilter): Html {
  return html`<form class="filters" method="get" action="/runs" role="search">
<ul class="chips" aria-label="States">${FILTER_STATES.map((state) => {
    const on = filter.states.includes(state);
    const states = on ? filter.states.filter((one) => one !== state) : [...filter.states, state];
    return html`<li><a href="${filterHref(filter, { states })}"${on ? html` aria-current="true"` : ''}>${stateBadge(state)}</a></li>`;
  })}</ul>${filter.states.map((state) => html`<input type="hidden" name="state" value="${state}">`)}
<label class="grow"><span class="vh">Text in id, title, key or error</span><input type="search" name="q" value="${filter.q}" placeholder="Search id, title, key, error"></label>
<label><span class="vh">Key begins with</span><input name="prefix" value="${filter.prefix}" placeholder="Key prefix, in/photos/" size="16"></label>
<label><span class="vh">Title</span><input name="title" value="${filter.title}" placeholder="Workflow title" size="14"></label>
<label><span class="vh">Time</span><select name="period"><option value="">any time</option>${Object.keys(PERIODS).map(
    (period) => html`<option value="${period}"${period === filter.period ? html` selected` : ''}>last ${period}</option>`,
  )}</select></label>
<button class="button">${icon('search')}Filter</button>${isFiltered(filter) ? html`<a class="button" href="/runs">Clear</a>` : ''}</form>`;
}

function bulkForm(view: View, runs: readonly RunSummary[]): Html {
  if (!view.write) return runsTable(view, runs);
  return html`<form method="post" action="/runs/bulk">${guardField(view)}${runsTable(view, runs)}
<div class="row bulk"><button class="button" name="action" value="retry" data-bulk>${icon('again')}Retry selected</button><button class="button danger" name="action" value="cancel" data-bulk>${icon('stop')}Cancel selected</button><span class="muted" data-selected>Select rows to retry or cancel several</span></div></form>`;
}

/** Runs as a table; the first line of an error stands in its row. */
function runsTable(view: View, runs: readonly RunSummary[]): Html {
  return html`<table class="list runs"><thead><tr>${view.write ? html`<th scope="col" class="tick"><span class="vh">Select</span></th>` : ''}<th scope="col">State</th><th scope="col">Run</th><th scope="col">File</th><th scope="col" class="num">Tasks</th><th scope="col" class="num">Started</th><th scope="col" class="num">Took</th></tr></thead><tbody>${runs.map((run) => runRow(view, run, view.write))}</tbody></table>`;
}

/** One run as a row; `tick` puts a box before it that selects it. */
export function runRow(view: View, run: RunSummary, tick: boolean): Html {
  const state = run.state === 'running' && run.retrying > 0 ? 'retrying' : run.state;
  return html`<tr id="${run.id}">${
    tick
      ? html`<td class="tick"><label><input type="checkbox" name="id" value="${run.id}"><span class="vh">Select ${titleOf(run)}</span></label></td>`
      : ''
  }<td>${stateBadge(state)}</td><td class="main"><a href="/runs/${run.id}" data-row>${titleOf(run)}</a>${
    run.again === null ? '' : html` <span class="chip">again</span>`
  }${run.error === null ? '' : html`<span class="row-error">${shortened(firstLine(run.error), 220)}</span>`}</td><td class="of-file"><a class="file" href="${fileHref(run.trigger.key, run.trigger.version_id)}">${icon('file')}${run.trigger.key}</a></td><td class="num">${
    run.tasks === 0 ? '' : `${run.settled}/${run.tasks}`
  }</td><td class="num">${when(run.created_at, view.now)}</td><td class="num">${tookOf(run, view.now)}</td></tr>`;
}

function tookOf(run: RunSummary, now: number): string {
  if (run.state === 'rejected') return '';
  return duration((run.ended_at === null ? now : Date.parse(run.ended_at)) - Date.parse(run.created_at));
}

function firstLine({ code, message }: { readonly code: string; readonly message: string }): string {
  return message.split('\n').find((line) => line.trim() !== '') ?? code;
}

/** What stands where nothing has run: the commands that start a first run. */
export function noRuns(): Html {
  return html`<div class="start"><h2>Nothing has run yet</h2><p>Save a file with a workflow and it runs. Three ways to begin:</p><ol>
<li><code>autofiles put workflow.json --run --wait</code><span class="muted">the file is the workflow</span></li>
<li><code>autofiles put picture.jpg --workflow workflow.json --wait</code><span class="muted">the workflow is attached to the file</span></li>
<li><code>aws s3 cp picture.jpg s3://$LD_S3_BUCKET/in/ --metadata ld_code='{"run":[{"cmd":"process_image"}]}'</code><span class="muted">any S3 client, after <code>set -a; . .autofiles/env</code></span></li></ol></div>`;
}

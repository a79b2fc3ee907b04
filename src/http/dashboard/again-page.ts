// The page that runs an ended run again: which part, with which workflow, and what that repeats.
import type { Selection } from '../../queues/replay.ts';
import type { RunView } from '../../schema/run-view.ts';
import { html } from './html.ts';
import { icon } from './icons.ts';
import { crumbs, type Page, type View } from './layout.ts';
import { guardField } from './retry-forms.ts';
import { titleOf } from './run-page.ts';
import { taskName, taskNumber } from './timeline-view.ts';

export interface AgainState {
  /** The run's own workflow, for people to edit. */
  readonly own?: string;
  /** The workflow as it was typed. */
  readonly text?: string;
  /** What was wrong with it. */
  readonly fault?: string;
  readonly selection?: Selection;
}

/** The page; `state` is what was sent and refused before. */
export function againPage(view: View, run: RunView, { own = '', text, fault, selection }: AgainState): Page {
  const tasks = run.steps.flatMap((step, k) => step.tasks.map((task, i) => ({ task, k, i })));
  const undone = tasks.filter(({ task }) => task.state !== 'succeeded');
  const mode = selection?.mode ?? (undone.length > 0 ? 'failed' : 'run');
  const step = selection?.mode === 'from' ? selection.step : (undone[0]?.k ?? 0);
  const choice = (value: Selection['mode'], word: string, what: string) =>
    html`<label class="choice"><input type="radio" name="mode" value="${value}"${value === mode ? html` checked` : ''}><span><b>${word}</b><small>${what}</small></span></label>`;
  return {
    title: 'Run again',
    current: 'runs',
    main: html`${crumbs(['/runs', 'Runs'], [`/runs/${run.id}`, titleOf(run)])}<h1>Run again</h1>
<p class="muted">A new run with a record of its own. What is kept counts as done, with the outputs it had; later tasks find them as before. What runs again has its side effects again.</p>
${fault === undefined ? '' : html`<div class="callout" role="alert">${icon('failed')}<p class="pre">${fault}</p></div>`}
<form method="post" action="/runs/${run.id}/retry" class="card again">${guardField(view)}
<fieldset><legend>What runs again</legend>
${choice(
  'failed',
  undone.length === 0 ? 'What an edited workflow adds' : 'What did not succeed',
  undone.length === 0
    ? 'every task has succeeded, so there is nothing else left'
    : `${undone.length} of ${tasks.length} tasks: ${undone
        .slice(0, 4)
        .map(({ task }) => taskName(task))
        .join(', ')}${undone.length > 4 ? ' …' : ''}`,
)}
${choice('from', 'From a step on', 'earlier steps keep their outputs')}
<label class="nested">Step <select name="step">${run.steps.map((one, k) => html`<option value="${k + 1}"${k === step ? html` selected` : ''}>${k + 1} ${one.name !== '' ? one.name : one.tasks[0] === undefined ? '' : taskName(one.tasks[0])}</option>`)}</select></label>
${choice('task', 'One task only', 'every other task keeps its result')}
<label class="nested">Task <select name="task">${tasks.map(({ task, k, i }) => html`<option value="${task.id}"${task.state === 'failed' ? html` selected` : ''}>${taskNumber(run, k, i)} ${taskName(task)}</option>`)}</select></label>
${choice('run', 'The whole run', 'every task, from the first')}
</fieldset>
<details${text === undefined ? '' : html` open`}><summary>With an edited workflow</summary><p class="muted">Left as it is, the run’s own workflow runs. Steps that are kept must have as many tasks as before, and tasks that are kept as succeeded their command.</p>
<label>Workflow, JSON<textarea name="workflow" rows="16" spellcheck="false" class="mono">${text ?? own}</textarea></label><input type="hidden" name="own" value="${own}"></details>
<div class="row"><button class="button primary"${view.write ? '' : html` disabled`}>${icon('again')}Start</button><a class="button" href="/runs/${run.id}">Back</a></div></form>`,
  };
}

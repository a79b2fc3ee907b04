// The four verbs that run an ended run again, as forms where the error is seen.
import type { TaskState } from '../../schema/run-view.ts';
import { type Html, html } from './html.ts';
import { icon } from './icons.ts';

/** What a form needs to be accepted. */
export interface FormGuard {
  /** Proof that the form came from a page of ours; undefined where the session needs none. */
  readonly csrf: string | undefined;
  /** The page's own word: what is ordered twice with it is one order. */
  readonly nonce?: string | undefined;
}

export interface RetryForm extends FormGuard {
  readonly runId: string;
  /** Whether there is a task that did not succeed. */
  readonly undone: boolean;
}

/** The hidden fields of every form that changes something. */
export function guardField({ csrf, nonce }: FormGuard): Html {
  const field = (name: string, value: string | undefined) =>
    value === undefined ? '' : html`<input type="hidden" name="${name}" value="${value}" autocomplete="off">`;
  return html`${field('csrf', csrf)}${field('nonce', nonce)}`;
}

/** The menu in a task's row: only this task, from its step on, all that failed, the whole run. */
export function retryMenu(form: RetryForm, at: { step: number; index: number; state: TaskState; name: string }): Html {
  const where = html`<input type="hidden" name="step" value="${at.step + 1}"><input type="hidden" name="task" value="${form.runId}.${at.step}.${at.index}">`;
  const failed = at.state === 'failed';
  return html`<details class="menu${failed ? ' urgent' : ''}" name="retry"><summary><span>${icon('again')}${failed ? 'Retry' : html`<span class="vh">Run again</span>`}<span class="vh"> ${at.name}</span></span></summary>
<form method="post" action="/runs/${form.runId}/retry" class="menu-items">${guardField(form)}${where}
<button name="mode" value="task"><b>Only this task</b><small>everything else keeps its result</small></button>
<button name="mode" value="from"><b>From step ${at.step + 1} on</b><small>earlier steps keep their outputs</small></button>
${form.undone ? html`<button name="mode" value="failed"><b>What did not succeed</b><small>failed and skipped tasks</small></button>` : ''}
<button name="mode" value="run"><b>The whole run</b><small>every task, from the first</small></button>
<a href="/runs/${form.runId}/again">With an edited workflow …</a>
</form></details>`;
}

/** Cancel, as a form of its own. */
export function cancelForm(form: FormGuard & { readonly runId: string }): Html {
  return html`<form method="post" action="/runs/${form.runId}/cancel">${guardField(form)}<button class="button danger" data-key="c">${icon('stop')}Cancel</button></form>`;
}

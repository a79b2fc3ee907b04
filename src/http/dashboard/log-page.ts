// The log of one dyno: the whole of it as a page that needs no script, with a link to every line.
import type { RunView } from '../../schema/run-view.ts';
import { clock } from './format.ts';
import { type Html, html } from './html.ts';
import { icon } from './icons.ts';
import { crumbs, type Page, type View } from './layout.ts';
import type { LogLineView } from './log-lines.ts';
import { titleOf } from './run-page.ts';
import type { TaskTimeline } from './timeline.ts';
import { taskName, taskNumber } from './timeline-view.ts';

export interface LogPageInput {
  readonly run: RunView;
  readonly row: TaskTimeline;
  readonly attempt: number;
  readonly dyno: string;
  /** The lines, or in words why there are none and what to do instead. */
  readonly log: { readonly lines: readonly LogLineView[] } | { readonly unavailable: string };
}

/** The page of one attempt's log. */
export function logPage(view: View, { run, row, attempt, dyno, log }: LogPageInput): Page {
  const here = `/runs/${run.id}/tasks/${row.step}.${row.index}/log`;
  return {
    title: `Log of ${dyno}`,
    current: 'runs',
    main: html`${crumbs(['/runs', 'Runs'], [`/runs/${run.id}`, titleOf(run)], [`/runs/${run.id}?task=${row.step}.${row.index}#task`, `${taskNumber(run, row.step, row.index)} ${taskName(row.task)}`])}
<div class="run-head"><h1>Log of <code>${dyno}</code></h1><div class="actions"><a class="button" href="${here}/text?attempt=${attempt}" download>${icon('download')}Download</a></div></div>
<p class="muted">Attempt ${attempt} of <code>${row.task.cmd}</code></p>
${'unavailable' in log ? logUnavailable(view, log.unavailable, dyno) : log.lines.length === 0 ? html`<p>This dyno has written nothing yet.</p>` : logLines(log.lines)}`,
  };
}

/** Lines of a log as an ordered list, each with an anchor. */
function logLines(lines: readonly LogLineView[]): Html {
  return html`<div class="log"><ol class="lines">${lines.map(
    (line, i) =>
      html`<li id="L${i + 1}"${line.platform ? html` class="platform"` : ''}><a href="#L${i + 1}" class="ln" aria-label="Line ${i + 1}">${i + 1}</a>${line.at === '' ? '' : html`<time datetime="${line.at}">${clock(line.at)}</time>`}<span class="tx">${line.pieces.map(([text, classes]) => (classes === '' ? text : html`<span class="${classes}">${text}</span>`))}</span></li>`,
  )}</ol></div>`;
}

/** What a page says where the platform gives no log, with the command that shows it. */
function logUnavailable(view: View, why: string, dyno: string): Html {
  return html`<div class="callout">${icon('rejected')}<div><p><b>The log cannot be shown here.</b> ${why}</p><p>This shows it: <code>heroku logs --dyno ${dyno} --app ${view.app}</code></p></div></div>`;
}

// The timeline: a table with one row per attempt, whose last cell is a bar drawn to scale. Positions are per cent, so that
// the drawing needs no script and no inline style; each phase has a height and a texture of its own beside its colour.
import type { RunView } from '../../schema/run-view.ts';
import { duration, shortened, tickText } from './format.ts';
import { type Html, html } from './html.ts';
import { icon, stateIcon } from './icons.ts';
import { type RetryForm, retryMenu } from './retry-forms.ts';
import { type Attempt, PHASE_WORDS, PHASES, type Phase, phaseTimes, type TaskTimeline, type Timeline, ticksOf } from './timeline.ts';

/** Top and height of a phase's bar in a row of ROW_HEIGHT pixels. */
const SHAPES: Readonly<Record<Phase, readonly [number, number]>> = {
  event: [10, 4],
  queued: [10, 4],
  backoff: [11, 2],
  launching: [7, 10],
  booting: [7, 10],
  working: [3, 18],
  awaiting: [5, 14],
  cooling: [8, 8],
};
const ROW_HEIGHT = 24;
/** Per cent of the width: what is shorter is drawn this wide, so that nothing disappears. */
const LEAST_WIDTH = 0.25;

/** Tasks up to which every row has its menu; of more, only rows that failed: a task's details offer the same. */
const MENUS_UP_TO = 60;

/** What a task is called: its number and its name, or its command where it has none. */
export function taskNumber(run: Pick<RunView, 'steps'>, step: number, index: number): string {
  return run.steps[step]?.group ? `${step + 1}.${index + 1}` : `${step + 1}`;
}

export function taskName(task: { readonly name: string; readonly cmd: string }): string {
  return task.name === '' ? shortened(task.cmd, 48) : task.name;
}

/** The whole timeline of a run. `selected`: id of the task whose details are shown; `retry`: undefined hides the actions. */
export function timelineView(run: RunView, timeline: Timeline, selected: string | undefined, retry: RetryForm | undefined): Html {
  const span = timeline.to - timeline.from;
  const ticks = ticksOf(span).map((at) => ({ at, x: (at / span) * 100 }));
  const grid = html`${ticks.map(({ x }) => html`<line x1="${percent(x)}" x2="${percent(x)}" y1="0" y2="100%"/>`)}`;
  return html`<div class="tl-wrap"><table class="tl">
<caption class="vh">Timeline: one row per attempt, with the time spent in each phase</caption>
<thead><tr><th scope="col">Task</th><th scope="col" class="tl-axis"><span class="vh">Time since the start</span><svg width="100%" height="20" aria-hidden="true">${ticks.map(
    ({ at, x }) => html`<text x="${percent(x)}" y="14"${at === 0 ? html` class="first"` : ''}>${tickText(at)}</text>`,
  )}</svg></th><th scope="col" class="num">Took</th><th scope="col"><span class="vh">Actions</span></th></tr></thead>
${run.steps.map((step, k) => {
  const members = timeline.tasks.filter((task) => task.step === k);
  return html`<tbody>${
    step.group
      ? html`<tr class="tl-group"><th scope="rowgroup" colspan="4">${icon('more')} Step ${k + 1}${step.name === '' ? '' : ` · ${step.name}`} <span class="muted">${members.length} in parallel</span></th></tr>`
      : ''
  }${members.map((member) => taskRows(run, timeline, member, grid, selected, retry))}</tbody>`;
})}
</table></div>
${legend()}`;
}

function taskRows(
  run: RunView,
  timeline: Timeline,
  row: TaskTimeline,
  grid: Html,
  selected: string | undefined,
  retry: RetryForm | undefined,
): Html {
  const { task, step, index, attempts } = row;
  const bars = attempts.length === 0 ? [undefined] : attempts;
  const href = `?task=${step}.${index}#task`;
  return html`${bars.map((attempt, i) => {
    const first = i === 0;
    const last = i === bars.length - 1;
    const classes = ['tl-row', run.steps[step]?.group ? 'in-group' : '', task.id === selected ? 'selected' : '', first ? '' : 'further'];
    const state = last ? task.state : 'failed';
    const times = attempt === undefined ? [] : phaseTimes(attempt);
    return html`<tr class="${classes.filter(Boolean).join(' ')}" id="row-${step}-${index}${first ? '' : `-${attempt?.number ?? 0}`}">
<th scope="row">${
      first
        ? html`<a href="${href}" class="tl-name"${task.id === selected ? html` aria-current="true"` : ''} data-nav>${stateIcon(state)}<span class="vh">${state}: </span><span class="no">${taskNumber(run, step, index)}</span> <span class="name">${taskName(task)}</span></a>${bars.length > 1 ? html` <span class="chip"><span class="vh">attempt </span>#${attempt?.number ?? 1}</span>` : ''}`
        : html`<a href="${href}" class="tl-name">${stateIcon(state)}<span class="vh">${state}: ${taskName(task)}, </span><span class="chip"><span class="vh">attempt </span>#${attempt?.number ?? 1}</span></a>`
    }${last ? taskNote(row) : ''}</th>
<td class="tl-bar">${attempt === undefined ? html`<span class="muted">${task.state === 'succeeded' ? 'kept from the run before' : run.again !== null && task.state === 'skipped' ? 'left out, as it was' : ''}</span>` : bar(attempt, timeline, grid, times)}</td>
<td class="num">${times.length === 0 ? '' : duration(times.reduce((sum, { ms }) => sum + ms, 0))}</td>
<td class="act">${last && retry !== undefined && (task.state === 'failed' || run.tasks <= MENUS_UP_TO) ? retryMenu(retry, { step, index, state: task.state, name: taskName(task) }) : ''}</td>
</tr>`;
  })}`;
}

function taskNote({ task }: TaskTimeline): Html | '' {
  if (task.waiting !== null) return html`<span class="row-note">${task.waiting.message}</span>`;
  if (task.error === null || task.state === 'skipped') return '';
  const text = task.error.message === '' ? task.error.code : task.error.message;
  return html`<span class="row-error">${shortened(text, 200)}</span>`;
}

function bar(attempt: Attempt, timeline: Timeline, grid: Html, times: readonly { phase: Phase; ms: number }[]): Html {
  const span = timeline.to - timeline.from;
  const at = (ms: number) => ((ms - timeline.from) / span) * 100;
  const words = times.map(({ phase, ms }) => `${PHASE_WORDS[phase]} ${duration(ms)}`).join(', ');
  const end = attempt.segments.at(-1);
  return html`<svg width="100%" height="${ROW_HEIGHT}" role="img" aria-label="${words === '' ? 'not begun' : words}" class="is-${attempt.state}"><g class="grid">${grid}</g>${attempt.segments.map(
    ({ phase, from, to, open }) => {
      const [y, height] = SHAPES[phase];
      const width = Math.max(at(to) - at(from), LEAST_WIDTH);
      return html`<rect class="ph ph-${phase}${open ? ' open' : ''}" x="${percent(Math.min(at(from), 100 - width))}" width="${percent(width)}" y="${y}" height="${height}" rx="${height > 6 ? 2 : 1}"><title>${PHASE_WORDS[phase]}: ${duration(to - from)}${open ? ' so far' : ''}</title></rect>`;
    },
  )}${
    attempt.state === 'failed' && end !== undefined
      ? html`<svg x="${percent(Math.min(at(end.to), 99.9))}" y="4" width="1" height="16" overflow="visible" class="cap"><title>${attempt.error === '' ? 'failed' : attempt.error}</title><path d="M0 0v16"/></svg>`
      : ''
  }</svg>`;
}

function legend(): Html {
  return html`<ul class="legend" aria-label="Phases">${PHASES.map((phase) => {
    const [y, height] = SHAPES[phase];
    return html`<li><svg width="22" height="${ROW_HEIGHT}" aria-hidden="true"><rect class="ph ph-${phase}" x="1" width="20" y="${y}" height="${height}" rx="${height > 6 ? 2 : 1}"/></svg>${PHASE_WORDS[phase]}</li>`;
  })}</ul>`;
}

const percent = (value: number) => `${Number(value.toFixed(3))}%`;

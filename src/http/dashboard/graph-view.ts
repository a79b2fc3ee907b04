// The graph of a run: steps from left to right, the tasks of a group below each other, in several columns where there are
// many. Drawn on the server; the client script adds moving and zooming. The timeline above it is the same as a table.
import type { RunView, TaskView } from '../../schema/run-view.ts';
import { shortened } from './format.ts';
import { type Html, html } from './html.ts';
import type { IconName } from './icons.ts';
import { taskName, taskNumber } from './timeline-view.ts';

/** Pixels. */
const NODE = { width: 172, height: 34, gap: 8 };
/** A node of a group too large for names. */
const CELL = { width: 26, height: 26, gap: 5 };
const GROUP_PAD = 12;
const GROUP_HEAD = 26;
const STEP_GAP = 46;
const MARGIN = 14;
/** Tasks below each other before a new column begins; groups above COMPACT_FROM show states alone. */
const ROWS = 8;
const COMPACT_FROM = 40;
const COMPACT_ROWS = 12;

interface Box {
  readonly x: number;
  readonly width: number;
  readonly height: number;
  readonly columns: number;
  readonly rows: number;
  readonly compact: boolean;
}

/** The graph; `selected` is the id of the task whose details are shown. */
export function graphView(run: RunView, selected: string | undefined): Html {
  const boxes = layout(run);
  const last = boxes.at(-1);
  if (last === undefined) return html``;
  const width = last.x + last.width + MARGIN;
  const tallest = Math.max(...boxes.map(({ height }) => height));
  const height = tallest + 2 * MARGIN;
  const middle = MARGIN + tallest / 2;
  return html`<div class="graph" data-graph tabindex="0" role="group" aria-label="Graph of the steps; the timeline has the same as a table. Arrow keys move it, + and − zoom, 0 fits it.">
<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" data-graph-canvas>${boxes.map((box, k) => {
    const next = boxes[k + 1];
    const step = run.steps[k];
    if (step === undefined) return '';
    const y = middle - box.height / 2;
    return html`<g class="gr-step">${
      next === undefined
        ? ''
        : html`<path class="edge${step.tasks.every(({ state }) => state === 'succeeded') ? ' passed' : ''}" d="M${box.x + box.width} ${middle}H${next.x - 6}"/><path class="arrow" d="M${next.x - 8} ${middle - 4}l6 4-6 4z"/>`
    }${
      step.group
        ? html`<rect class="gr-box" x="${box.x}" y="${y}" width="${box.width}" height="${box.height}" rx="8"/><text class="gr-title" x="${box.x + GROUP_PAD}" y="${y + 18}">${shortened(`${k + 1} ${step.name === '' ? 'in parallel' : step.name}`, Math.max(12, Math.floor(box.width / 8)))}</text>`
        : ''
    }${step.tasks.map((task, i) => node(run, task, k, i, box, y, selected))}</g>`;
  })}</svg>
<div class="graph-tools"><button type="button" data-graph-do="out" aria-label="Zoom out">−</button><button type="button" data-graph-do="fit">Fit</button><button type="button" data-graph-do="in" aria-label="Zoom in">+</button></div></div>`;
}

function layout(run: RunView): Box[] {
  let x = MARGIN;
  return run.steps.map((step) => {
    const many = step.tasks.length;
    const compact = many > COMPACT_FROM;
    const size = compact ? CELL : NODE;
    const rows = Math.min(many, compact ? COMPACT_ROWS : ROWS);
    const columns = Math.ceil(many / rows);
    const inner = {
      width: columns * size.width + (columns - 1) * size.gap,
      height: rows * size.height + (rows - 1) * size.gap,
    };
    const box = {
      x,
      width: inner.width + (step.group ? 2 * GROUP_PAD : 0),
      height: inner.height + (step.group ? GROUP_PAD + GROUP_HEAD : 0),
      columns,
      rows,
      compact,
    };
    x += box.width + STEP_GAP;
    return box;
  });
}

const NODE_ICONS: Readonly<Record<TaskView['state'], IconName>> = {
  waiting: 'waiting',
  launching: 'launching',
  running: 'running',
  cooling: 'cooling',
  retrying: 'retrying',
  succeeded: 'succeeded',
  failed: 'failed',
  skipped: 'skipped',
};

function node(run: RunView, task: TaskView, k: number, i: number, box: Box, top: number, selected: string | undefined): Html {
  const size = box.compact ? CELL : NODE;
  const group = run.steps[k]?.group === true;
  const x = box.x + (group ? GROUP_PAD : 0) + Math.floor(i / box.rows) * (size.width + size.gap);
  const y = top + (group ? GROUP_HEAD : 0) + (i % box.rows) * (size.height + size.gap);
  const label = `${taskNumber(run, k, i)} ${taskName(task)}`;
  return html`<a href="?task=${k}.${i}#task" class="node st-${task.state}${task.id === selected ? ' selected' : ''}" data-nav aria-label="${label}: ${task.state}"><title>${label}: ${task.state}</title><rect x="${x}" y="${y}" width="${size.width}" height="${size.height}" rx="6"/><svg class="icon" x="${x + (box.compact ? 5 : 9)}" y="${y + (box.compact ? 5 : 9)}" width="16" height="16"><use href="#i-${NODE_ICONS[task.state]}"/></svg>${
    box.compact ? '' : html`<text x="${x + 33}" y="${y + 22}">${shortened(label, 19)}</text>`
  }</a>`;
}

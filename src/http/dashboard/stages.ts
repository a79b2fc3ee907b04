// One line from the save to the end: what is done, where it stands.
import type { RunView } from '../../schema/run-view.ts';
import { type Html, html } from './html.ts';
import { icon } from './icons.ts';
import { crumbs, type Page } from './layout.ts';
import { taskName } from './timeline-view.ts';

type Stage = 'done' | 'now' | 'to come' | 'failed';

/** Steps that are named one by one; of more, only where the run stands is told. */
const MOST_STEPS = 8;

function line(stages: readonly (readonly [string, Stage])[]): Html {
  return html`<ol class="stages" aria-label="Progress">${stages.map(
    ([word, stage]) =>
      html`<li class="stage-${stage.replace(' ', '-')}"${stage === 'now' ? html` aria-current="step"` : ''}>${icon(stage === 'done' ? 'succeeded' : stage === 'failed' ? 'failed' : stage === 'now' ? 'running' : 'waiting')}${word}<span class="vh"> (${stage})</span></li>`,
  )}</ol>`;
}

/** Where a run stands. */
export function stagesOf(run: RunView): Html | '' {
  if (run.steps.length === 0) return '';
  const steps = run.steps.map((step, k): readonly [string, Stage] => {
    const settled = step.tasks.filter(({ state }) => state === 'succeeded' || state === 'failed' || state === 'skipped').length;
    const failed = step.tasks.some(({ state }) => state === 'failed');
    const begun = step.tasks.some(({ state }) => state !== 'waiting' && state !== 'skipped');
    const name = step.name !== '' ? step.name : step.tasks[0] === undefined ? '' : step.group ? `step ${k + 1}` : taskName(step.tasks[0]);
    const part = step.tasks.length > 1 && settled < step.tasks.length && begun ? ` ${settled}/${step.tasks.length}` : '';
    const done = step.tasks.every(({ state }) => state === 'succeeded');
    return [`${name}${part}`, failed ? 'failed' : done ? 'done' : begun ? 'now' : 'to come'];
  });
  const doneSteps = steps.filter(([, stage]) => stage === 'done').length;
  const shown =
    steps.length <= MOST_STEPS
      ? steps
      : ([
          [`${doneSteps} of ${steps.length} steps`, run.ended_at === null ? 'now' : run.state === 'succeeded' ? 'done' : 'failed'],
        ] as const);
  const end: Stage = run.state === 'succeeded' ? 'done' : run.ended_at === null ? 'to come' : 'failed';
  return line([
    ...(run.again === null
      ? ([
          ['saved', 'done'],
          ['event', 'done'],
        ] as const)
      : []),
    ...shown,
    [run.ended_at === null ? 'end' : run.state, end],
  ]);
}

/** A file is on its way into the bucket. The script fills in how much of it. */
export function uploadLine(): Html {
  return html`<ol class="stages" aria-label="Progress"><li class="stage-now" aria-current="step">${icon('running')}<span data-upload-word>sending</span><progress max="100" value="0" aria-label="Part that was sent"></progress></li>${[
    'event',
    'run',
    'end',
  ].map((word) => html`<li class="stage-to-come">${icon('waiting')}${word}<span class="vh"> (to come)</span></li>`)}</ol>`;
}

/** A file was saved and its event is still on its way. The page looks again by itself, until the event is `late`. `file`: address of the file's page. */
export function savedPage({ late, file }: { late: boolean; file: string }): Page {
  return {
    title: 'Saved',
    current: 'runs',
    main: html`${crumbs(['/runs', 'Runs'])}<h1>Saved</h1>${line([
      ['saved', 'done'],
      ['event', 'now'],
      ['run', 'to come'],
      ['end', 'to come'],
    ])}${
      late
        ? html`<div role="status"><p>The file is in the bucket, and no run has begun. S3’s event about it may be late, or it starts no run: <a href="${file}">the file’s page</a> says what it started.</p><p><a class="button" href="">Look again</a></p></div>`
        : html`<div data-again="1"><p>The file is in the bucket; S3’s event about it is on its way. The run shows here as soon as it begins.</p><p><a class="button" href="">Look now</a></p></div>`
    }`,
  };
}

// What a form orders that runs an ended run again.
import type { ReplayOrder, Selection } from '../../queues/replay.ts';
import { Failure } from '../../schema/failures.ts';
import { parseTaskId } from '../../schema/ids.ts';

/** What is run again, and with which workflow. */
type Wanted = Pick<ReplayOrder, 'selection' | 'workflow'>;
/** Words of pages; another one is none of ours. */
const NONCE = /^[\w-]{1,64}$/;

/** Which part of the run is to run again. Throws Failure request_invalid. */
export function readRetryForm(form: FormData, runId: string): Wanted {
  const text = (name: string): string => {
    const value = form.get(name);
    return typeof value === 'string' ? value : '';
  };
  // sent along with every form; only what was changed is an edited one
  const workflow = text('workflow').replaceAll('\r\n', '\n');
  const edited = workflow === '' || workflow === text('own').replaceAll('\r\n', '\n') ? {} : { workflow };
  switch (text('mode')) {
    case 'run':
      return { selection: { mode: 'run' }, ...edited };
    case 'failed':
      return { selection: { mode: 'failed' }, ...edited };
    case 'from':
      if (!/^[1-9]\d{0,2}$/.test(text('step')))
        throw new Failure('request_invalid', `step: found ${JSON.stringify(text('step'))}, expected the number of a step.`);
      return { selection: { mode: 'from', step: Number(text('step')) - 1 }, ...edited };
    case 'task': {
      const task = parseTaskId(text('task'));
      if (task === undefined || task.runId !== runId)
        throw new Failure('request_invalid', `task: found ${JSON.stringify(text('task'))}, expected a task of run ${runId}.`);
      return { selection: { mode: 'task', step: task.step, index: task.index }, ...edited };
    }
    default:
      throw new Failure('request_invalid', `mode: found ${JSON.stringify(text('mode'))}, expected run, from, task or failed.`);
  }
}

/**
 * The order, named so that the same form sent twice (a double click, a key that is held down) names the same new run. What else
 * the page may order has a name of its own, and so has what another page orders. `id`: a new nonce, for a form without its page's.
 */
export function namedOrder<T extends Wanted>(form: FormData, wanted: T, id: () => string): T & Pick<ReplayOrder, 'nonce' | 'repeatable'> {
  const word = form.get('nonce');
  if (typeof word !== 'string' || !NONCE.test(word)) return { ...wanted, nonce: id() };
  return { ...wanted, nonce: [word, ...selected(wanted.selection), wanted.workflow ?? ''].join(':'), repeatable: true };
}

function selected(selection: Selection): readonly (string | number)[] {
  const { mode } = selection;
  return [mode, mode === 'from' || mode === 'task' ? selection.step : '', mode === 'task' ? selection.index : ''];
}

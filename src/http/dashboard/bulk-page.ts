// What came of a bulk action, run by run: what one refused is named, with the reason.
import { html } from './html.ts';
import { icon } from './icons.ts';
import { crumbs, type Page, type View } from './layout.ts';

export interface BulkResult {
  readonly id: string;
  readonly ok: boolean;
  /** The state or new run that came of it, or why not. */
  readonly text: string;
  /** The new run. */
  readonly again?: string;
}

/** The page of results, refusals first. */
export function bulkPage(_view: View, action: 'retry' | 'cancel', results: readonly BulkResult[]): Page {
  const done = results.filter(({ ok }) => ok).length;
  const word = action === 'retry' ? 'run again' : 'cancelled';
  const sorted = [...results].sort((a, b) => Number(a.ok) - Number(b.ok));
  return {
    title: `${done} of ${results.length} ${word}`,
    current: 'runs',
    main: html`${crumbs(['/runs', 'Runs'])}<h1>${done} of ${results.length} ${word}</h1><section class="card" aria-label="Results"><table class="list"><thead><tr><th scope="col">Result</th><th scope="col">Run</th><th scope="col">What came of it</th></tr></thead><tbody>${sorted.map(
      ({ id, ok, text, again }) =>
        html`<tr><td><span class="st st-${ok ? 'succeeded' : 'failed'}">${icon(ok ? 'succeeded' : 'failed')}${ok ? 'done' : 'refused'}</span></td><td><a href="/runs/${id}" class="mono">${id}</a></td><td>${again === undefined ? text : html`<a href="/runs/${again}" class="mono">${again}</a>`}</td></tr>`,
    )}</tbody></table></section><p><a class="button" href="/runs">To the runs</a></p>`,
  };
}

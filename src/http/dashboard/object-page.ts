// One file: why it is there, what it started, what that led to, and a look inside.
import type { FileHistory } from '../../schema/api-views.ts';
import { bytes, shortened, when } from './format.ts';
import { type Html, html } from './html.ts';
import { icon } from './icons.ts';
import { copyable, crumbs, facts, type Page, type View } from './layout.ts';
import { downloadHref, fileHref, query } from './links.ts';
import { imagePreview, isImage } from './previews.ts';
import { runRow } from './runs-page.ts';

export interface ObjectInput {
  readonly key: string;
  readonly version: string | undefined;
  /** undefined: it is not, or no longer, in the bucket. */
  readonly head: { readonly size: number; readonly versionId: string; readonly metadata: Readonly<Record<string, string>> } | undefined;
  readonly history: FileHistory;
  /** The beginning of a text; undefined where it is none or too large. */
  readonly preview: string | undefined;
}

/** The page. */
export function objectPage(view: View, { key, version, head, history, preview }: ObjectInput): Page {
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  const metadata = Object.entries(head?.metadata ?? {});
  return {
    title: key,
    current: 'files',
    store: true,
    main: html`${crumbs(['/files', 'Files'], ...(folder === '' ? [] : [[`/files?${query({ prefix: folder })}`, folder] as const]))}
<div class="run-head"><h1>${key.slice(folder.length)}</h1>${head === undefined ? '' : html`<div class="actions"><a class="button" href="${downloadHref(key, version)}">${icon('download')}Download</a></div>`}</div>
${facts([
  ['Key', copyable(key)],
  ['Size', head === undefined ? 'no longer in the bucket' : bytes(head.size)],
  ['Version', head === undefined ? undefined : copyable(head.versionId, shortened(head.versionId, 24))],
])}
<section class="card" aria-labelledby="why-h"><h2 id="why-h">Why it is here</h2>${why(view, history, head?.metadata['ld_task_id'])}</section>
<section class="card" aria-labelledby="st-h"><h2 id="st-h">What it started</h2>${
      history.started.length === 0
        ? html`<p class="muted">${noRun(head?.metadata ?? {}, history)}</p>`
        : html`<table class="list runs"><tbody>${history.started.map((run) => runRow(view, run, false))}</tbody></table>`
    }${history.set_aside.length === 0 ? '' : html`<h3>Set aside</h3><ul class="plain">${history.set_aside.map(({ version_id: of, reason, at }) => html`<li><span class="bad">${reason}</span> ${when(at, view.now)}${of === '' ? '' : html`, version <span class="mono">${shortened(of, 24)}</span>`}</li>`)}</ul>`}</section>
<section class="card" aria-labelledby="le-h"><h2 id="le-h">What that led to</h2>${
      history.led_to.length === 0
        ? html`<p class="muted">No output.</p>`
        : html`<table class="list"><thead><tr><th scope="col">Output</th><th scope="col">ld_state</th><th scope="col">Run</th><th scope="col" class="num">Saved</th></tr></thead><tbody>${history.led_to.map(
            (made) =>
              html`<tr><td><a class="file" href="${fileHref(made.key, made.version_id)}">${icon('file')}${made.key}</a></td><td>${made.state ?? ''}</td><td><a href="/runs/${made.run}" class="mono">${made.run}</a></td><td class="num">${when(made.at, view.now)}</td></tr>`,
          )}</tbody></table>`
    }</section>
${metadata.length === 0 ? '' : html`<section class="card" aria-labelledby="me-h"><h2 id="me-h">Metadata</h2>${facts(metadata.map(([name, value]) => [name, html`<code class="pre">${value}</code>`] as const))}</section>`}
${head !== undefined && isImage({ key, size: head.size }) ? html`<section class="card" aria-labelledby="pr-h"><h2 id="pr-h">Inside</h2>${imagePreview({ key, versionId: head.versionId, size: head.size })}</section>` : ''}${preview === undefined ? '' : html`<section class="card" aria-labelledby="pr-h"><h2 id="pr-h">Inside</h2><pre class="preview" tabindex="0">${preview}</pre></section>`}`,
  };
}

function noRun(metadata: Readonly<Record<string, string>>, { set_aside: setAside }: FileHistory): Html {
  const asked = ['ld_run', 'ld_code'].filter((name) => metadata[name] !== undefined);
  if (setAside.length > 0) return html`No run.`;
  if (asked.length === 0)
    return html`No run: it carries neither <code>ld_run</code> nor <code>ld_code</code>, or its event has not arrived yet.`;
  return html`It carries <code>${asked.join(', ')}</code>; its event has not arrived yet, or its run was so long ago that Redis knows no more of it.`;
}

function why(view: View, { made_by: makers }: FileHistory, taskId: string | undefined): Html {
  if (makers.length === 0 && taskId !== undefined)
    return html`<p>Its <code>ld_task_id</code> names task <span class="mono">${taskId}</span>, whose run is not known, or not any more.</p>`;
  if (makers.length === 0) return html`<p>Somebody saved it: no task names it as its output.</p>`;
  return html`<ul class="plain">${makers.map(
    (made) =>
      html`<li>Output of task <a href="/runs/${made.run}?task=${made.task.split('.').slice(1).join('.')}#task" class="mono">${made.task}</a>, ${when(made.at, view.now)}</li>`,
  )}</ul>`;
}

// The bucket, folder by folder, and the form that saves a file with a workflow attached.
import { bytes, when } from './format.ts';
import { type Html, html } from './html.ts';
import { icon } from './icons.ts';
import { crumbs, type Page, type View } from './layout.ts';
import { downloadHref, fileHref, query } from './links.ts';
import { guardField } from './retry-forms.ts';
import { uploadLine } from './stages.ts';

export interface Listing {
  readonly files: readonly { readonly key: string; readonly size: number; readonly modifiedAt: number }[];
  readonly folders: readonly string[];
  readonly next?: string;
}

/** What was sent with an upload that was refused. */
export interface UploadState {
  readonly fault?: string;
  readonly key?: string;
  readonly workflow?: string;
  /** What it was to start. */
  readonly how?: string;
}

/** One folder. `prefix` ends with a slash, or is empty. */
export function filesPage(view: View, bucket: string, prefix: string, { files, folders, next }: Listing, upload: UploadState): Page {
  const parts = prefix.split('/').filter((part) => part !== '');
  const nameOf = (key: string) => (key.startsWith(prefix) ? key.slice(prefix.length) : key);
  return {
    title: prefix === '' ? 'Files' : prefix,
    current: 'files',
    scripts: ['upload.js'],
    store: true,
    main: html`${prefix === '' ? '' : crumbs(['/files', 'Files'], ...parts.map((part, i) => [`/files?${query({ prefix: `${parts.slice(0, i + 1).join('/')}/` })}`, part] as const))}
<h1>${prefix === '' ? 'Files' : prefix}</h1><p class="muted"><code>s3://${bucket}/${prefix}</code></p>
${view.write ? uploadForm(view, prefix, upload) : ''}
<section class="card" aria-label="Files"><table class="list files"><thead><tr><th scope="col">Name</th><th scope="col" class="num">Size</th><th scope="col" class="num">Saved</th><th scope="col"><span class="vh">Download</span></th></tr></thead><tbody>${folders.map(
      (folder) =>
        html`<tr><td class="main"><a class="file" href="/files?${query({ prefix: folder })}" data-row>${icon('folder')}${nameOf(folder)}</a></td><td></td><td></td><td></td></tr>`,
    )}${files.map(
      ({ key, size, modifiedAt }) =>
        html`<tr><td class="main"><a class="file" href="${fileHref(key)}" data-row>${icon('file')}${nameOf(key)}</a></td><td class="num">${bytes(size)}</td><td class="num">${when(new Date(modifiedAt).toISOString(), view.now)}</td><td class="num"><a class="button small" href="${downloadHref(key)}">${icon('download')}<span class="vh">Download ${key}</span></a></td></tr>`,
    )}</tbody></table>${files.length + folders.length === 0 ? html`<p class="muted">Nothing is saved here yet.</p>` : ''}${next === undefined ? '' : html`<p><a class="button" href="/files?${query({ prefix, cursor: next })}">More</a></p>`}</section>`,
  };
}

const EXAMPLE = `{
  "title": "My workflow",
  "run": [
    { "cmd": "process_image" }
  ]
}`;

function uploadForm(view: View, prefix: string, { fault, key, workflow, how }: UploadState): Html {
  const chosen = how === 'run' || how === 'none' ? how : 'code';
  const choice = (value: string) => html`<input type="radio" name="how" value="${value}"${value === chosen ? html` checked` : ''}>`;
  return html`<section class="card" aria-labelledby="up-h"><details${fault === undefined ? '' : html` open`}><summary><h2 id="up-h">Save a file</h2> <span class="muted">with a workflow attached, if you like</span></summary>
${fault === undefined ? '' : html`<div class="callout" role="alert">${icon('failed')}<p class="pre">${fault}</p></div>`}
<form method="post" action="/files/upload" enctype="multipart/form-data" class="upload" data-upload>${guardField(view)}
<div class="row"><label>File <input type="file" name="file" required></label><label>Key <input name="key" value="${key ?? (prefix === '' ? 'in/' : prefix)}" size="28" aria-describedby="key-note"></label></div>
<p class="muted" id="key-note">A key that ends with / gets the file’s name. It goes straight to the bucket, up to 5 GB; without JavaScript through this service, up to 25 MB.</p>
<fieldset><legend>What it starts</legend>
<label class="choice">${choice('code')}<span><b>The workflow below</b><small>attached to the file as metadata, up to 2,000 characters</small></span></label>
<label class="choice">${choice('run')}<span><b>The file itself is the workflow</b></span></label>
<label class="choice">${choice('none')}<span><b>Nothing</b></span></label></fieldset>
<label>Workflow, JSON<textarea name="workflow" rows="8" spellcheck="false" class="mono">${workflow ?? EXAMPLE}</textarea></label>
<div class="row"><button class="button primary">${icon('upload')}Save</button></div><div data-upload-place role="status"></div><template>${uploadLine()}</template></form></details></section>`;
}

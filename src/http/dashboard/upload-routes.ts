// Saving a file: straight from the browser to the bucket by a signed form, or, without a script, through this process.
import { type Context, Hono } from 'hono';
import { Failure } from '../../schema/failures.ts';
import { limitUpload } from '../read-body.ts';
import { checkUploadKey, FORM_S, MAX_UPLOAD_BYTES, workflowMetadata } from '../upload-order.ts';
import { filesPage } from './files-page.ts';
import { bucketOf, type FilesPageDeps, listing } from './files-routes.ts';
import { fileHref, query } from './links.ts';
import { readForm } from './read-form.ts';
import { showPage, type VisitEnv } from './visit.ts';

/** Takes a whole file, for browsers without JavaScript. */
export const UPLOAD_PATH = '/files/upload';

/** `/files/form`, `/files/uploaded` and `/files/upload`. */
export function uploadRoutes(deps: FilesPageDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();

  // {url, fields, key, starts} for the script of the page, or {fault}
  routes.post('/files/form', async (c) => {
    try {
      const form = await readForm(c);
      const order = readOrder(form, textOf(form, 'name'));
      const bucket = await bucketOf(deps, c.var.visit.resource);
      const contentType = textOf(form, 'type');
      const signed = await deps.files.access.form(bucket, order.key, {
        metadata: order.metadata,
        maxBytes: MAX_UPLOAD_BYTES,
        seconds: FORM_S,
        contentType: contentType === '' ? 'application/octet-stream' : contentType,
      });
      return c.json({ url: signed.url, fields: signed.fields, key: order.key, starts: startsSomething(order) });
    } catch (error) {
      if (!(error instanceof Failure) || error.status >= 500) throw error;
      return c.json({ fault: error.message }, 422);
    }
  });

  routes.get('/files/uploaded', async (c) => {
    const { key = '', version = '', starts } = c.req.query();
    return c.redirect(
      placeOf(
        deps,
        await bucketOf(deps, c.var.visit.resource),
        { key, versionId: version, starts: starts === 'yes' },
        c.var.visit.view.now,
      ),
      302,
    );
  });

  routes.post(UPLOAD_PATH, limitUpload, async (c) => {
    const bucket = await bucketOf(deps, c.var.visit.resource);
    const form = await readForm(c);
    const file = form.get('file');
    try {
      if (!(file instanceof File) || file.name === '') throw new Failure('request_invalid', 'Found no file, expected one to be chosen.');
      const order = readOrder(form, file.name);
      const { versionId } = await deps.store.put(bucket, order.key, new Uint8Array(await file.arrayBuffer()), {
        metadata: order.metadata,
        contentType: file.type === '' ? 'application/octet-stream' : file.type,
      });
      return c.redirect(placeOf(deps, bucket, { key: order.key, versionId, starts: startsSomething(order) }, c.var.visit.view.now), 303);
    } catch (error) {
      if (!(error instanceof Failure) || error.status >= 500) throw error;
      return await refused(c, deps, bucket, form, error.message);
    }
  });
  return routes;
}

interface Order {
  readonly key: string;
  readonly metadata: Record<string, string>;
}

const startsSomething = ({ metadata }: Order): boolean => Object.keys(metadata).length > 0;

function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

/** What the form asks for; a key that is a folder gets the file's name. Throws Failure for what cannot be. */
function readOrder(form: FormData, fileName: string): Order {
  const folder = textOf(form, 'key');
  const key = folder.endsWith('/') || folder === '' ? `${folder}${fileName}` : folder;
  checkUploadKey(key);
  if (key === '' || key.endsWith('/')) throw new Failure('request_invalid', 'key: found none, expected where the file goes.');
  const how = textOf(form, 'how');
  if (how === 'run') return { key, metadata: { ld_run: 'true' } };
  return { key, metadata: how === 'code' ? workflowMetadata(textOf(form, 'workflow').replaceAll('\r\n', '\n')) : {} };
}

/** Where what was saved is seen: the run that it starts, which is waited for from now on, or the file. */
function placeOf(deps: FilesPageDeps, bucket: string, saved: { key: string; versionId: string; starts: boolean }, now: number): string {
  const { key, versionId } = saved;
  if (!saved.starts) return fileHref(key, versionId);
  return `/runs/${deps.runIdOf({ bucket, key, versionId })}?${query({ saved: String(now), key, version: versionId })}`;
}

/** The page again, with what was typed and what is wrong with it. */
async function refused(c: Context<VisitEnv>, deps: FilesPageDeps, bucket: string, form: FormData, fault: string): Promise<Response> {
  const key = textOf(form, 'key');
  const prefix = key.slice(0, key.lastIndexOf('/') + 1);
  const workflow = textOf(form, 'workflow').replaceAll('\r\n', '\n');
  const state = { fault, key, workflow, how: textOf(form, 'how') };
  return showPage(c, filesPage(c.var.visit.view, bucket, prefix, await listing(deps, bucket, prefix, undefined), state), 422);
}

// Files: browse, look, download, and save one with a workflow attached.
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { FileAccess, ObjectStore } from '../../clients/ports.ts';
import type { FileHistory } from '../../schema/api-views.ts';
import { Failure } from '../../schema/failures.ts';
import { parseWorkflow } from '../../schema/parse-workflow.ts';
import { filesPage } from './files-page.ts';
import { objectPage } from './object-page.ts';
import { showPage, type VisitEnv } from './visit.ts';

/** Files of a page. */
const PAGE = 200;
/** Seconds that a link to a file works; it is followed at once. */
const LINK_S = 60;
/** Bytes of a text that are shown. */
const PREVIEW_BYTES = 65_536;
/** Bytes that an upload through this process may have: it is held in memory. */
const MAX_UPLOAD_BYTES = 26_214_400;
/** Bytes of user metadata that S3 takes, names and values together. */
const MAX_METADATA_BYTES = 2_048;

export interface FilesPageDeps {
  readonly files: {
    readonly access: FileAccess;
    readonly history: (resource: string, key: string) => Promise<FileHistory>;
    readonly resource: (id: string) => Promise<{ readonly bucket: string } | undefined>;
  };
  readonly store: Pick<ObjectStore, 'head' | 'text' | 'put'>;
  readonly runIdOf: (event: { bucket: string; key: string; versionId: string }) => string;
}

/** `/files`, `/files/object`, `/files/download` and `/files/upload`. */
export function filesPageRoutes(deps: FilesPageDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();
  const bucketOf = async (resource: string): Promise<string> => {
    const found = await deps.files.resource(resource);
    if (found === undefined) throw new Failure('not_found', 'The bucket is not provisioned yet, or gone.');
    return found.bucket;
  };
  const list = async (bucket: string, prefix: string, next: string | undefined) =>
    await deps.files.access.list(bucket, { prefix, limit: PAGE, ...(next === undefined ? {} : { next }) });

  routes.get('/files', async (c) => {
    const { prefix = '', cursor } = c.req.query();
    const bucket = await bucketOf(c.var.visit.resource);
    return showPage(c, filesPage(c.var.visit.view, bucket, prefix, await list(bucket, prefix, cursor), {}));
  });

  routes.get('/files/object', async (c) => {
    const { key = '', version } = c.req.query();
    const { resource, view } = c.var.visit;
    const bucket = await bucketOf(resource);
    const [head, history] = await Promise.all([deps.store.head(bucket, key, version), deps.files.history(resource, key)]);
    if (head === undefined && history.started.length === 0 && history.made_by.length === 0)
      throw new Failure('not_found', `Found no file ${JSON.stringify(key)} in the bucket, and no run that tells of it.`);
    const preview = head === undefined || head.size > PREVIEW_BYTES ? undefined : await previewOf(deps, bucket, key, head.versionId);
    return showPage(c, objectPage(view, { key, version, head, history, preview }));
  });

  routes.get('/files/download', async (c) => {
    const { key = '', version } = c.req.query();
    return c.redirect(await deps.files.access.link(await bucketOf(c.var.visit.resource), key, version, LINK_S), 302);
  });

  const limit = bodyLimit({
    maxSize: MAX_UPLOAD_BYTES,
    onError: () => {
      throw new Failure(
        'request_invalid',
        'Found more than 25 MB, which this page takes. Save it with an S3 client: `autofiles put FILE`.',
      );
    },
  });
  routes.post('/files/upload', limit, async (c) => {
    const { resource, view } = c.var.visit;
    const bucket = await bucketOf(resource);
    const form = await c.req.formData();
    const text = (name: string): string => {
      const value = form.get(name);
      return typeof value === 'string' ? value : '';
    };
    const file = form.get('file');
    const workflow = text('workflow').replaceAll('\r\n', '\n');
    try {
      if (!(file instanceof File) || file.name === '') throw new Failure('request_invalid', 'Found no file, expected one to be chosen.');
      const key = text('key').endsWith('/') || text('key') === '' ? `${text('key')}${file.name}` : text('key');
      if (key.startsWith('.autofiles/')) throw new Failure('request_invalid', 'key: found one below .autofiles/, which holds exports.');
      const metadata = metadataOf(text('how'), workflow);
      const body = new Uint8Array(await file.arrayBuffer());
      const { versionId } = await deps.store.put(bucket, key, body, {
        metadata,
        contentType: file.type === '' ? 'application/octet-stream' : file.type,
      });
      const starts = Object.keys(metadata).length > 0;
      return c.redirect(
        starts
          ? `/runs/${deps.runIdOf({ bucket, key, versionId })}?saved=1`
          : `/files/object?${new URLSearchParams({ key, version: versionId })}`,
        303,
      );
    } catch (error) {
      if (!(error instanceof Failure) || error.status >= 500) throw error;
      const prefix = text('key').slice(0, text('key').lastIndexOf('/') + 1);
      return showPage(
        c,
        filesPage(view, bucket, prefix, await list(bucket, prefix, undefined), { fault: error.message, key: text('key'), workflow }),
        422,
      );
    }
  });
  return routes;
}

/** The metadata that starts what was chosen; a workflow is checked before anything is saved. */
function metadataOf(how: string, workflow: string): Record<string, string> {
  if (how === 'run') return { ld_run: 'true' };
  if (how !== 'code') return {};
  const parsed = parseWorkflow(workflow);
  if (!parsed.ok) throw new Failure('workflow_invalid', parsed.faults.map((fault) => fault.message).join('\n'));
  // ASCII alone, as headers want it
  const code = JSON.stringify(JSON.parse(workflow)).replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  if (code.length + 'ld_code'.length > MAX_METADATA_BYTES)
    throw new Failure(
      'workflow_too_large',
      `It has ${code.length} characters as metadata, S3 takes ${MAX_METADATA_BYTES}. Save it as a file that is the workflow.`,
    );
  return { ld_code: code };
}

/** The text of a small file; undefined where it holds what no text does. */
async function previewOf(deps: FilesPageDeps, bucket: string, key: string, versionId: string): Promise<string | undefined> {
  const text = await deps.store.text(bucket, key, versionId, PREVIEW_BYTES);
  if (text === undefined || text.includes('\u0000') || text.includes('\ufffd')) return undefined;
  return text;
}

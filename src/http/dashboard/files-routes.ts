// Files: browse, look inside, download. Saving one: upload-routes.ts.
import { Hono } from 'hono';
import type { FileAccess, ObjectStore } from '../../clients/ports.ts';
import type { FileHistory } from '../../schema/api-views.ts';
import { Failure } from '../../schema/failures.ts';
import { filesPage, type Listing } from './files-page.ts';
import { objectPage } from './object-page.ts';
import { isImage, PREVIEW_BYTES } from './previews.ts';
import { showPage, type VisitEnv } from './visit.ts';

/** Files of a page. */
const PAGE = 200;
/** Seconds that a link to a file works; it is followed at once. */
const LINK_S = 60;

export interface FilesPageDeps {
  readonly files: {
    readonly access: FileAccess;
    readonly history: (resource: string, key: string) => Promise<FileHistory>;
    readonly resource: (id: string) => Promise<{ readonly bucket: string } | undefined>;
  };
  readonly store: Pick<ObjectStore, 'head' | 'text' | 'put'>;
  readonly runIdOf: (event: { bucket: string; key: string; versionId: string }) => string;
}

/** `/files`, `/files/object`, `/files/download` and `/files/text`. */
export function filesPageRoutes(deps: FilesPageDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();
  routes.get('/files', async (c) => {
    const { prefix = '', cursor } = c.req.query();
    const bucket = await bucketOf(deps, c.var.visit.resource);
    return showPage(c, filesPage(c.var.visit.view, bucket, prefix, await listing(deps, bucket, prefix, cursor), {}));
  });

  routes.get('/files/object', async (c) => {
    const { key = '', version } = c.req.query();
    const { resource, view } = c.var.visit;
    const bucket = await bucketOf(deps, resource);
    const [head, history] = await Promise.all([deps.store.head(bucket, key, version), deps.files.history(resource, key)]);
    if (head === undefined && history.set_aside.length === 0 && history.started.length === 0 && history.made_by.length === 0)
      throw new Failure('not_found', `Found no file ${JSON.stringify(key)} in the bucket, and no run that tells of it.`);
    const preview =
      head === undefined || head.size > PREVIEW_BYTES || isImage({ key, size: head.size })
        ? undefined
        : await previewOf(deps, bucket, key, head.versionId);
    return showPage(c, objectPage(view, { key, version, head, history, preview }));
  });

  routes.get('/files/download', async (c) => {
    const { key = '', version } = c.req.query();
    return c.redirect(await deps.files.access.link(await bucketOf(deps, c.var.visit.resource), key, version, LINK_S), 302);
  });

  // a small text for a run's page; 204 where the file is none
  routes.get('/files/text', async (c) => {
    const { key = '', version } = c.req.query();
    const bucket = await bucketOf(deps, c.var.visit.resource);
    const head = await deps.store.head(bucket, key, version);
    if (head === undefined) throw new Failure('not_found', `Found no file ${JSON.stringify(key)} in the bucket.`);
    const text = head.size > PREVIEW_BYTES ? undefined : await previewOf(deps, bucket, key, head.versionId);
    return text === undefined ? c.body(null, 204) : c.text(text, 200, { 'x-content-type-options': 'nosniff' });
  });
  return routes;
}

/** The bucket of a resource. Throws Failure not_found. */
export async function bucketOf({ files }: FilesPageDeps, resource: string): Promise<string> {
  const found = await files.resource(resource);
  if (found === undefined) throw new Failure('not_found', 'The bucket is not provisioned yet, or gone.');
  return found.bucket;
}

/** One page of a folder. */
export async function listing(deps: FilesPageDeps, bucket: string, prefix: string, next: string | undefined): Promise<Listing> {
  return await deps.files.access.list(bucket, { prefix, limit: PAGE, ...(next === undefined ? {} : { next }) });
}

/** The text of a small file; undefined where it holds what no text does. */
async function previewOf(deps: FilesPageDeps, bucket: string, key: string, versionId: string): Promise<string | undefined> {
  const text = await deps.store.text(bucket, key, versionId, PREVIEW_BYTES);
  if (text === undefined || text.includes('\u0000') || text.includes('\ufffd')) return undefined;
  return text;
}

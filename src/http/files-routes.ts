// `/v1/files`: the files of the resource's bucket and what became of each; `/v1/uploads`: upload forms.
import Type from 'typebox';
import type { FileAccess } from '../clients/ports.ts';
import type { Resource } from '../queues/resources.ts';
import { FileHistory, FileList, UploadForm } from '../schema/api-views.ts';
import { Failure } from '../schema/failures.ts';
import { workflowText } from '../schema/workflow-text.ts';
import { EXAMPLE_FILE } from './api-examples.ts';
import { type ApiRoute, apiRoute, notFound } from './api-route.ts';
import { checkUploadKey, FORM_S, MAX_UPLOAD_BYTES, workflowMetadata } from './upload-order.ts';

/** Files of one page. */
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
/** Seconds that a link to a file works. */
const LINK_S = 300;

export interface FilesDeps {
  readonly access: FileAccess;
  readonly history: (resource: string, key: string) => Promise<FileHistory>;
  readonly resource: (id: string) => Promise<Resource | undefined>;
}

const UploadOrder = Type.Object(
  {
    key: Type.String({ minLength: 1, maxLength: 1_024, description: 'Key of the object; it must not begin with `.autofiles/`' }),
    workflow: Type.Optional(
      Type.Unknown({ description: 'The workflow that the upload runs (pinned as ld_code); without it the upload can run nothing' }),
    ),
    run: Type.Optional(Type.Boolean({ default: false, description: 'The uploaded file itself is the workflow (pins ld_run)' })),
    content_type: Type.Optional(Type.String({ maxLength: 200 })),
    max_bytes: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_UPLOAD_BYTES, description: 'Bytes that the upload may have (5 GB)' })),
  },
  { additionalProperties: false },
);

export function filesRoutes(deps: { files: FilesDeps }): readonly ApiRoute[] {
  const { access, history, resource: resourceOf } = deps.files;
  const bucketOf = async (id: string): Promise<string> => {
    const resource = await resourceOf(id);
    if (resource === undefined) throw notFound('bucket: the resource is not provisioned yet, or gone');
    return resource.bucket;
  };

  return [
    apiRoute(
      {
        method: 'get',
        path: '/files',
        id: 'listFiles',
        tag: 'Files',
        summary: 'List the files of the bucket, folder by folder',
        query: Type.Object({
          prefix: Type.Optional(Type.String({ description: 'Folder, ending with `/`, or how keys begin', maxLength: 1_024 })),
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT })),
          cursor: Type.Optional(Type.String({ description: '`next` of the page before' })),
        }),
        reply: FileList,
        failures: ['not_found', 's3_unavailable'],
        examples: [{ summary: 'One folder', query: { prefix: 'in/' } }],
      },
      async ({ query, resource }) => {
        const page = await access.list(await bucketOf(resource), {
          prefix: query.prefix ?? '',
          limit: query.limit ?? DEFAULT_LIMIT,
          ...(query.cursor === undefined ? {} : { next: query.cursor }),
        });
        return {
          files: page.files.map(({ modifiedAt, ...file }) => ({ ...file, modified_at: new Date(modifiedAt).toISOString() })),
          folders: [...page.folders],
          next: page.next ?? null,
        };
      },
    ),
    apiRoute(
      {
        method: 'get',
        path: '/files/{key...}',
        id: 'showFile',
        tag: 'Files',
        summary: 'Show what became of a file: runs it started, outputs they led to, tasks that made it, what was set aside',
        params: { key: 'Key of the object; its slashes stay as they are' },
        reply: FileHistory,
        examples: [{ summary: 'Why did this file appear, and what did it start?', path: { key: EXAMPLE_FILE } }],
      },
      async ({ param, resource }) => await history(resource, param('key')),
    ),
    apiRoute(
      {
        method: 'post',
        path: '/files/link',
        id: 'linkFile',
        tag: 'Files',
        summary: 'Make a link that downloads a file, for five minutes',
        body: Type.Object(
          { key: Type.String({ minLength: 1, maxLength: 1_024 }), version_id: Type.Optional(Type.String()) },
          { additionalProperties: false },
        ),
        reply: Type.Object({ url: Type.String(), expires_in: Type.Number({ description: 'Seconds' }) }),
        failures: ['not_found'],
        retrieves: true,
        examples: [{ summary: 'A download', body: { key: EXAMPLE_FILE } }],
      },
      async ({ body, resource }) => ({
        url: await access.link(await bucketOf(resource), body.key, body.version_id, LINK_S),
        expires_in: LINK_S,
      }),
    ),
    apiRoute(
      {
        method: 'post',
        path: '/uploads',
        id: 'makeUpload',
        tag: 'Files',
        summary: 'Make a form with which a browser uploads one file straight to the bucket',
        description:
          'A POST policy for exactly this key: `x-amz-meta-ld_*` is pinned to the workflow chosen here, or forbidden, so whoever uploads can run nothing else. Send `fields` and, last, `file` as multipart/form-data to `url`.',
        body: UploadOrder,
        status: 201,
        reply: UploadForm,
        failures: ['not_found', 'workflow_invalid', 'workflow_too_large'],
        examples: [
          {
            summary: 'A file that starts a workflow',
            body: { key: 'in/photo.jpg', workflow: { title: 'Thumbnails', run: [{ cmd: 'thumbnails' }] } },
          },
          { summary: 'A file that starts nothing', body: { key: 'in/data.csv', content_type: 'text/csv', max_bytes: 1_000_000 } },
        ],
      },
      async ({ body, resource }) => {
        const { key, max_bytes: maxBytes = MAX_UPLOAD_BYTES, content_type: contentType } = body;
        checkUploadKey(key);
        const metadata = metadataOf(body);
        const form = await access.form(await bucketOf(resource), key, {
          metadata,
          maxBytes,
          seconds: FORM_S,
          ...(contentType === undefined ? {} : { contentType }),
        });
        return { url: form.url, fields: form.fields, key, expires_in: FORM_S };
      },
    ),
  ];
}

/** The metadata that the upload carries. */
function metadataOf({ workflow, run }: { workflow?: unknown; run?: boolean }): Record<string, string> {
  if (run && workflow !== undefined)
    throw new Failure('request_invalid', 'Found run and workflow, expected one: run says that the file itself is the workflow.');
  if (run) return { ld_run: 'true' };
  return workflow === undefined ? {} : workflowMetadata(workflowText(workflow, 2));
}

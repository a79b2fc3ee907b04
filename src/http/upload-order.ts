// What an upload carries: the metadata that starts a workflow, checked before anything is saved. A broken workflow would
// otherwise fail out of sight.
import { Failure } from '../schema/failures.ts';
import { isOwnObject, OWN_PREFIX } from '../schema/own-objects.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';

/** Bytes of user metadata that S3 takes, names and values together. */
const MAX_METADATA_BYTES = 2_048;
/** Bytes of a POST upload: 5 GB, what S3 takes in one request. */
export const MAX_UPLOAD_BYTES = 5_368_709_120;
/** Seconds that an upload form works; S3 checks it when the upload begins. */
export const FORM_S = 3_600;

/** `ld_code` for a workflow's text. Throws Failure `workflow_invalid` with every fault, or `workflow_too_large`. */
export function workflowMetadata(text: string): Record<string, string> {
  const parsed = parseWorkflow(text);
  if (!parsed.ok) throw new Failure('workflow_invalid', parsed.faults.map((fault) => fault.message).join('\n'));
  // ASCII alone, as headers want it
  const code = JSON.stringify(JSON.parse(text)).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const size = 'ld_code'.length + code.length;
  if (size > MAX_METADATA_BYTES)
    throw new Failure(
      'workflow_too_large',
      `The workflow has ${size} bytes as metadata, S3 takes ${MAX_METADATA_BYTES}. Upload it as a file that is itself the workflow.`,
    );
  return { ld_code: code };
}

/** Throws Failure request_invalid for a key that no upload may have. */
export function checkUploadKey(key: string): void {
  if (isOwnObject(key)) throw new Failure('request_invalid', `key: found one below ${OWN_PREFIX}, which holds exports; choose another.`);
}

// A look inside a file: what a browser draws as an image, straight from the bucket, and what is text.
import { bytes } from './format.ts';
import { type Html, html } from './html.ts';
import { downloadHref, fileHref, query } from './links.ts';

/** Bytes of a text that are shown. */
export const PREVIEW_BYTES = 65_536;
/** Bytes of an image that is loaded only to be looked at. */
const MAX_IMAGE_BYTES = 20_000_000;

const IMAGES = /\.(png|jpe?g|gif|webp|avif|svg|bmp|ico)$/i;

interface Seen {
  readonly key: string;
  readonly versionId: string;
  /** Bytes. */
  readonly size: number;
}

/** Whether a file is shown as an image: by its name, as nothing else tells without loading it. */
export function isImage({ key, size }: Pick<Seen, 'key' | 'size'>): boolean {
  return IMAGES.test(key) && size > 0 && size <= MAX_IMAGE_BYTES;
}

/** The image; as an image nothing in it can run. */
export function imagePreview({ key, versionId }: Seen, alt = `Preview of ${key}`): Html {
  return html`<a href="${fileHref(key, versionId)}" class="preview-frame"><img class="preview-image" src="${downloadHref(key, versionId)}" alt="${alt}" loading="lazy"></a>`;
}

/** A place for an output on a run's page: the image, or its text, which the script fetches once. */
export function outputPreview(seen: Seen): Html | '' {
  const { key, versionId, size } = seen;
  if (isImage(seen)) return imagePreview(seen);
  if (size === 0) return '';
  if (size > PREVIEW_BYTES) return html`<p class="muted">No preview of ${bytes(size)}.</p>`;
  const id = `preview-${versionId.replaceAll(/[^\w-]/g, '-')}`;
  return html`<div class="preview-text" id="${id}" data-preview="/files/text?${query({ key, version: versionId })}" data-keep><a href="${fileHref(key, versionId)}">Look inside</a></div>`;
}

// HTML as tagged templates. Node's type stripping does not do JSX, and a loader for it would stand in front of every start;
// hono's own template tag escapes as its JSX does. This narrows it to what a page is made of.
import { html as honoHtml } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';

export type Html = HtmlEscapedString;
/** What may stand in a template. Text and numbers are escaped; an object that is no Html does not compile. */
export type Part = Html | string | number | false | null | undefined | readonly Part[];

/** Markup with every inserted text escaped, in attributes too; those must be written in double quotes. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  const made = honoHtml(strings, ...values);
  if (made instanceof Promise) throw new TypeError('a template was given something that has to be waited for');
  return made;
}

/** Nothing. */
export const nothing: Html = html``;

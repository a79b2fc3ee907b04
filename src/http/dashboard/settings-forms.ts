// The small forms of Settings.
import { type Html, html } from './html.ts';
import type { View } from './layout.ts';
import { guardField } from './retry-forms.ts';

/** A form with one button that does one thing. */
export function button(view: View, action: string, fields: Readonly<Record<string, string>>, word: string, kind = ''): Html {
  return html`<form method="post" action="/settings/${action}">${guardField(view)}${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}<button class="button ${kind}"${view.write ? '' : html` disabled`}>${word}</button></form>`;
}

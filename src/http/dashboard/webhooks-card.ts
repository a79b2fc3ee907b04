// Webhooks: who is told when runs end, what came of telling, and a test of it.
import type { DeliveryView, WebhookView } from '../../schema/webhook-view.ts';
import { duration, when } from './format.ts';
import { type Html, html } from './html.ts';
import { icon } from './icons.ts';
import type { View } from './layout.ts';
import { guardField } from './retry-forms.ts';
import { button } from './settings-forms.ts';

interface WebhooksInput {
  readonly webhooks: readonly WebhookView[];
  readonly deliveries: readonly DeliveryView[];
  readonly pinged?: Pinged;
}

/** A test that was asked for: what came of it, once it is known, and whether that can still be. */
export interface Pinged {
  readonly delivery: DeliveryView | undefined;
  readonly late: boolean;
}

/** Seconds after which a page that waits for a test looks again. */
const AGAIN_S = 1;

/** The card. */
export function webhooksCard(view: View, input: WebhooksInput): Html {
  const { webhooks, deliveries } = input;
  return html`<section class="card" id="webhooks" aria-labelledby="wh-h"><h2 id="wh-h">Webhooks</h2>
<p class="muted">A server that is told of every run that ends: HTTPS, at addresses of the public internet, no redirects. What is not taken with 2xx is sent again, nine times in about 43 minutes; a server that took nothing for six hours is paused.</p>
${test(input)}${
  webhooks.length === 0
    ? ''
    : html`<table class="list"><thead><tr><th scope="col">Address</th><th scope="col">Added</th><th scope="col">Last delivery</th><th scope="col"><span class="vh">Actions</span></th></tr></thead><tbody>${webhooks.map(
        (hook) => {
          const last = deliveries.find(({ webhook }) => webhook === hook.id);
          return html`<tr><td class="detail"><code>${hook.url}</code>${pause(hook, view)}</td><td>${when(hook.created_at, view.now)}</td><td>${last === undefined ? 'none yet' : result(last)}</td><td class="num"><div class="row-actions">${button(view, 'webhooks/ping', { id: hook.id }, 'Test', 'small')}${button(view, 'webhooks/remove', { id: hook.id }, 'Remove', 'small danger')}</div></td></tr>`;
        },
      )}</tbody></table>`
}<form method="post" action="/settings/webhooks" class="row">${guardField(view)}<label>Address <input type="url" name="url" required maxlength="2000" size="40" pattern="https://.*" placeholder="https://example.com/autofiles"></label><button class="button"${view.write ? '' : html` disabled`}>Add a webhook</button></form>
${log(view, deliveries)}</section>`;
}

function pause({ paused }: WebhookView, view: View): Html | '' {
  if (paused === null) return '';
  return html`<div class="callout small">${icon('rejected')}<p><b>Paused</b> ${when(paused.at, view.now)}: runs that end are not told. ${paused.why} A test that is taken lets it go on.</p></div>`;
}

/** What came of the test that was asked for. */
function test({ pinged }: WebhooksInput): Html | '' {
  if (pinged === undefined) return '';
  const found = pinged.delivery;
  if (found === undefined && pinged.late)
    return html`<div class="callout small" role="status">${icon('rejected')}<p>Nothing was heard of the test; look at the list below.</p></div>`;
  if (found === undefined)
    return html`<div class="callout small" role="status" data-again="${AGAIN_S}">${icon('running')}<p>The test is on its way …</p></div>`;
  return html`<div class="callout small${found.error === null ? ' good' : ''}" role="status">${icon(found.error === null ? 'succeeded' : 'failed')}<p><b>${found.error === null ? 'The test was taken' : 'The test was not taken'}</b>: ${result(found)}</p></div>`;
}

function result({ status, error, ms }: DeliveryView): Html {
  if (error === null)
    return html`<span class="st st-succeeded">${icon('succeeded')}${status ?? ''}</span> <span class="muted">in ${duration(ms)}</span>`;
  return html`<span class="st st-failed">${icon('failed')}${status ?? 'no answer'}</span> <span class="row-error">${error}</span>`;
}

function log(view: View, deliveries: readonly DeliveryView[]): Html {
  if (deliveries.length === 0) return html``;
  return html`<details class="sub"><summary>Deliveries <span class="muted">the last ${deliveries.length}</span></summary><div class="scroll" tabindex="0" role="region" aria-label="Deliveries"><table class="list"><thead><tr><th scope="col">When</th><th scope="col">Of</th><th scope="col" class="num">Try</th><th scope="col">Result</th><th scope="col">webhook-id</th></tr></thead><tbody>${deliveries.map(
    (one) =>
      html`<tr><td>${when(one.at, view.now)}</td><td>${one.run === null ? 'a test' : html`<a href="/runs/${one.run}" class="mono">${one.run}</a>`}</td><td class="num">${one.attempt}</td><td>${result(one)}</td><td class="mono detail">${one.id}</td></tr>`,
  )}</tbody></table></div></details>`;
}

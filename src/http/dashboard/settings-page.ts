// What holds for this app: plan, launches, commands, credentials, tokens, who did what, and how to leave.
import type { ResourceView } from '../../schema/api-views.ts';
import type { AuditEntry } from '../../schema/audit-entry.ts';
import type { TokenView } from '../../schema/token-view.ts';
import type { DeliveryView, WebhookView } from '../../schema/webhook-view.ts';
import { containerCard, containerCommand } from './container-card.ts';
import { bytes, count, duration, when } from './format.ts';
import { type Html, html } from './html.ts';
import { icon } from './icons.ts';
import { copyable, facts, type Page, type View } from './layout.ts';
import { guardField } from './retry-forms.ts';
import { button } from './settings-forms.ts';
import { type Pinged, webhooksCard } from './webhooks-card.ts';

export interface SettingsInput {
  readonly resource: ResourceView;
  readonly tokens: readonly TokenView[];
  readonly audit: readonly AuditEntry[];
  readonly webhooks: readonly WebhookView[];
  readonly deliveries: readonly DeliveryView[];
  /** Whether owners can let us start dynos by their consent. */
  readonly consent: boolean;
  /** A test delivery that was asked for just now. */
  readonly pinged?: Pinged;
  /** Where this service is, as the visitor reached it: `https://host`. */
  readonly origin: string;
  /** What was made just now and is shown this once. */
  readonly made?: Made;
}

/** A secret text that no other page will show. */
type Made =
  | {
      readonly kind: 'token';
      readonly name: string;
      readonly token: string;
      /** It is for container credentials. */
      readonly container: boolean;
    }
  | { readonly kind: 'webhook'; readonly url: string; readonly secret: string };

/** The page. */
export function settingsPage(view: View, input: SettingsInput): Page {
  return {
    title: 'Settings',
    current: 'settings',
    main: html`<h1>Settings</h1>${made(input)}
<div class="cards wide">${planCard(input)}${launchCard(view, input)}${leaveCard(view, input)}${commandsCard(view, input)}${credentialsCard(view, input)}</div>
${tokensCard(view, input)}${containerCard(view, input)}${webhooksCard(view, input)}${auditCard(view, input)}${exportCard(input)}${dangerCard(input)}`,
  };
}

function made(input: SettingsInput): Html | '' {
  if (input.made === undefined) return '';
  const callout = (body: Html) => html`<section class="callout good" role="status">${icon('succeeded')}<div>${body}</div></section>`;
  if (input.made.kind === 'webhook')
    return callout(html`<p><b>Webhook added.</b> Its secret is shown this once: keep it where <code>${input.made.url}</code> is served.</p><p>${copyable(input.made.secret)}</p>
<p class="muted">Each delivery carries <code>webhook-id</code>, <code>webhook-timestamp</code> and <code>webhook-signature</code>; every library of <a href="https://www.standardwebhooks.com" rel="noreferrer">Standard Webhooks</a> checks them with this secret.</p>`);
  const { name, token, container } = input.made;
  return callout(
    html`<p><b>Token ${name}</b>, shown this once: keep it now.</p><p>${copyable(token)}</p>${
      container
        ? html`<p>Set with it, the app’s dynos find the credentials by themselves:</p><p>${copyable(containerCommand(input, token))}</p>`
        : ''
    }`,
  );
}

function planCard({ resource }: SettingsInput): Html {
  const { name, limits } = resource.plan;
  return html`<section class="card"><h2>Plan</h2>${facts([
    ['Plan', name],
    ['Dynos at a time', count(limits.concurrency)],
    ['Runs a day', count(limits.runs_per_day)],
    ['Longest timeout', duration(limits.max_timeout_s * 1000)],
    ['Records kept', `${limits.retention_days} days`],
    ['Storage', bytes(limits.storage_bytes)],
  ])}<p class="muted">Another plan: <code>heroku addons:upgrade</code></p></section>`;
}

function launchCard(view: View, { resource }: SettingsInput): Html {
  return html`<section class="card"><h2>Launches</h2><p>${
    resource.paused
      ? html`<b>Paused.</b> Files are accepted and runs recorded; no dyno starts until they go on.`
      : 'Dynos start as tasks have their turn. A pause holds new ones back; what runs goes on, and no file is lost.'
  }</p>${button(view, 'pause', { paused: resource.paused ? 'no' : 'yes' }, resource.paused ? 'Go on' : 'Pause launches', resource.paused ? 'primary' : '')}</section>`;
}

const LEAVE = {
  partner: 'Heroku lets this add-on start dynos of the app.',
  customer: 'An owner of the app has let Autofiles start its dynos, by consent at Heroku.',
  static: 'Dynos are started with a token of this service.',
  none: 'Nobody has let Autofiles start dynos of this app yet: runs are recorded, and their tasks are refused.',
} as const;

function leaveCard(view: View, { resource, consent }: SettingsInput): Html {
  const { permission } = resource;
  return html`<section class="card"><h2>Leave to start dynos</h2><p>${permission === 'none' ? html`<b>${LEAVE.none}</b>` : LEAVE[permission]}</p>${
    permission === 'customer'
      ? html`<p class="muted">Taken back here, or at Heroku under Account settings, Applications.</p>${button(view, 'consent/withdraw', {}, 'Take the consent back', 'danger')}`
      : consent
        ? html`<p class="muted">Your consent is asked at Heroku (scope write-protected), kept sealed, and used for this app’s dynos alone.</p><p><a class="button" href="/settings/consent">Let Autofiles start dynos</a></p>`
        : ''
  }</section>`;
}

function commandsCard(view: View, { resource }: SettingsInput): Html {
  const unrestricted = resource.commands === 'any';
  return html`<section class="card"><h2>Commands</h2><p>${
    unrestricted
      ? html`A workflow may run <b>any</b> command: whoever may save files with metadata may run commands with the app’s config vars.`
      : html`A workflow may name a process type of the <b>Procfile</b> and nothing else.`
  }</p>${button(view, 'commands', { commands: unrestricted ? 'procfile' : 'any' }, unrestricted ? 'Allow the Procfile only' : 'Allow any command', unrestricted ? '' : 'danger')}</section>`;
}

function credentialsCard(view: View, { resource }: SettingsInput): Html {
  const { credentials } = resource;
  return html`<section class="card"><h2>Credentials</h2>${
    credentials === null
      ? html`<p class="muted">None yet.</p>`
      : html`${facts([
          ['Age', duration(credentials.age_s * 1000)],
          ['Issued', when(credentials.issued_at, view.now)],
          ['Valid until', when(credentials.expires_at, view.now)],
        ])}`
  }<p class="muted">Renewed every 6 hours; the old ones stay valid for 6 more. A renewal in config vars restarts the app; the container credentials below do not.</p>${button(view, 'rotate', {}, 'Renew now')}</section>`;
}

function tokensCard(view: View, { tokens }: SettingsInput): Html {
  return html`<section class="card" aria-labelledby="to-h"><h2 id="to-h">API tokens</h2>${
    tokens.length === 0
      ? html`<p class="muted">None. A token uses the API at <code>/v1</code> for this app alone.</p>`
      : html`<table class="list"><thead><tr><th scope="col">Name</th><th scope="col">May</th><th scope="col">Made</th><th scope="col">Last used</th><th scope="col"><span class="vh">Revoke</span></th></tr></thead><tbody>${tokens.map(
          (token) =>
            html`<tr><td>${token.name}</td><td>${token.scope === 'write' ? 'read and write' : 'read'}</td><td>${when(token.created_at, view.now)} <span class="muted">by ${token.created_by}</span></td><td>${token.used_at === null ? 'never' : when(token.used_at, view.now)}</td><td class="num">${button(view, 'tokens/revoke', { id: token.id }, 'Revoke', 'small danger')}</td></tr>`,
        )}</tbody></table>`
  }<form method="post" action="/settings/tokens" class="row">${guardField(view)}<label>Name <input name="name" required maxlength="100" size="20"></label><label>May <select name="scope"><option value="read">read</option><option value="write">read and write</option></select></label><button class="button"${view.write ? '' : html` disabled`}>Make a token</button></form></section>`;
}

function auditCard(view: View, { audit }: SettingsInput): Html {
  return html`<section class="card" aria-labelledby="au-h"><h2 id="au-h">Audit log</h2>${
    audit.length === 0
      ? html`<p class="muted">Nothing yet.</p>`
      : html`<div class="scroll" tabindex="0" role="region" aria-label="Audit log"><table class="list"><thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Of what</th></tr></thead><tbody>${audit.map(
          (entry) =>
            html`<tr><td>${when(entry.at, view.now)}</td><td>${entry.actor}</td><td>${entry.action}</td><td class="detail">${entry.detail}</td></tr>`,
        )}</tbody></table></div>`
  }</section>`;
}

function exportCard({ resource }: SettingsInput): Html {
  return html`<section class="card" aria-labelledby="ex-h"><h2 id="ex-h">Export</h2><p>Every ended run lies in the bucket as JSON; this brings files and history along, with their metadata, and goes on where it was broken off:</p><p>${copyable('autofiles export backup')}</p><p>So does, without the metadata, <code>aws s3 sync s3://${resource.bucket}/ backup/</code>.</p><p class="muted">Runs are in <code>.autofiles/runs/</code>, by day.</p></section>`;
}

function dangerCard({ resource }: SettingsInput): Html {
  const command = `heroku addons:destroy line-d --app ${resource.app}`;
  return html`<section class="card danger-zone" aria-labelledby="da-h"><h2 id="da-h">Remove</h2><p>Removing the add-on ends its runs and deletes the bucket with all files and versions. That cannot be taken back, so it is done where the app is managed:</p><p>${copyable(command)}</p></section>`;
}

// How it goes: what runs, what waits and why, what failed, and whether every file is accounted for.
import type { ActivityStretch } from '../../queues/activity.ts';
import type { ResourceView } from '../../schema/api-views.ts';
import type { LedgerView, SetAside } from '../../schema/ledger-view.ts';
import type { RunSummary } from '../../schema/run-view.ts';
import { durationChart, throughputChart } from './charts.ts';
import { count, duration, shortened, when } from './format.ts';
import { type Html, html } from './html.ts';
import { icon, stateIcon } from './icons.ts';
import type { Page, View } from './layout.ts';
import { fileHref } from './links.ts';
import { noRuns, runRow } from './runs-page.ts';

export interface OverviewInput {
  readonly resource: ResourceView;
  readonly ledger: LedgerView | undefined;
  /** What was set aside last, newest first. */
  readonly setAside: readonly SetAside[];
  /** Launches that wait, and why. */
  readonly outlook: {
    readonly why: 'paused' | 'concurrency' | 'budget';
    readonly waiting: number;
    readonly held: number;
    readonly limit: number;
  };
  /** The newest runs, newest first. */
  readonly recent: readonly RunSummary[];
  /** The newest runs that failed. */
  readonly failed: readonly RunSummary[];
  readonly activity: readonly ActivityStretch[];
}

const WHY = {
  paused: 'launches are paused in Settings',
  concurrency: 'the plan’s dynos are all in use',
  budget: 'Heroku’s calls per hour are shared out',
} as const;
/** Seconds of a credential's age that are worth a word: it is renewed every six hours. */
const OLD_CREDENTIALS_S = 8 * 3600;

/** The page. */
export function overviewPage(view: View, input: OverviewInput): Page {
  const { resource, recent, failed, activity } = input;
  const main =
    recent.length === 0
      ? html`<h1>Overview</h1><section class="card">${noRuns()}</section>${cards(view, input)}${asideCard(view, input.setAside)}`
      : html`<h1>Overview</h1>${tiles(input)}
<div class="two"><section class="card" aria-label="Throughput">${throughputChart(activity)}</section><section class="card" aria-label="Durations">${durationChart(recent)}</section></div>
${cards(view, input)}${asideCard(view, input.setAside)}
<section class="card" aria-labelledby="fa-h"><h2 id="fa-h">Failed last</h2>${failed.length === 0 ? html`<p class="muted">Nothing has failed.</p>` : html`<table class="list runs"><tbody>${failed.map((run) => runRow(view, run, false))}</tbody></table><p><a href="/runs?state=failed">All that failed</a></p>`}</section>`;
  return { title: `Overview of ${resource.app}`, current: 'overview', live: '/runs/live', main };
}

function tiles({ resource, outlook }: OverviewInput): Html {
  const { running, retrying, failed_24h: failed, runs_24h: runs } = resource.usage;
  const tile = (href: string, icon: Html, value: number, word: string, note: Html | string = '') =>
    html`<li><a href="${href}"><span class="value">${icon}${count(value)}</span><span>${word}</span>${note === '' ? '' : html`<small>${note}</small>`}</a></li>`;
  return html`<ul class="tiles">${tile('/runs?state=running', stateIcon('running'), running, 'running')}
${tile('/runs?state=running', stateIcon('waiting'), outlook.waiting, 'launches waiting', outlook.waiting > 0 ? WHY[outlook.why] : 'nothing holds them back')}
${tile('/runs?state=retrying', stateIcon('retrying'), retrying, 'retrying')}
${tile('/runs?state=failed&period=24h', stateIcon('failed'), failed, 'failed in 24 h')}
${tile('/runs?period=24h', stateIcon('succeeded'), runs, 'runs in 24 h')}</ul>`;
}

function cards(view: View, { resource, ledger, outlook }: OverviewInput): Html {
  const { plan, budget, credentials, usage } = resource;
  const share = Math.round((usage.runs_24h / plan.limits.runs_per_day) * 100);
  return html`<div class="cards"><section class="card"><h2>Ledger</h2>${ledgerFigures(view, ledger)}</section>
<section class="card"><h2>Launch budget</h2><p class="figure">${count(Math.floor(budget.tokens))} <small>calls may be made now</small></p><p class="muted">${count(budget.per_hour)} calls an hour, shared by all apps in turn. ${outlook.held > 0 ? `${count(outlook.held)} dynos are held by this app.` : ''}</p></section>
<section class="card"><h2>Credentials</h2>${
    credentials === null
      ? html`<p>None yet: they come with provisioning.</p>`
      : html`<p class="figure">${duration(credentials.age_s * 1000)} <small>old</small></p><p class="${credentials.age_s > OLD_CREDENTIALS_S ? 'bad' : 'muted'}">Renewed every 6 h, valid until <time datetime="${credentials.expires_at}">${credentials.expires_at.slice(11, 16)} UTC</time>.${credentials.age_s > OLD_CREDENTIALS_S ? ' The renewal is late.' : ''}</p>`
  }</section>
<section class="card"><h2>Plan ${plan.name}</h2><p class="figure">${count(usage.runs_24h)} <small>of ${count(plan.limits.runs_per_day)} runs a day</small></p><meter min="0" max="100" value="${Math.min(100, share)}" aria-label="Part of the day’s runs">${share} %</meter><p class="muted">${count(usage.dynos)} of ${count(plan.limits.concurrency)} dynos, records kept ${plan.limits.retention_days} days</p></section></div>`;
}

/** What led to no run although it asked for one; nothing where there is nothing. */
function asideCard(view: View, entries: readonly SetAside[]): Html | '' {
  if (entries.length === 0) return '';
  return html`<section class="card" aria-labelledby="as-h"><h2 id="as-h">Set aside last</h2><p class="muted">Files that started no run although they asked for one, and metadata that was not taken. <code>autofiles quarantined</code> lists more.</p><ul class="plain">${entries.map(
    ({ key, version_id: version, reason, at }) =>
      html`<li><a class="file" href="${fileHref(key, version === '' ? undefined : version)}">${icon('file')}${key}</a> <span class="bad">${shortened(reason, 300)}</span> ${when(at, view.now)}</li>`,
  )}</ul></section>`;
}

function ledgerFigures(view: View, ledger: LedgerView | undefined): Html {
  if (ledger === undefined || ledger.swept_at === null)
    return html`<p class="muted">The bucket has not been compared with the decisions yet.</p>`;
  const oldest = ledger.oldest_unaccounted;
  return html`<p class="figure">${count(ledger.accounted_for)} <small>of ${count(ledger.in_scope)} accounted for</small></p>${
    oldest === null
      ? html`<p class="muted">${ledger.in_flight === 0 ? 'Every saved version has its decision.' : `The events of ${count(ledger.in_flight)} were on their way.`} Compared ${when(ledger.swept_at, view.now)}.</p>`
      : html`<p class="bad">Without a decision: ${oldest.key}, saved ${when(oldest.saved_at, view.now)}</p>`
  }`;
}

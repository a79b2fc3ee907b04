// What a page is when there is none to show.
import type { Failure } from '../../schema/failures.ts';
import { html } from './html.ts';
import { icon } from './icons.ts';
import type { Page } from './layout.ts';

/** A failure, with what to do where the failure knows it. */
export function errorPage(failure: Failure): Page {
  return {
    title: failure.code,
    current: undefined,
    main: html`<div class="empty">${icon('failed')}<h1>${failure.status === 404 ? 'Not found' : 'That did not work'}</h1><p class="pre">${failure.message}</p><p class="muted">${failure.status} <code>${failure.code}</code></p><p><a class="button" href="/runs">To the runs</a></p></div>`,
  };
}

/** Seconds after which the page looks again by itself. */
const AGAIN_S = 2;

/** Redis is away: what was tried, what went wrong, what to do. The page becomes the wanted one as soon as Redis answers. */
export function redisPage(trouble: { readonly where: string; readonly error: string } | undefined): Page {
  return {
    title: 'Redis does not answer',
    current: undefined,
    main: html`<div class="empty trouble" data-again="${AGAIN_S}">${icon('rejected')}<h1>Redis does not answer</h1>
<p>Runs are kept in Redis; without it there is nothing to show. Files that are saved now are not lost: their events wait in the queue.</p>
${
  // anybody may come here in production, where the log has it
  trouble === undefined
    ? ''
    : html`<dl class="facts"><div><dt>Tried</dt><dd><code>${trouble.where}</code></dd></div><div><dt>Found</dt><dd><code>${trouble.error === '' ? 'no answer in time' : trouble.error}</code></dd></div></dl>
<ul><li>On this machine: <code>autofiles start</code> runs a Redis of its own and starts it again when it dies. Look at what it printed.</li>
<li>In production: look at the Redis that <code>REDIS_URL</code> names: is it up, does this process reach it, is its memory full?</li></ul>`
}
<p class="muted" role="status">Looking again every ${AGAIN_S} seconds; this page goes on by itself.</p><p><a class="button" href="">Look now</a></p></div>`,
  };
}

// What keeps a page live: streams that are refused, sessions that end, other apps, hidden tabs, and how often it looks again.
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSessions } from '../../src/queues/sessions.ts';
import { until } from '../support/until.ts';
import { openTab, startBrowser } from './browser.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
let run: string;
let dyno: string;
beforeAll(async () => {
  [world, browser] = await Promise.all([startWorld(), startBrowser()]);
  run = world.engine.upload([{ name: 'Talks', cmd: 'hold', timeout: 600 }], 'in/talks.txt');
  dyno = await until('the dyno', async () => (await world.engine.show(run))?.steps[0]?.tasks[0]?.dyno ?? undefined);
  world.engine.cloud.talking.add(dyno);
  for (let i = 1; i <= 60; i += 1) say(`line ${i}`);
});
afterAll(async () => {
  world?.release();
  await browser?.close();
  await world?.stop();
});

const say = (text: string) => world.engine.cloud.say(dyno, `${new Date().toISOString().slice(0, -1)}000+00:00 app[${dyno}]: ${text}`);
const live = (page: Page) => page.locator('#live');
const lines = (page: Page) => page.locator('.log .lines');
/** Keeps what the page opens, to be asked what became of it. */
const KEEP_SOURCES = `
  window.sources = [];
  window.EventSource = class extends EventSource { constructor(...all) { super(...all); window.sources.push(this); } };`;
const states = (page: Page) => page.evaluate('window.sources.map(({ readyState }) => readyState)');
/** As when the reader goes to another tab and comes back. */
const see = (page: Page, state: 'hidden' | 'visible') =>
  page.evaluate(`Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));`);
const OPEN = 1;
const CLOSED = 2;

describe('a stream that is not answered with 200', () => {
  it('is asked for again, later each time, and the page then shows what it missed', async () => {
    const { page, close } = await openTab(browser, world);
    // its time goes on as it is told alone, however long the machine takes for what lies between
    await page.clock.install({ time: 0 });
    await page.clock.pauseAt(1_000);
    await page.addInitScript(KEEP_SOURCES);
    /** The page knows of the refusal, and waits. */
    const refused = async (times: number) =>
      await until(`refusal ${times}`, async () => {
        const all = (await states(page)) as number[];
        return all.length === times && all.at(-1) === CLOSED;
      });
    let asked = 0;
    await page.route('**/runs/live', (route) => {
      asked += 1;
      return route.fulfill({ status: 503 });
    });
    await page.goto(`${world.url}/runs?prefix=in%2Fmissed%2F`);
    await live(page).getByText('connection lost, trying again').waitFor();
    for (const [i, ms] of [5_000, 10_000, 20_000, 40_000, 60_000, 60_000].entries()) {
      await refused(i + 1);
      // not before its time
      await page.clock.runFor(ms - 1);
      expect(asked).toBe(i + 1);
      await page.clock.runFor(1);
    }
    const id = world.engine.upload([{ cmd: 'quick' }], 'in/missed/one.jpg');
    await world.engine.ended(id);
    await refused(7);
    await page.unroute('**/runs/live');
    await page.clock.runFor(60_000);
    await page.clock.resume();
    await live(page).getByText('live', { exact: true }).waitFor();
    await page.locator(`tr[id="${id}"]`, { hasText: 'succeeded' }).waitFor();
    await close();
  });

  it('of a log is asked for again, too, and says so', async () => {
    const { page, close } = await openTab(browser, world);
    await page.clock.install();
    await page.route('**/log/stream?**', (route) => route.fulfill({ status: 503 }));
    await page.goto(`${world.url}/runs/${run}`);
    await page.locator('.log-tools .end', { hasText: 'connection lost, trying again' }).waitFor();
    await page.unroute('**/log/stream?**');
    await page.clock.runFor(5_000);
    await lines(page).locator('li').nth(59).waitFor();
    expect(await page.locator('.log-tools .end').textContent()).toBe('');
    await close();
  });
});

it('gives up an answer that does not come in 20 s, and looks again', async () => {
  const { page, close } = await openTab(browser, world);
  await page.clock.install();
  await page.goto(`${world.url}/runs`);
  await live(page).getByText('live', { exact: true }).waitFor();
  const isPage = (url: URL) => url.pathname === '/runs';
  await page.route(isPage, () => {});
  const asked = page.waitForRequest((request) => isPage(new URL(request.url())));
  await page.evaluate("dispatchEvent(new PopStateEvent('popstate'))");
  await asked;
  await page.clock.runFor(20_000);
  await live(page).getByText('connection lost, trying again').waitFor();
  await page.unroute(isPage);
  await page.clock.runFor(2_000);
  await live(page).getByText('live', { exact: true }).waitFor();
  await close();
});

it('says that the session ended, keeps what it shows, and asks no more', async () => {
  const { page, close } = await openTab(browser, world);
  await page.clock.install();
  await page.addInitScript(KEEP_SOURCES);
  await page.goto(`${world.url}/runs/${run}`);
  await live(page).getByText('live', { exact: true }).waitFor();
  await page.context().clearCookies();
  await live(page).getByText('signed out').waitFor();
  await page.getByRole('alert').getByText('You are signed out').waitFor();
  expect(await page.locator('.tl-row', { hasText: 'Talks' }).count()).toBe(1);
  expect((await states(page)) as number[]).toContain(CLOSED);
  const asked: string[] = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.clock.runFor(30_000);
  expect(asked.filter((path) => path === `/runs/${run}`)).toEqual([]);
  await close();
});

it('does not become another app’s page when that is opened in the same browser', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs`);
  await live(page).getByText('live', { exact: true }).waitFor();
  expect(await page.locator('header .app').innerText()).toContain('app');
  await page.evaluate('window.stays = true');
  await signIn(page.context(), (await world.engine.otherResource()).id);
  await see(page, 'visible');
  await page.getByRole('alert').getByText('Another app’s dashboard was opened in this browser; open this one again').waitFor();
  await live(page).getByText('not live').waitFor();
  expect(await page.locator(`tr[id="${run}"]`).count()).toBe(1);
  // what happens to it from now on is not for here
  const id = world.engine.upload([{ cmd: 'quick' }]);
  await world.engine.ended(id);
  await see(page, 'visible');
  expect(await page.locator(`tr[id="${id}"]`).count()).toBe(0);
  expect(await page.evaluate('window.stays')).toBe(true);
  await close();
});

/** The cookie of a session of another resource takes the place of the one that is there. */
async function signIn(context: BrowserContext, resource: string): Promise<void> {
  const value = await createSessions({ redis: world.engine.redis }).begin({ resource, by: 'sso', name: 'other@example.com' });
  await context.addCookies([{ name: 'autofiles', value, url: world.url, httpOnly: true, sameSite: 'Lax' }]);
}

it('holds no stream while it is hidden, and shows what happened meanwhile where the reader was', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  await page.addInitScript(KEEP_SOURCES);
  await page.goto(`${world.url}/runs/${run}`);
  await live(page).getByText('live', { exact: true }).waitFor();
  await lines(page).locator('li').nth(59).waitFor();
  await lines(page).evaluate((list) => {
    list.scrollTop = 100;
  });
  await page.locator('.log-tools button[aria-pressed="false"]').waitFor();
  expect(await states(page)).toEqual([OPEN, OPEN]);
  await see(page, 'hidden');
  expect(await states(page)).toEqual([CLOSED, CLOSED]);
  say('said while nobody looked');
  expect(await lines(page).getByText('said while nobody looked').count()).toBe(0);
  await see(page, 'visible');
  await lines(page).getByText('said while nobody looked').waitFor();
  // not waitForFunction: what it asks again and again is a string, which the page's content policy forbids from the second time on
  await until('both streams again', async () => {
    const anew = ((await states(page)) as number[]).slice(2);
    return anew.length === 2 && anew.every((state) => state === OPEN);
  });
  expect(await lines(page).evaluate((list) => list.scrollTop)).toBe(100);
  expect(await page.locator('.lines .tx', { hasText: /^line 1$/ }).count()).toBe(1);
  expect(complaints).toEqual([]);
  await close();
});

it('looks again as often as the newest look at it says', async () => {
  const { page, close } = await openTab(browser, world);
  let looks = 0;
  const isPage = (url: URL) => url.pathname === `/runs/${run}`;
  await page.route(isPage, async (route) => {
    const response = await route.fetch();
    const again = route.request().resourceType() === 'fetch';
    looks += again ? 1 : 0;
    const body = (await response.text()).replace(/data-tick="\d+"/, again ? 'data-tick="50"' : 'data-tick="3600000"');
    await route.fulfill({ response, body });
  });
  await page.goto(`${world.url}/runs/${run}`);
  await live(page).getByText('live', { exact: true }).waitFor();
  await page.evaluate("document.querySelector('a[data-nav]').click()");
  await until('further looks', () => looks >= 4);
  await page.unrouteAll({ behavior: 'wait' });
  await close();
});

it('goes to a task from the graph in one step, and back in one', async () => {
  const { page, close } = await openTab(browser, world);
  const id = world.engine.upload([
    { name: 'First', cmd: 'quick' },
    { name: 'Second', cmd: 'quick' },
  ]);
  await world.engine.ended(id);
  await page.goto(`${world.url}/runs`);
  await page.goto(`${world.url}/runs/${id}`);
  await page.locator('.node', { hasText: 'First' }).click();
  await page.locator('#task-h', { hasText: 'First' }).waitFor();
  await page.goBack();
  await page.locator('#task-h', { hasText: 'Second' }).waitFor();
  expect(new URL(page.url()).search).toBe('');
  await page.goBack();
  expect(new URL(page.url()).pathname).toBe('/runs');
  await close();
});

// The log of a task's dyno while it is written: followed, searched, copied, downloaded, linked to, and what is said where it cannot be had.
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { openTab, startBrowser } from './browser.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
let run: string;
let dyno: string;
beforeAll(async () => {
  [world, browser] = await Promise.all([startWorld(), startBrowser()]);
  run = world.engine.upload([{ name: 'Talks', cmd: 'hold', timeout: 600 }]);
  dyno = await until('the dyno', async () => (await world.engine.show(run))?.steps[0]?.tasks[0]?.dyno ?? undefined);
  world.engine.cloud.talking.add(dyno);
  for (let i = 1; i <= 60; i += 1) say(`line ${i}`);
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

const say = (text: string, source = 'app') =>
  world.engine.cloud.say(dyno, `${new Date().toISOString().slice(0, -1)}000+00:00 ${source}[${dyno}]: ${text}`);
const lines = (page: Page) => page.locator('.log .lines');
const fromEnd = async (page: Page) =>
  await lines(page).evaluate((list) => Math.round(list.scrollHeight - list.scrollTop - list.clientHeight));

it('follows what is written, stays where the reader scrolled to, and goes on at the end when asked', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs/${run}`);
  await lines(page).locator('li').nth(59).waitFor();
  const follow = page.getByRole('button', { name: 'Follow' });
  await until('the end', async () => (await fromEnd(page)) < 24);
  say('\u001b[31mred\u001b[0m and plain');
  await lines(page).locator('.ansi-red', { hasText: 'red' }).waitFor();
  expect(await follow.getAttribute('aria-pressed')).toBe('true');
  await lines(page).evaluate((list) => {
    list.scrollTop = 0;
  });
  await until('to stop', async () => (await follow.getAttribute('aria-pressed')) === 'false');
  say('unseen for now');
  await lines(page).getByText('unseen for now').waitFor();
  expect(await lines(page).evaluate((list) => list.scrollTop)).toBe(0);
  await follow.click();
  say('seen');
  await lines(page).getByText('seen', { exact: true }).waitFor();
  await until('the end', async () => (await fromEnd(page)) < 24);
  expect(complaints).toEqual([]);
  await close();
});

it('is searched, hit by hit', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs/${run}`);
  await lines(page).locator('li').nth(59).waitFor();
  await page.getByLabel('Search the log').fill('LINE 5');
  const found = page.locator('.log-tools .end');
  await found.getByText('11 found').waitFor();
  for (const wanted of ['line 5', 'line 50', 'line 51']) {
    await page.keyboard.press('Enter');
    expect(await page.locator('li.marked .tx').innerText()).toBe(wanted);
  }
  say('line 5 again');
  await found.getByText('12 found').waitFor();
  await page.getByLabel('Search the log').fill('');
  expect(await page.locator('li.hit').count()).toBe(0);
  await close();
});

it('is copied and downloaded whole, and each line has an address of its own', async () => {
  const { page, close } = await openTab(browser, world, { permissions: ['clipboard-read', 'clipboard-write'] });
  await page.goto(`${world.url}/runs/${run}`);
  await lines(page).locator('li').nth(59).waitFor();
  await page.getByRole('button', { name: 'Copy', exact: true }).click();
  await page.locator('.log-tools .end', { hasText: 'copied' }).waitFor();
  const copied = String(await page.evaluate('navigator.clipboard.readText()'));
  expect(copied.split('\n').slice(0, 2)).toEqual(['line 1', 'line 2']);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download', exact: true }).click()]);
  expect(download.suggestedFilename()).toBe(`${run}-0.0-${dyno}.log`);
  expect((await readFile(await download.path(), 'utf8')).split('\n')[1]).toMatch(/ app\[run\.\d+\]: line 2$/);
  await page.getByRole('link', { name: 'Line 42', exact: true }).click();
  await page.waitForURL(/\/log\?attempt=1#L42$/);
  expect(await page.locator(':target .tx').innerText()).toBe('line 42');
  const colour = async (line: string) => await page.evaluate(`getComputedStyle(document.querySelector('${line}')).backgroundColor`);
  expect(await colour(':target')).not.toBe(await colour('#L41'));
  await close();
});

it('says so where the platform gives none, with the command that shows it', async () => {
  world.engine.cloud.logsRefused = 'POST /apps/app/log-sessions: You do not have access to the app.';
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs/${run}`);
  await page.locator('.log-open', { hasText: 'You do not have access' }).waitFor();
  await page.getByRole('link', { name: 'What shows it' }).click();
  await page.getByText('The log cannot be shown here.').waitFor();
  await page.getByText(`heroku logs --dyno ${dyno} --app app`).waitFor();
  world.engine.cloud.logsRefused = undefined;
  await close();
});

it('says when nothing more will come', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs/${run}`);
  await lines(page).locator('li').nth(59).waitFor();
  say('Process exited with status 0', 'heroku');
  await page.locator('.log-tools .end', { hasText: 'ended' }).waitFor();
  world.release();
  await close();
});

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { accessibilityFaults } from './axe.ts';
import { openTab, startBrowser } from './browser.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
let failed: string;
let fine: string;
let going: string;

beforeAll(async () => {
  [world, browser] = await Promise.all([startWorld(), startBrowser()]);
  failed = world.engine.upload([{ cmd: 'fails', retries: 0 }], 'in/photos/bad.jpg');
  fine = world.engine.upload([{ cmd: 'quick' }], 'in/photos/good.jpg');
  going = await world.begun([{ cmd: 'hold', timeout: 600 }], 'in/films/long.mp4');
  await Promise.all([world.engine.ended(failed), world.engine.ended(fine)]);
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

const rows = '.list tbody tr';

it('filters by state, text and key, and keeps the filter in the address', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs`);
  expect(await page.locator(rows).count()).toBe(3);
  expect(await page.locator(`tr[id="${failed}"] .row-error`).innerText()).toContain('exited 1 without output');
  await page.locator('.chips').getByText('failed').click();
  await page.waitForURL(/state=failed/);
  expect(await page.locator(rows).evaluateAll((found) => found.map(({ id }) => id))).toEqual([failed]);
  await page.goto(`${world.url}/runs?prefix=in%2Fphotos%2F&q=GOOD`);
  expect(await page.locator(rows).evaluateAll((found) => found.map(({ id }) => id))).toEqual([fine]);
  expect(await page.getByPlaceholder('Key prefix').inputValue()).toBe('in/photos/');
  await page.keyboard.press('/');
  await page.keyboard.type('nothing like it');
  await page.keyboard.press('Enter');
  await page.getByText('No run fits these filters').waitFor();
  expect(complaints).toEqual([]);
  await close();
});

it('shows a run that begins while the page is open', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs?prefix=in%2Fnew%2F`);
  await page.locator('#live[data-on="yes"]').waitFor();
  const id = world.engine.upload([{ cmd: 'quick' }], 'in/new/one.jpg');
  await page.locator(`tr[id="${id}"]`, { hasText: 'succeeded' }).waitFor();
  await close();
});

it('retries and cancels several at once and says of each what came of it', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs?prefix=in%2Fphotos%2F`);
  for (const id of [failed, fine]) await page.locator(`tr[id="${id}"] input`).check();
  await page.getByText('2 selected').waitFor();
  await page.getByRole('button', { name: 'Retry selected' }).click();
  await page.getByRole('heading', { name: '1 of 2 run again' }).waitFor();
  const [refused, done] = await page.locator(rows).allInnerTexts();
  expect(refused).toContain(fine);
  expect(refused).toContain('all have succeeded');
  expect(done).toContain(failed);
  expect(await accessibilityFaults(page)).toEqual([]);
  await page.locator(rows).nth(1).locator('a').nth(1).click();
  await page.locator('.facts', { hasText: failed }).waitFor();
  await page.goto(`${world.url}/runs?state=running`);
  await page.locator(`tr[id="${going}"] input`).check();
  await page.getByRole('button', { name: 'Cancel selected' }).click();
  await page.getByRole('heading', { name: '1 of 1 cancelled' }).waitFor();
  expect((await world.engine.ended(going)).state).toBe('cancelled');
  await close();
});

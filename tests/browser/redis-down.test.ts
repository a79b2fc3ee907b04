import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openTab, startBrowser } from './browser.ts';
import { SCRIPTS, startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
beforeAll(async () => {
  // the run that waits when Redis dies must be known to it afterwards
  [world, browser] = await Promise.all([startWorld(SCRIPTS, { fsync: 'always' }), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

it('says where Redis was looked for and what to do, and becomes the page again by itself', async () => {
  const { page, close } = await openTab(browser, world);
  const id = await world.begun([{ name: 'Waits', cmd: 'hold', timeout: 600 }]);
  await page.goto(`${world.url}/runs/${id}`);
  await page.locator('.tl-row .ph-working.open').first().waitFor();
  const other = await openTab(browser, world);
  await world.redis.crash();
  // the page that is open finds out by itself, and so does one that is opened now
  await page.getByRole('heading', { name: 'Redis does not answer' }).waitFor();
  const response = await other.page.goto(`${world.url}/runs`);
  expect(response?.status()).toBe(503);
  const text = await other.page.locator('main').innerText();
  expect(text).toContain(world.redis.socket);
  expect(text).toMatch(/ENOENT|ECONNREFUSED|no answer/);
  expect(text).toContain('autofiles start');
  await world.redis.restart();
  await page.locator('.tl-row', { hasText: 'Waits' }).waitFor();
  await other.page.getByRole('heading', { name: 'Runs' }).waitFor();
  world.release();
  await page.locator('.run-head .badge', { hasText: 'succeeded' }).waitFor({ timeout: 40_000 });
  await other.close();
  await close();
});

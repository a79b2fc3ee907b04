// The first page: what a newcomer sees, and what it counts once there is something to count.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { accessibilityFaults } from './axe.ts';
import { openTab, startBrowser } from './browser.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
beforeAll(async () => {
  [world, browser] = await Promise.all([startWorld(), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

it('tells a newcomer the commands that start a first run, and counts what runs, waits and failed as it happens', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  await page.goto(world.url);
  const commands = await page.locator('main code').allInnerTexts();
  expect(commands.filter((text) => /autofiles (put|validate)|aws s3/.test(text)).length).toBeGreaterThanOrEqual(2);
  expect(await accessibilityFaults(page)).toEqual([]);
  await page.locator('#live[data-on="yes"]').waitFor();
  await page.evaluate('window.stays = true');
  const failed = world.engine.upload([{ cmd: 'fails', retries: 0 }], 'in/one.jpg');
  world.engine.upload([{ name: 'Waits', cmd: 'hold', timeout: 600 }], 'in/two.jpg');
  const tile = (word: string) => page.locator('.tiles li', { hasText: word }).locator('.value');
  await tile('failed in 24 h').getByText('1', { exact: true }).waitFor();
  await tile('running').getByText('1', { exact: true }).waitFor();
  expect(await page.evaluate('window.stays')).toBe(true);
  const row = page.locator('.list tr', { hasText: 'exited 1 without output' });
  expect(await row.locator('[data-row]').getAttribute('href')).toBe(`/runs/${failed}`);
  await page.getByText('As a table').click();
  expect(await page.locator('.chart .list tbody tr').first().innerText()).toMatch(/\b0\s+1\s+0\s+0\b/);
  await page.locator('.tiles li', { hasText: 'failed in 24 h' }).getByRole('link').click();
  await page.waitForURL(/\/runs\?state=failed&period=24h/);
  expect(await page.locator('.list tbody tr').count()).toBe(1);
  expect(complaints).toEqual([]);
  world.release();
  await close();
});

// A thousand tasks on one page: the graph is moved and zoomed, a node opens its task, and the table has the same.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { largeRun } from '../support/large-run.ts';
import { serveRun } from '../support/serve-run.ts';
import { until } from '../support/until.ts';
import { openTab, startBrowser } from './browser.ts';

let served: Awaited<ReturnType<typeof serveRun>>;
let browser: Browser;
beforeAll(async () => {
  [served, browser] = await Promise.all([serveRun(largeRun(5, 200)), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  served?.stop();
});

it('is moved and zoomed by mouse, wheel, buttons and keys, and a node opens its task', async () => {
  const { page, complaints, close } = await openTab(browser, undefined);
  await page.goto(served.url);
  const graph = page.locator('[data-graph]');
  const canvas = page.locator('[data-graph-canvas]');
  expect(await graph.locator('a.node').count()).toBe(1_000);
  await page.locator('[data-live-graph]').waitFor();
  await graph.scrollIntoViewIfNeeded();
  const box = async () => ((await canvas.getAttribute('viewBox')) ?? '').split(' ').map(Number) as [number, number, number, number];
  const all = await box();
  await page.getByRole('button', { name: 'Zoom in' }).click();
  const nearer = await box();
  expect(nearer[2]).toBeCloseTo(all[2] * 0.75, 3);
  await graph.focus();
  await page.keyboard.press('+');
  await page.keyboard.press('ArrowRight');
  const moved = await box();
  expect(moved[2]).toBeCloseTo(nearer[2] * 0.75, 3);
  expect(moved[0]).toBeGreaterThan(nearer[0]);
  const frame = (await graph.boundingBox()) ?? expect.fail('no graph');
  const middle = { x: frame.x + frame.width / 2, y: frame.y + frame.height / 2 };
  await page.mouse.move(middle.x, middle.y);
  await page.mouse.down();
  await page.mouse.move(middle.x - 80, middle.y - 30, { steps: 4 });
  await page.mouse.up();
  const dragged = await box();
  expect(dragged[0]).toBeGreaterThan(moved[0]);
  expect(dragged[2]).toBe(moved[2]);
  // a drag opens nothing
  expect(new URL(page.url()).search).toBe('');
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, 200);
  await page.keyboard.up('Control');
  await until('the zoom', async () => (await box())[2] > dragged[2]);
  await page.keyboard.press('0');
  expect(await box()).toEqual(all);
  await graph.getByRole('link', { name: '3.7 Task 3/7: succeeded' }).click();
  await page.locator('#task-h', { hasText: '3.7 Task 3/7' }).waitFor();
  expect(new URL(page.url()).search).toBe('?task=2.6');
  expect(complaints).toEqual([]);
  await close();
});

it('stands in a table for who cannot see it, without JavaScript, with the failed task on top of the page', async () => {
  const { page, close } = await openTab(browser, undefined, { javaScriptEnabled: false });
  await page.goto(served.url);
  expect(await page.locator('.tl-row').count()).toBe(1_000);
  expect(await page.locator('.callout').first().innerText()).toContain('5.200');
  expect(await page.locator('#task-h').innerText()).toBe('5.200 Task 5/200');
  // menus for every row would be five thousand buttons: only what failed has one
  expect(await page.locator('.tl-row details.menu').count()).toBe(1);
  await close();
});

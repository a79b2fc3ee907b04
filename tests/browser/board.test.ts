import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
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

it('shows operators the queues, the tree of a run and a parked task in bull-board, for reading alone', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  const id = await world.begun([{ cmd: 'hold', timeout: 600 }, { parallel: [{ cmd: 'quick' }, { cmd: 'quick' }] }]);
  await page.goto(`${world.url}/runs/${id}`);
  await page.locator('.tl-row .ph-working.open').first().waitFor();
  const csrf = await page.locator('input[name="csrf"]').first().inputValue();
  await page.getByRole('link', { name: 'Queues' }).click();
  for (const name of ['plan', 'task', 'finish']) await page.getByRole('link', { name, exact: false }).first().waitFor();
  await page.goto(`${world.url}/admin/queues/queue/task?status=delayed`);
  await page.getByText(`${id}.0.0`).first().waitFor();
  await page.goto(`${world.url}/admin/queues/queue/finish/${id}`);
  // the drawing cuts ids at their front
  for (const task of ['0.0', '1.0', '1.1'])
    await page
      .getByText(`${id.slice(-4)}.${task}`)
      .first()
      .waitFor();
  expect(await page.getByRole('button', { name: /retry|promote|remove|clean/i }).count()).toBe(0);
  const promote = `${world.url}/admin/queues/api/queues/task/${id}.0.0/promote`;
  // from the operator's own page, and from one who is nobody and learns not even that it exists
  expect((await page.context().request.put(promote, { headers: { 'x-csrf-token': csrf } })).status()).toBe(405);
  expect((await fetch(promote, { method: 'PUT' })).status).toBe(404);
  // it asks for a font elsewhere; the policy lets nothing out
  expect(complaints.filter((text) => !text.includes('fonts.googleapis.com'))).toEqual([]);
  world.release();
  await close();
});

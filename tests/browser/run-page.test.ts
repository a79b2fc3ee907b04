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

const FAILING = [
  { name: 'Prepare', cmd: 'quick' },
  { name: 'Merge', cmd: 'second', retries: 0 },
  { name: 'Report', cmd: 'quick' },
];

it('shows a run as it happens, without a reload, to its end', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  const id = world.engine.upload([
    { name: 'First', cmd: 'hold' },
    {
      name: 'Both',
      parallel: [
        { cmd: 'hold', name: 'One' },
        { cmd: 'hold', name: 'Two' },
      ],
    },
  ]);
  await page.goto(`${world.url}/runs`);
  await page.locator(`tr[id="${id}"] [data-row]`).click();
  await page.evaluate('window.stays = true');
  await page.locator('#live[data-on="yes"]').waitFor();
  await page.locator('.tl-row', { hasText: 'First' }).locator('.ph-working.open').first().waitFor();
  world.release();
  // none goes on before it was seen to be up
  await page.locator('.tl-row.in-group .ph-working.open').nth(1).waitFor();
  world.release();
  await page.locator('.run-head .badge', { hasText: 'succeeded' }).waitFor();
  await page.locator('#live', { hasText: 'ended' }).waitFor();
  expect(await page.evaluate('window.stays')).toBe(true);
  expect(await page.locator('.tl-row .st-succeeded').count()).toBe(3);
  expect(await page.locator('.tl-row .ph-working').count()).toBe(3);
  expect(await page.title()).toContain('succeeded');
  expect(complaints).toEqual([]);
  await close();
});

it('repairs a failed run from the row that failed', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  // the command fails at the first attempt of each run, so what runs again must be told from what is kept by the posts
  const id = world.engine.upload([
    { name: 'Prepare', cmd: 'quick' },
    { name: 'Merge', cmd: 'fails', retries: 0 },
    { name: 'Report', cmd: 'quick' },
  ]);
  await world.engine.ended(id);
  await page.goto(`${world.url}/runs/${id}`);
  const row = page.locator('.tl-row', { hasText: 'Merge' });
  expect(await row.locator('.row-error').textContent()).toContain('exited 1 without output');
  world.engine.cloud.scripts['fails'] = world.engine.cloud.scripts['quick'] ?? expect.fail('no script');
  await row.locator('summary').click();
  await row.getByRole('button', { name: /From step 2 on/ }).click();
  await page.waitForURL((url) => url.pathname.startsWith('/runs/r') && !url.pathname.includes(id));
  await page.locator('.run-head .badge', { hasText: 'succeeded' }).waitFor();
  const again = new URL(page.url()).pathname.split('/').at(-1) ?? '';
  expect(await page.locator('.facts', { hasText: 'Started by' }).first().textContent()).toContain(id);
  expect(world.engine.cloud.postsOf(again).map(({ taskId }) => taskId)).toEqual([`${again}.1.0`, `${again}.2.0`]);
  expect(complaints).toEqual([]);
  await close();
});

it('shows attempts of a task side by side, and what the dyno wrote with its colours as text', async () => {
  const { page, close } = await openTab(browser, world);
  const id = world.engine.upload([{ name: 'Twice', cmd: 'second', backoff: { type: 'fixed', delay: 0 } }]);
  const run = await world.engine.ended(id);
  const dyno = run.steps[0]?.tasks[0]?.dyno ?? '';
  const line = (text: string) => `${new Date().toISOString().slice(0, -1)}000+00:00 app[${dyno}]: ${text}`;
  world.engine.cloud.logs.set(dyno, [line('\u001b[31mred\u001b[0m and \u001b[1mbold\u001b[0m'), line('<img src=x onerror=alert(1)>')]);
  await page.goto(`${world.url}/runs/${id}`);
  expect(await page.locator('.attempts thead').innerText()).toMatch(/Attempt 1\s+Attempt 2/);
  await page.locator('.lines li').nth(1).waitFor();
  expect(await page.locator('.lines .ansi-red').innerText()).toBe('red');
  expect(await page.locator('.lines li').nth(1).locator('.tx').innerText()).toBe('<img src=x onerror=alert(1)>');
  await page.getByLabel('Search the log').fill('BOLD');
  await page.locator('.lines li.hit').waitFor();
  expect(await page.locator('.log-tools .end').innerText()).toBe('1 found');
  await close();
});

it('cancels a run that goes on', async () => {
  const { page, close } = await openTab(browser, world);
  const id = await world.begun([{ cmd: 'never', timeout: 60 }]);
  await page.goto(`${world.url}/runs/${id}`);
  await page.locator('.tl-row .ph-working.open').first().waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.run-head .badge', { hasText: 'cancelled' }).waitFor();
  expect((await world.engine.show(id))?.state).toBe('cancelled');
  await close();
});

it('says what is wrong with an edited workflow, keeping what was typed', async () => {
  const { page, close } = await openTab(browser, world);
  const id = world.engine.upload(FAILING);
  await world.engine.ended(id);
  await page.goto(`${world.url}/runs/${id}/again`);
  await page.getByText('With an edited workflow').click();
  await page.getByLabel('Workflow, JSON').fill('{"run": [{"cmdd": "quick"}]}');
  await page.getByLabel('The whole run').check();
  await page.getByRole('button', { name: 'Start' }).click();
  expect(await page.getByRole('alert').innerText()).toContain('cmdd');
  expect(await page.getByLabel('Workflow, JSON').inputValue()).toContain('cmdd');
  await page.getByLabel('Workflow, JSON').fill('{"run": [{"cmd": "quick"}]}');
  await page.getByRole('button', { name: 'Start' }).click();
  await page.locator('.run-head .badge', { hasText: 'succeeded' }).waitFor();
  await close();
});

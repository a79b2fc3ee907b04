// Every page for everybody: without JavaScript, on a phone, in the dark, with a screen reader, by keyboard alone.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityFaults } from './axe.ts';
import { openTab, startBrowser } from './browser.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
let pages: Readonly<Record<string, string>>;

beforeAll(async () => {
  [world, browser] = await Promise.all([startWorld(), startBrowser()]);
  const key = 'in/looks/one.json';
  const failing = world.engine.upload(
    [
      { name: 'Prepare', cmd: 'quick' },
      {
        name: 'Fetch',
        parallel: [
          { cmd: 'quick', name: 'Users' },
          { cmd: 'second', name: 'Posts', backoff: { type: 'fixed', delay: 0 } },
        ],
      },
      { name: 'Merge', cmd: 'fails', retries: 0 },
      { name: 'Report', cmd: 'quick' },
    ],
    key,
  );
  const rejected = world.engine.upload([{ comand: 'x' }]);
  const going = await world.begun([{ name: 'Waits', cmd: 'hold', timeout: 600 }]);
  const run = await world.engine.ended(failing);
  const dyno = run.steps[2]?.tasks[0]?.dyno ?? '';
  world.engine.cloud.logs.set(dyno, [`${new Date().toISOString().slice(0, -1)}000+00:00 app[${dyno}]: \u001b[33mno input\u001b[0m`]);
  await world.engine.ended(rejected);
  pages = {
    runs: '/runs',
    'a failed run': `/runs/${failing}`,
    'a rejected run': `/runs/${rejected}`,
    'a run that goes on': `/runs/${going}`,
    'run again': `/runs/${failing}/again`,
    overview: '/',
    settings: '/settings',
    'a file': `/files/object?key=${encodeURIComponent(key)}`,
    'a log': `/runs/${failing}/tasks/2.0/log`,
    'what is not there': '/runs/r0-00000000000000000000',
  };
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

const LOOKS = [
  ['light', { colorScheme: 'light' }],
  ['dark, 390 px wide', { colorScheme: 'dark', viewport: { width: 390, height: 844 } }],
] as const;

describe.each(LOOKS)('%s', (_name, options) => {
  it('has no fault that axe calls serious, on any page, and nothing to scroll sideways', async () => {
    const { page, close } = await openTab(browser, world, options);
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(`${world.url}${path}`);
      expect(await accessibilityFaults(page), name).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), name).toBe(true);
    }
    await close();
  });
});

it('reads without JavaScript: list, timeline, error, log, and a retry works', async () => {
  const { page, close } = await openTab(browser, world, { javaScriptEnabled: false });
  await page.goto(`${world.url}${pages['runs']}`);
  await page.locator('tr', { hasText: 'exited 1 without output' }).locator('[data-row]').click();
  expect(await page.locator('.callout').first().innerText()).toContain('exited 1 without output');
  await page.locator('.tl-row', { hasText: 'Prepare' }).locator('.tl-name').click();
  expect(await page.locator('#task-h').innerText()).toBe('1 Prepare');
  await page.locator('.tl-row', { hasText: 'Merge' }).locator('.tl-name').click();
  await page.getByText('Open the log of').click();
  expect(await page.locator('.lines').innerText()).toContain('no input');
  await page.goBack();
  await page.getByRole('button', { name: 'Retry what failed' }).click();
  expect(new URL(page.url()).pathname).not.toBe(pages['a failed run']);
  await close();
});

it('goes by keyboard alone: to a run, to a task, and runs it again', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs`);
  await page.keyboard.press('?');
  await page.locator('#help[open]').waitFor();
  await page.keyboard.press('Escape');
  const wanted = pages['a failed run'];
  for (let i = 0; i < 20; i += 1) {
    await page.keyboard.press('j');
    if ((await page.evaluate("document.activeElement?.getAttribute('href')")) === wanted) break;
  }
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname === wanted);
  for (let i = 0; i < 4; i += 1) await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('#task-h', { hasText: 'Merge' }).waitFor();
  await page.keyboard.press('r');
  await page.locator('details.menu[open]').waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith('/runs/') && url.pathname !== wanted);
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.waitForURL((url) => url.pathname === '/runs');
  await close();
});

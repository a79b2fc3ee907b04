// The whole local cloud with real dynos: a file is saved in the browser and watched to its end.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';
import { accessibilityFaults } from './axe.ts';
import { openTab, startBrowser } from './browser.ts';

let cloud: LocalCloud;
let browser: Browser;
beforeAll(async () => {
  [cloud, browser] = await Promise.all([startLocalCloud({ app: exampleApp('node-starter') }), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

it('saves a file with a workflow attached, shows its run live, its log and its output, and tells why a file is there', async () => {
  const { page, complaints, close } = await openTab(browser, {
    url: cloud.variables['AUTOFILES_URL'] ?? '',
    token: cloud.variables['AUTOFILES_TOKEN'] ?? '',
  });
  page.setDefaultTimeout(60_000);
  await page.goto(`${cloud.variables['AUTOFILES_URL']}/files`);
  await page.getByText('Save a file').click();
  await page.getByLabel('File', { exact: true }).setInputFiles({ name: 'hello.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') });
  await page.getByRole('textbox', { name: 'Key' }).fill('in/browser/');
  const code = (cmd: string) => JSON.stringify({ title: 'From the browser', run: [{ name: 'Greet', cmd, no_output: true }] });
  // wrong first: it comes back with what is wrong, and nothing is saved
  await page.getByLabel('Workflow, JSON').fill('{"run": [{"cmdd": "x"}]}');
  await page.getByRole('button', { name: 'Save' }).click();
  expect(await page.getByRole('alert').innerText()).toContain('cmdd');
  await page.getByLabel('File', { exact: true }).setInputFiles({ name: 'hello.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') });
  await page.getByLabel('Workflow, JSON').fill(code(`bash -c 'sleep 2; printf "\\033[32mgreen\\033[0m %s\\n" words'`));
  await page.getByRole('button', { name: 'Save' }).click();
  await page.waitForURL(/\/runs\/r/);
  await page.locator('.run-head .badge', { hasText: 'succeeded' }).waitFor();
  await page.locator('.lines .ansi-green', { hasText: 'green' }).waitFor();
  expect(await page.locator('.tl-row .ph-event').count()).toBe(1);
  expect(await page.locator('.stages').innerText()).toMatch(/saved[\s\S]*event[\s\S]*Greet[\s\S]*succeeded/);
  await page.locator('.facts .file').first().click();
  await page.getByRole('heading', { name: 'hello.txt' }).waitFor();
  expect(await page.locator('main').innerText()).toContain('From the browser');
  expect(await page.locator('.preview').innerText()).toBe('hello');
  expect(await accessibilityFaults(page)).toEqual([]);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).click()]);
  expect(download.suggestedFilename()).toBe('hello.txt');
  expect(complaints.filter((text) => !text.includes('422'))).toEqual([]);
  await close();
});

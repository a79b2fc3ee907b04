// Everything that Settings can do, done by hand in a browser.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openWebhookWorker } from '../../src/cli/webhook-worker.ts';
import { createWebhookPost } from '../../src/clients/webhook-post.ts';
import { readConfig } from '../../src/schema/config.ts';
import { until } from '../support/until.ts';
import { type Receiver, startReceiver } from '../support/webhook-receiver.ts';
import { accessibilityFaults } from './axe.ts';
import { openTab, startBrowser } from './browser.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
let receiver: Receiver;
let worker: { stop(): Promise<void> };
beforeAll(async () => {
  [world, browser, receiver] = await Promise.all([startWorld(), startBrowser(), startReceiver()]);
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const config = readConfig({
    AUTOFILES_MODE: 'test',
    AUTOFILES_REDIS_SOCKET: world.redis.socket,
    AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
  });
  worker = openWebhookWorker(config, quiet, createWebhookPost({ ca: receiver.ca, allowed: (one) => one === '127.0.0.1' }));
});
afterAll(async () => {
  await worker?.stop();
  await receiver?.stop();
  await browser?.close();
  await world?.stop();
});

const card = (page: Page, name: string) => page.locator('section.card', { has: page.getByRole('heading', { name, exact: true }) });

it('pauses and resumes launches, restricts commands, asks for new credentials, and notes who did it', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  await page.goto(`${world.url}/settings`);
  await page.getByRole('button', { name: 'Pause launches' }).click();
  await card(page, 'Launches').getByText('Paused.').waitFor();
  const id = world.engine.upload([{ cmd: 'quick' }]);
  await page.goto(`${world.url}/runs/${id}?saved=${Date.now()}`);
  await page.locator('.row-note', { hasText: 'paused' }).waitFor();
  expect(world.engine.cloud.postsOf(id)).toEqual([]);
  await page.goto(`${world.url}/settings`);
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('button', { name: 'Pause launches' }).waitFor();
  expect((await world.engine.ended(id)).state).toBe('succeeded');
  await page.getByRole('button', { name: 'Allow the Procfile only' }).click();
  await page.getByRole('button', { name: 'Allow any command' }).click();
  await page.getByRole('button', { name: 'Allow the Procfile only' }).waitFor();
  await page.getByRole('button', { name: 'Renew now' }).click();
  const log = card(page, 'Audit log');
  await log.locator('tr', { hasText: 'credentials.rotate' }).first().waitFor();
  expect(await log.locator('tbody tr').count()).toBe(5);
  expect(complaints).toEqual([]);
  await close();
});

it('makes a token, shows its text once, and revokes it', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/settings`);
  const tokens = card(page, 'API tokens');
  await tokens.getByLabel('Name').fill('status page');
  await tokens.getByRole('button', { name: 'Make a token' }).click();
  const text = await page.locator('.callout.good code').innerText();
  const asked = async () => (await fetch(`${world.url}/v1/runs`, { headers: { authorization: `Bearer ${text}` } })).status;
  expect(await asked()).toBe(200);
  await page.goto(`${world.url}/settings`);
  expect(await page.content()).not.toContain(text);
  await tokens.locator('tr', { hasText: 'status page' }).getByRole('button', { name: 'Revoke' }).click();
  await tokens.getByText('None.').waitFor();
  expect(await asked()).toBe(401);
  await close();
});

it('sets container credentials up: the command that it shows has a token that they are served for', async () => {
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/settings`);
  await page.getByText('Credentials without restarts').click();
  expect(await page.locator('.snippets h3').count()).toBe(6);
  await page.getByRole('button', { name: 'Make a token for it' }).click();
  const command = (await page.locator('.callout.good code').nth(1).innerText()) ?? '';
  const address = /AWS_CONTAINER_CREDENTIALS_FULL_URI=(\S+)/.exec(command)?.[1] ?? '';
  const authorization = /AWS_CONTAINER_AUTHORIZATION_TOKEN="([^"]+)"/.exec(command)?.[1] ?? '';
  const answer = await fetch(address, { headers: { authorization } });
  expect(await answer.json()).toMatchObject({ AccessKeyId: 'ASIA', Token: 't' });
  await close();
});

it('adds a webhook, shows its secret once, tests it, tells of a run, and removes it', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  await page.goto(`${world.url}/settings`);
  const hooks = card(page, 'Webhooks');
  await hooks.getByLabel('Address').fill(`${receiver.url}/hook`);
  await hooks.getByRole('button', { name: 'Add a webhook' }).click();
  const secret = await page.locator('.callout.good code').nth(1).innerText();
  expect(secret).toMatch(/^whsec_/);
  // refused first: the page says so by itself when the answer is there
  receiver.answers.push({ status: 503 });
  await hooks.getByRole('button', { name: 'Test' }).click();
  await hooks.getByText('The test was not taken').waitFor();
  expect(await hooks.locator('.callout').innerText()).toContain('503');
  await hooks.getByRole('button', { name: 'Test' }).click();
  await hooks.getByText('The test was taken').waitFor();
  const id = world.engine.upload([{ cmd: 'quick' }]);
  await world.engine.ended(id);
  await until('the delivery', () => receiver.received.find(({ body }) => body.includes(id)));
  await until('the log', async () => {
    await page.goto(`${world.url}/settings`);
    return (await hooks.locator(`a[href="/runs/${id}"]`).count()) > 0;
  });
  expect(await page.content()).not.toContain(secret);
  await hooks.getByText('Deliveries').click();
  expect(await hooks.locator('.sub tbody tr').count()).toBe(3);
  expect(await accessibilityFaults(page)).toEqual([]);
  await hooks.getByRole('button', { name: 'Remove' }).click();
  await hooks.getByText(`${receiver.url}/hook`).waitFor({ state: 'detached' });
  expect(complaints).toEqual([]);
  await close();
});

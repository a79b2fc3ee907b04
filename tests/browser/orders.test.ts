// Orders that a hand gives once and a browser would send twice, and keys that lead to what they stand for.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTab, startBrowser } from './browser.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let browser: Browser;
let failed: string;
beforeAll(async () => {
  [world, browser] = await Promise.all([startWorld(), startBrowser()]);
  failed = world.engine.upload([{ name: 'Breaks', cmd: 'fails', retries: 0 }], 'in/bad.jpg');
  await world.engine.ended(failed);
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

/** Holds every form back that is sent, until it is let go. */
async function holdForms(page: Page) {
  const held: { path: string; go: () => void }[] = [];
  await page.route(
    () => true,
    async (route) => {
      if (route.request().method() !== 'POST') return await route.continue();
      await new Promise<void>((go) => held.push({ path: new URL(route.request().url()).pathname, go }));
      await route.continue().catch(() => undefined);
    },
  );
  return held;
}

/** Clicks, and clicks again while the first click's form is on its way; whatever the second one sends is sent by then. */
async function clickTwice(page: Page, selector: string): Promise<void> {
  const clicked = page.waitForEvent('console', (message) => message.text() === 'clicked twice');
  // a page that is being left answers no calls, but goes on
  await page.evaluate(`{
    const button = document.querySelector(${JSON.stringify(selector)});
    button.click();
    setTimeout(() => button.click(), 100);
    setTimeout(() => console.info('clicked twice'), 200);
  }`);
  await clicked;
}

describe('a form that is sent again before its answer', () => {
  it('starts one run', async () => {
    const { page, close } = await openTab(browser, world);
    await page.goto(`${world.url}/runs/${failed}`);
    const held = await holdForms(page);
    await clickTwice(page, '[data-key="r"]');
    expect(held.map(({ path }) => path)).toEqual([`/runs/${failed}/retry`]);
    held[0]?.go();
    await page.locator('.facts', { hasText: failed }).waitFor();
    await close();
  });

  it('makes one token', async () => {
    const { page, close } = await openTab(browser, world);
    await page.goto(`${world.url}/settings`);
    await page.getByLabel('Name').fill('once');
    const held = await holdForms(page);
    await clickTwice(page, 'form[action="/settings/tokens"].row button');
    expect(held).toHaveLength(1);
    held[0]?.go();
    await page.locator('.callout.good code').waitFor();
    expect(await page.locator('td', { hasText: /^once$/ }).count()).toBe(1);
    await close();
  });

  it('does so after the page was left and is there again', async () => {
    const { page, close } = await openTab(browser, world);
    await page.goto(`${world.url}/runs/${failed}`);
    await page.locator('[data-key="r"]').click();
    await page.locator('.facts', { hasText: failed }).waitFor();
    const first = page.url();
    await page.goBack();
    await page.locator('[data-key="r"]').click();
    await page.locator('.facts', { hasText: failed }).waitFor();
    expect(page.url()).not.toBe(first);
    await close();
  });

  it('is another order where the browser kept the page and shows it again', async () => {
    const { page, close } = await openTab(browser, world);
    await page.goto(`${world.url}/runs/${failed}`);
    const nonces = () => page.locator('input[name="nonce"]').evaluateAll((all) => all.map((one) => ('value' in one ? one.value : '')));
    const before = await nonces();
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))");
    for (const [i, nonce] of (await nonces()).entries()) {
      expect(nonce).toMatch(/^[\w-]{36}$/);
      expect(nonce).not.toBe(before[i]);
    }
    await close();
  });
});

const focused = (page: Page) => page.evaluate('document.activeElement?.textContent.trim()');

describe('a key', () => {
  it('leads to the buttons that retry and cancel, and presses none', async () => {
    const { page, close } = await openTab(browser, world);
    const sent: string[] = [];
    page.on('request', (request) => request.method() === 'POST' && sent.push(request.url()));
    await page.goto(`${world.url}/runs/${failed}`);
    await page.keyboard.press('r');
    expect(await focused(page)).toBe('Retry what failed');
    const going = await world.begun([{ name: 'Goes on', cmd: 'hold', timeout: 600 }], 'in/long.mp4');
    await page.goto(`${world.url}/runs/${going}`);
    await page.locator('.tl-row .ph-working.open').first().waitFor();
    await page.keyboard.press('c');
    expect(await focused(page)).toBe('Cancel');
    // not from a row: it would be of another thing than the one that is pointed at
    await page.keyboard.press('j');
    expect(await focused(page)).toContain('Goes on');
    await page.keyboard.press('c');
    await page.keyboard.press('r');
    expect(await focused(page)).toContain('Goes on');
    expect(sent).toEqual([]);
    world.release();
    await close();
  });

  it('that is held down selects a row once, and walks on', async () => {
    const { page, close } = await openTab(browser, world);
    await page.goto(`${world.url}/runs?prefix=in%2Fbad`);
    await page.keyboard.press('j');
    const box = page.locator('tbody tr').first().locator('input[type="checkbox"]');
    await page.keyboard.down('x');
    await page.keyboard.down('x');
    await page.keyboard.up('x');
    expect(await box.isChecked()).toBe(true);
    const at = () => page.evaluate("[...document.querySelectorAll('[data-row]')].indexOf(document.activeElement)");
    expect(await at()).toBe(0);
    await page.keyboard.down('j');
    await page.keyboard.down('j');
    await page.keyboard.up('j');
    expect(await at()).toBe(2);
    await close();
  });

  it('does nothing once it is switched off, on every page and from then on, until it is switched on again', async () => {
    const { page, close } = await openTab(browser, world);
    const row = () => page.evaluate("document.activeElement?.matches('[data-row]')");
    await page.goto(`${world.url}/runs`);
    await page.keyboard.press('?');
    await page.getByLabel('Keys of one letter or sign').uncheck();
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    expect(await row()).toBe(false);
    await page.goto(`${world.url}/runs?state=failed`);
    for (const key of ['j', '?', '/']) await page.keyboard.press(key);
    expect(await row()).toBe(false);
    expect(await page.locator('#help[open]').count()).toBe(0);
    await page.getByRole('button', { name: 'Keyboard shortcuts' }).click();
    await page.getByLabel('Keys of one letter or sign').check();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.keyboard.press('j');
    expect(await row()).toBe(true);
    await close();
  });
});

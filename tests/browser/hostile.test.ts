// What others write is shown as they wrote it, and does nothing.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../support/until.ts';
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

/** Each would set `window.hit` if the page let it; quotes for attributes, tags for text, a script address for links. */
const HOSTILE = [
  '<script>window.hit=1</script>',
  '<img src=x onerror="window.hit=1">',
  '"><svg onload=window.hit=1>',
  "' autofocus onfocus='window.hit=1' x='",
  '</title><script>window.hit=1</script>',
  'javascript:window.hit=1',
  '<a href="javascript:window.hit=1">x</a>',
  '{{constructor.constructor("window.hit=1")()}}',
  '<iframe srcdoc="<script>parent.hit=1</script>">',
  '\u202e<style>*{display:none}</style>',
];

it('shows titles, names, keys, states, errors and logs of every kind inertly', async () => {
  const { page, complaints, close } = await openTab(browser, world);
  for (const [i, text] of HOSTILE.entries()) {
    const say = world.engine.cloud.scripts;
    say['says'] = async (dyno) => {
      dyno.up(20);
      dyno.exit(300);
      await dyno.output(200, { ld_state: text }, { key: `out/${text}` });
      return dyno.accept();
    };
    say['refused'] = () => ({ outcome: 'refused', heal: false, status: 422, id: 'invalid_params', message: text });
    const key = `in/${text}`;
    const versionId = world.engine.cloud.put(
      key,
      JSON.stringify({
        title: text,
        run: [
          { name: text, cmd: 'says' },
          { name: text, parallel: [{ cmd: `refused ${text}`, name: text }] },
        ],
      }),
      { ld_run: 'true' },
    );
    const id = world.engine.runIdOf(key, versionId);
    const run = await world.engine.ended(id);
    const dyno = run.steps[0]?.tasks[0]?.dyno ?? '';
    world.engine.cloud.logs.set(dyno, [`${new Date().toISOString().slice(0, -1)}000+00:00 app[${dyno}]: ${text}`]);
    for (const path of [
      `/runs/${id}`,
      `/runs/${id}?task=0.0`,
      `/runs/${id}/again`,
      `/runs/${id}/tasks/0.0/log`,
      `/runs?q=${encodeURIComponent(text)}`,
    ]) {
      await page.goto(`${world.url}${path}`);
      expect(await page.evaluate('window.hit'), `${i} ${path}`).toBeUndefined();
    }
    await page.goto(`${world.url}/runs/${id}?task=0.0`);
    expect(await page.locator('h1').innerText()).toBe(text.trim());
    expect(await page.locator('.state-text code').textContent()).toBe(text);
    await page
      .locator('.lines .tx', { hasText: text.slice(0, 12) })
      .first()
      .waitFor();
    expect(await page.locator('.callout .pre').first().textContent()).toContain(text);
    await page.locator('.tl-row .tl-name').first().hover();
  }
  // what the policy would have had to stop is a hole in the escaping: it must have had nothing to do
  expect(complaints).toEqual([]);
  await close();
});

it('lets nothing run that is not a file of ours, whatever a page contains', async () => {
  const response = await fetch(`${world.url}/runs`);
  const policy = response.headers.get('content-security-policy') ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain('unsafe');
  const { page, close } = await openTab(browser, world);
  await page.goto(`${world.url}/runs`);
  const inline =
    "[...document.querySelectorAll('*')].filter((one) => one.getAttributeNames().some((name) => /^on|^style$/.test(name)) || (one.localName === 'script' && !one.src)).length";
  expect(await page.evaluate(inline)).toBe(0);
  // planted, as a hole in the escaping would: the policy stops it
  await page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit=1\">')");
  // not waitForFunction: the policy lets that look once
  await until('the image', () => page.evaluate<boolean>("document.querySelector('img[src=x]').complete"));
  expect(await page.evaluate('window.hit')).toBeUndefined();
  await close();
});

// The whole local cloud with real dynos: a file is saved in the browser and watched to its end.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exampleApp, type LocalCloud, startLocalCloud, storeOf } from '../support/local-cloud.ts';
import { until } from '../support/until.ts';
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

const place = () => ({ url: cloud.variables['AUTOFILES_URL'] ?? '', token: cloud.variables['AUTOFILES_TOKEN'] ?? '' });
const code = (cmd: string, more: object = {}) =>
  JSON.stringify({ title: 'From the browser', run: [{ name: 'Greet', cmd, no_output: true, ...more }] });

/** Fills the form of the Files page in. */
async function choose(page: Page, file: { name: string; mimeType: string; buffer: Buffer } | string, workflow: string): Promise<void> {
  await page.getByLabel('File', { exact: true }).setInputFiles(file);
  await page.getByRole('textbox', { name: 'Key' }).fill('in/browser/');
  await page.getByLabel('Workflow, JSON').fill(workflow);
}
const hello = { name: 'hello.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') };

it('saves a file with a workflow attached, shows its run live, its log and its output, and tells why a file is there', async () => {
  const { page, complaints, close } = await openTab(browser, place());
  page.setDefaultTimeout(60_000);
  await page.goto(`${cloud.variables['AUTOFILES_URL']}/files`);
  await page.getByText('Save a file').click();
  // wrong first: it says what is wrong, and nothing is saved
  await choose(page, hello, '{"run": [{"cmdd": "x"}]}');
  await page.getByRole('button', { name: 'Save' }).click();
  expect(await page.getByRole('alert').innerText()).toContain('cmdd');
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
  await page.goto(`${place().url}/files?prefix=in%2Fbrowser%2F`);
  await page.getByRole('link', { name: 'hello.txt', exact: true }).waitFor();
  expect(await accessibilityFaults(page)).toEqual([]);
  expect(complaints.filter((text) => !text.includes('422'))).toEqual([]);
  await close();
});

it('sends a file of 30 MB straight to the bucket, in one line from the first byte to the end of its run', async () => {
  const { page, complaints, close } = await openTab(browser, place());
  page.setDefaultTimeout(60_000);
  const posts: string[] = [];
  page.on('request', (request) => request.method() === 'POST' && posts.push(new URL(request.url()).origin));
  await page.goto(`${place().url}/files`);
  await page.getByText('Save a file').click();
  // the browser draws no frame while the bytes leave: what the line says is kept as it is said
  await page.evaluate(`
    window.said = [];
    new MutationObserver(() => window.said.push(document.querySelector('[data-upload-place]')?.innerText ?? ''))
      .observe(document.querySelector('[data-upload-place]'), { childList: true, characterData: true, subtree: true });
    addEventListener('pagehide', () => sessionStorage.setItem('said', window.said.join('|')));`);
  // a browser tells of progress every 50 ms, in which a quick machine has sent it all: 20 MB/s here
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  await network.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: 20_000_000,
  });
  const big = join(cloud.folder, 'big.bin');
  await writeFile(big, Buffer.alloc(30_000_000, 7));
  await choose(page, big, code('bash -c "sleep 1"'));
  await page.getByRole('button', { name: 'Save' }).click();
  await page.waitForURL(/\/runs\/r/);
  const said = String(await page.evaluate("sessionStorage.getItem('said')"));
  expect(said).toMatch(/sending \d+ %/);
  expect(said).toMatch(/event[^|]*run[^|]*end/);
  await page.locator('.stages .stage-done', { hasText: 'saved' }).waitFor();
  await page.locator('.stages .stage-done', { hasText: 'succeeded' }).waitFor();
  expect(posts).toEqual([place().url, cloud.variables['AWS_ENDPOINT_URL_S3']].map((url) => new URL(url ?? '').origin));
  const { size } = (await storeOf(cloud).head(cloud.variables['LD_S3_BUCKET'] ?? '', 'in/browser/big.bin')) ?? {};
  expect(size).toBe(30_000_000);
  expect(complaints).toEqual([]);
  await close();
});

it('takes the way through the service where the bucket cannot be reached, and without JavaScript', async () => {
  const blocked = await openTab(browser, place());
  await blocked.page.route(`${cloud.variables['AWS_ENDPOINT_URL_S3']}/**`, (route) => route.abort());
  await blocked.page.goto(`${place().url}/files`);
  await blocked.page.getByText('Save a file').click();
  await choose(blocked.page, hello, code('true'));
  await blocked.page.getByRole('button', { name: 'Save' }).click();
  await blocked.page.waitForURL(/\/runs\/r/);
  await blocked.close();
  const bare = await openTab(browser, place(), { javaScriptEnabled: false });
  await bare.page.goto(`${place().url}/files`);
  await bare.page.getByText('Save a file').click();
  await choose(bare.page, hello, '{"run": [{"cmdd": "x"}]}');
  await bare.page.getByRole('button', { name: 'Save' }).click();
  expect(await bare.page.getByRole('alert').innerText()).toContain('cmdd');
  expect(await bare.page.getByLabel('Workflow, JSON').inputValue()).toContain('cmdd');
  await choose(bare.page, hello, code('true'));
  await bare.page.getByRole('button', { name: 'Save' }).click();
  await bare.page.waitForURL(/\/runs\/r/);
  await bare.close();
});

it('shows outputs where they are listed: an image as one, a text as text, and nothing in them runs', async () => {
  const { page, complaints, close } = await openTab(browser, place());
  const store = storeOf(cloud);
  const bucket = cloud.variables['LD_S3_BUCKET'] ?? '';
  const task = (name: string) => ({ name, cmd: 'bash -c "sleep 30"', timeout: 120 });
  const body = JSON.stringify({ title: 'Looks inside', run: [{ parallel: [task('Draw'), task('Write')] }] });
  const { versionId } = await store.put(bucket, 'in/looks.json', body, { metadata: { ld_run: 'true' } });
  const find = async () => {
    const url = `${place().url}/v1/runs?${new URLSearchParams({ bucket, key: 'in/looks.json', version_id: versionId })}`;
    const page = (await (await fetch(url, { headers: { authorization: `Bearer ${place().token}` } })).json()) as { runs: { id: string }[] };
    return page.runs[0]?.id;
  };
  const id = await until('the run', find, 30_000);
  await page.goto(`${place().url}/runs/${id}?task=0.0`);
  await page.locator('.tl-row .ph-working').nth(1).waitFor();
  const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg==',
    'base64',
  );
  await store.put(bucket, 'out/picture.png', png, { contentType: 'image/png', metadata: { ld_task_id: `${id}.0.0` } });
  await store.put(bucket, 'out/page.html', '<img src=x onerror="window.hit=1">', {
    contentType: 'text/html',
    metadata: { ld_task_id: `${id}.0.1` },
  });
  await page.locator('.run-head .badge', { hasText: 'succeeded' }).waitFor();
  const drawn = async () =>
    Number(await page.locator('img.preview-image').evaluate((image) => ('naturalWidth' in image ? image.naturalWidth : 0)));
  await page.locator('img.preview-image').waitFor();
  await until('the image', async () => (await drawn()) === 2);
  await page.locator('.tl-row', { hasText: 'Write' }).locator('.tl-name').click();
  await page.locator('#task .preview', { hasText: '<img src=x' }).waitFor();
  await page.getByRole('link', { name: 'out/page.html' }).click();
  expect(await page.locator('.preview').innerText()).toBe('<img src=x onerror="window.hit=1">');
  await page.goto(`${place().url}/files/object?key=out%2Fpicture.png`);
  await until('the image', async () => (await drawn()) === 2);
  expect(await accessibilityFaults(page)).toEqual([]);
  expect(await page.evaluate('window.hit')).toBeUndefined();
  expect(complaints).toEqual([]);
  store.close();
  await close();
});

// Debian's Chromium through playwright-core.
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** Where Debian, Fedora and macOS put it; CHROMIUM names another one. */
const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

/** Starts a headless browser that calls no one but the pages it is sent to. */
export async function startBrowser(): Promise<Browser> {
  const named = process.env['CHROMIUM'];
  const executablePath = named ?? PLACES.find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error(`found no Chromium at ${PLACES.join(', ')}: install it, or name it with CHROMIUM`);
  return await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface Tab {
  readonly page: Page;
  /** What the page said went wrong: errors, and what the content policy refused. */
  readonly complaints: string[];
  close(): Promise<void>;
}

/** Where the dashboard is, and the token that makes links to it. */
export interface Place {
  readonly url: string;
  readonly token: string;
}

/** A tab with a profile of its own, signed in by a one-time link; without a place nobody is. */
export async function openTab(browser: Browser, place: Place | undefined, options: BrowserContextOptions = {}): Promise<Tab> {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  if (place !== undefined) {
    const made = await context.request.post(`${place.url}/session/links`, { headers: { authorization: `Bearer ${place.token}` } });
    const { path } = (await made.json()) as { path: string };
    // the context keeps the cookie; where the link leads to is of no interest
    await context.request.get(`${place.url}${path}`, { maxRedirects: 0 });
  }
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.setDefaultTimeout(15_000);
  return { page, complaints, close: () => context.close() };
}

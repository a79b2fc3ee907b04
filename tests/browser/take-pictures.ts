// Takes the README's pictures of the dashboard: `node tests/browser/take-pictures.ts` with the project's own Node.
import { fileURLToPath } from 'node:url';
import { ledgerKey, shardKeys } from '../../src/queues/keys.ts';
import { openTab, startBrowser } from './browser.ts';
import { SCRIPTS, startWorld } from './world.ts';

const to = (name: string) => fileURLToPath(new URL(`../../docs/images/${name}.png`, import.meta.url));
const world = await startWorld({
  ...SCRIPTS,
  convert: async (dyno) => {
    dyno.up(220);
    dyno.exit(1500);
    await dyno.output(1350, { ld_state: '640 × 480, 3 faces' });
    return dyno.accept();
  },
  index: (dyno) => {
    dyno.up(180);
    dyno.exit(900, 1);
    return dyno.accept();
  },
});
const browser = await startBrowser();

/** A day of work before the runs that really run here: records as the engine's transitions write them. */
async function seedDay(): Promise<void> {
  const { redis, resource, bucket } = world.engine;
  const keys = shardKeys(0);
  const titles = ['Thumbnails', 'Invoices of a customer', 'Transcribe an interview'] as const;
  const pipeline = redis.pipeline();
  for (let n = 0; n < 180; n += 1) {
    // busier by day than by night, and never the same: no dice, so that the picture stays as it is
    const ago = (n / 180) * 23.2 + 0.6 + 0.3 * Math.sin(n * 2.1) + 0.5 * Math.sin(n / 9);
    const at = Math.floor(Date.now() - ago * 3_600_000);
    const failed = n % 23 === 5;
    const took = Math.floor(1_200 * 2 ** (3 + 2.4 * Math.sin(n * 1.7) + (n % 3)));
    const id = `r0-${String(n).padStart(20, '0')}`;
    const state = failed ? 'failed' : 'succeeded';
    const key = `in/photos/IMG_${1700 + n}.jpg`;
    pipeline.hset(keys.run(id), {
      ...{
        state,
        resource,
        at,
        end: at + took,
        title: titles[n % 3] ?? '',
        bucket,
        key,
        version: 'v',
        etag: 'e',
        size: 1,
        steps: 1,
        n0: 1,
        d0: 1,
      },
      ...(failed ? { failing: '0.0|exited_without_output|exited 1 without output' } : {}),
    });
    pipeline.zadd(keys.index(resource), at, id);
    pipeline.zadd(keys.byState(resource, state), at, id);
  }
  await pipeline.exec();
}
try {
  await world.engine.resources.setCredentials(world.engine.resource, {
    accessKeyId: 'ASIA',
    secretAccessKey: 's',
    sessionToken: 't',
    expiresAt: Date.now() + 8.6 * 3_600_000,
  });
  const step = (name: string, cmd: string, more = {}) => ({ name, cmd, ...more });
  const upload = (title: string, run: unknown[], key: string) => {
    const versionId = world.engine.cloud.put(key, JSON.stringify({ title, run }), { ld_run: 'true' });
    return world.engine.runIdOf(key, versionId);
  };
  const backoff = { backoff: { type: 'fixed', delay: 0.4 } };
  const ids: string[] = [];
  for (let i = 0; i < 14; i += 1) ids.push(upload('Thumbnails', [step('Resize', 'convert')], `in/photos/IMG_${2041 + i}.jpg`));
  const failing = upload(
    'Album of a wedding',
    [
      step('Prepare', 'quick'),
      {
        name: 'Make sizes',
        parallel: [
          step('Thumbnail', 'convert'),
          step('Print', 'second', backoff),
          step('Web', 'convert', { wait_for: 1 }),
          step('Square', 'quick'),
        ],
      },
      step('Index the album', 'index', { retries: 1, ...backoff }),
      step('Tell the owner', 'quick'),
    ],
    'in/albums/wedding.zip',
  );
  upload('', [{ comand: 'resize' }], 'in/broken.json');
  const run = await world.engine.ended(failing);
  await Promise.all(ids.map((id) => world.engine.ended(id)));
  const dyno = run.steps[2]?.tasks[0]?.dyno ?? '';
  const say = (source: string, text: string, i: number) =>
    `${new Date(Date.now() + i * 130).toISOString().slice(0, -1)}000+00:00 ${source}[${dyno}]: ${text}`;
  world.engine.cloud.logs.set(
    dyno,
    [
      ['heroku', 'Starting process with command `index`'],
      ['heroku', 'State changed from starting to up'],
      ['app', '\u001b[36mreading\u001b[0m in/albums/wedding.zip, 214 pictures'],
      ['app', '\u001b[32m✓\u001b[0m 213 pictures indexed'],
      ['app', '\u001b[1;31merror\u001b[0m IMG_0117.jpg: not a JPEG: starts with 00 00 00 18'],
      ['heroku', 'Process exited with status 1'],
    ].map(([source, text], i) => say(source ?? '', text ?? '', i)),
  );
  await seedDay();
  const light = await openTab(browser, world, { viewport: { width: 1320, height: 1080 }, deviceScaleFactor: 1.5 });
  await light.page.goto(`${world.url}/runs/${failing}`);
  await light.page.locator('.lines li').nth(5).waitFor();
  await light.page.screenshot({ path: to('run-page') });
  const dark = await openTab(browser, world, { viewport: { width: 1320, height: 860 }, deviceScaleFactor: 1.5, colorScheme: 'dark' });
  await dark.page.goto(`${world.url}/`);
  // the ledger of a bucket that is swept and whole
  await world.engine.redis.hset(ledgerKey(world.engine.resource), {
    in_scope: 12_431,
    accounted_for: 12_431,
    unaccounted: 0,
    swept_at: Date.now(),
  });
  await dark.page.goto(`${world.url}/`);
  await dark.page.screenshot({ path: to('overview-dark') });
  const phone = await openTab(browser, world, { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 });
  await phone.page.goto(`${world.url}/runs`);
  await phone.page.screenshot({ path: to('runs-phone') });
} finally {
  await browser.close();
  await world.stop();
}

import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type DynoAnswer, eventually, platformWith } from './platform.ts';

const server = `
require('node:http').createServer((request, response) => {
  if (request.url === '/crash') process.exit(7);
  response.setHeader('x-dyno', process.env.DYNO);
  response.end(JSON.stringify({ greeting: process.env.GREETING, headers: request.headers, method: request.method }));
}).on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nconnection: Upgrade\\r\\nupgrade: echo\\r\\n\\r\\n');
  socket.pipe(socket);
}).listen(process.env.PORT, '127.0.0.1', () => console.log('listening'));
`;
const app = {
  'server.js': server,
  Procfile: `web: '${process.execPath}' server.js\nworker: echo working; sleep 60\nflaky: echo tried; exit 3\n`,
};

interface FormationAnswer {
  type: string;
  quantity: number;
  size: string;
}

describe('the formation', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (...args: Parameters<typeof platformWith>) => {
    const platform = await platformWith(...args);
    open.push(platform);
    const scale = (updates: unknown) => platform.json<FormationAnswer[]>('PATCH', '/apps/myapp/formation', { updates });
    const names = async (state = 'up') =>
      (await platform.list())
        .filter((dyno) => dyno.state === state)
        .map(({ name }) => name)
        .sort();
    const running = (wanted: string[]) => eventually(`${wanted.join(', ')} up`, async () => (await names()).join() === wanted.join());
    const web = `http://127.0.0.1:${platform.dynos.webPort}`;
    return { ...platform, scale, running, names, web };
  };
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });

  it("lists the Procfile's process types with nobody at first, and scales them up and down", async () => {
    const platform = await setup(app);
    const entries = await platform.json<FormationAnswer[]>('GET', '/apps/myapp/formation');
    expect(entries.map(({ type, quantity }) => `${type}=${quantity}`).sort()).toEqual(['flaky=0', 'web=0', 'worker=0']);
    expect(
      await platform.scale([
        { type: 'web', quantity: 2, size: 'standard-1x' },
        { type: 'worker', quantity: '+1' },
      ]),
    ).toMatchObject([
      { type: 'web', quantity: 2, size: 'Standard-1X' },
      { type: 'worker', quantity: 1 },
    ]);
    await platform.running(['web.1', 'web.2', 'worker.1']);
    const [dyno] = await platform.json<DynoAnswer[]>('GET', '/apps/myapp/dynos').then((all) => all.filter(({ name }) => name === 'web.1'));
    expect(dyno).toMatchObject({ type: 'web', command: expect.stringContaining('server.js'), size: 'Standard-1X' });
    await platform.scale([{ type: 'web', quantity: 1 }]);
    await platform.running(['web.1', 'worker.1']);
    expect(await platform.logs({ dyno: 'web.2' })).toContainEqual(expect.stringContaining('State changed from up to down'));
    const refused = await platform.call('PATCH', '/apps/myapp/formation', { updates: [{ type: 'nope', quantity: 1 }] });
    expect(refused.status).toBe(404);
  });

  it('gives requests to the web dynos in turn, with the forwarding headers, and answers 503 when there is none', async () => {
    const platform = await setup(app);
    const none = await fetch(platform.web);
    expect([none.status, await none.text()]).toEqual([503, expect.stringContaining('H14')]);
    await platform.scale([{ type: 'web', quantity: 2 }]);
    await platform.running(['web.1', 'web.2']);
    const seen = new Set<string | null>();
    for (let index = 0; index < 4; index += 1) {
      const answer = await fetch(`${platform.web}/path?q=1`, { method: 'POST', body: 'x' });
      const { headers, method } = (await answer.json()) as { headers: Record<string, string>; method: string };
      expect([method, headers['x-forwarded-for'], headers['x-forwarded-proto'], headers['via']]).toEqual([
        'POST',
        '127.0.0.1',
        'http',
        '1.1 autofiles-router',
      ]);
      seen.add(answer.headers.get('x-dyno'));
    }
    expect([...seen].sort()).toEqual(['web.1', 'web.2']);
    const router = await platform.logs({ dyno: 'router' });
    expect(router.at(-1)).toMatch(
      /heroku\[router\]: at=info method=POST path="\/path\?q=1" host=127\.0\.0\.1:\d+ request_id=\S+ fwd="127\.0\.0\.1" dyno=web\.\d service=\d+ms status=200 bytes=\d+ protocol=http/,
    );
    expect(router[0]).toMatch(/at=error code=H14 desc="No web processes running"/);
  });

  it('passes an upgrade on to the dyno', async () => {
    const platform = await setup(app);
    await platform.scale([{ type: 'web', quantity: 1 }]);
    await platform.running(['web.1']);
    const socket = connect(platform.dynos.webPort, '127.0.0.1');
    socket.write('GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await eventually('the upgrade', () => text.includes('101 Switching'));
    socket.write('there and back');
    await eventually('the echo', () => text.endsWith('there and back'));
    socket.destroy();
  });

  it('starts a dyno again that ended by itself, and logs the crash', async () => {
    const platform = await setup(app);
    await platform.scale([{ type: 'web', quantity: 1 }]);
    await platform.running(['web.1']);
    expect((await fetch(`${platform.web}/crash`)).status).toBe(503);
    await eventually('an answer again', async () => (await fetch(platform.web)).status === 200);
    expect(
      (await platform.logs({ dyno: 'web.1', source: 'heroku' })).map((line) => line.slice(line.indexOf(']: ') + 3)).slice(1, 6),
    ).toEqual([
      'State changed from starting to up',
      'Process exited with status 7',
      'State changed from up to crashed',
      'State changed from crashed to starting',
      expect.stringMatching(/^Starting process with command/),
    ]);
  });

  it('waits longer and longer between starts of what keeps crashing', async () => {
    const platform = await setup(app);
    await platform.scale([{ type: 'flaky', quantity: 1 }]);
    await eventually('a second try', async () => (await platform.logs({ dyno: 'flaky.1', source: 'app' })).length >= 2);
    await eventually('a crashed dyno in the list', async () => (await platform.names('crashed')).length === 1);
    await platform.scale([{ type: 'flaky', quantity: 0 }]);
    await eventually('it is gone', async () => (await platform.list()).length === 0);
  });

  it('restarts the formation with a config change, which is a release, and leaves one-offs alone', async () => {
    const platform = await setup(app);
    await platform.scale([{ type: 'web', quantity: 1 }]);
    await platform.running(['web.1']);
    const oneOff = await platform.run('sleep 60');
    await platform.json('PATCH', '/apps/myapp/config-vars', { GREETING: 'hello' });
    await eventually('the new value', async () => {
      const answer = await fetch(platform.web);
      return answer.status === 200 && ((await answer.json()) as { greeting?: string }).greeting === 'hello';
    });
    expect((await platform.json<DynoAnswer>('GET', `/apps/myapp/dynos/${oneOff.id}`)).state).toBe('up');
    const releases = await platform.json<{ version: number; description: string; current: boolean }[]>('GET', '/apps/myapp/releases');
    expect(releases).toMatchObject([
      { version: 1, current: false },
      { version: 2, description: 'Set GREETING config vars', current: true },
    ]);
    expect(await platform.json('GET', '/apps/myapp/releases/v2')).toEqual(releases[1]);
    const newest = await platform.call('GET', '/apps/myapp/releases', undefined, { range: 'version ..; max=1, order=desc' });
    expect([newest.status, await newest.json()]).toEqual([206, [releases[1]]]);
    expect(await platform.logs({ dyno: 'api' })).toContainEqual(
      expect.stringContaining('app[api]: Release v2 created by user you@localhost'),
    );
  });

  it('comes back as it was after a restart of the platform, with the changed files', async () => {
    const platform = await setup(app);
    await platform.scale([{ type: 'worker', quantity: 1 }]);
    await platform.running(['worker.1']);
    await platform.dynos.close();
    await writeFile(join(platform.app, 'Procfile'), (await readFile(join(platform.app, 'Procfile'), 'utf8')).replace('working', 'changed'));
    const again = await setup({}, { dir: platform.dir, appDir: platform.app });
    await again.running(['worker.1']);
    await eventually('its output', async () => (await again.logs({ dyno: 'worker.1', source: 'app' })).at(-1)?.endsWith(': changed'));
  });
});

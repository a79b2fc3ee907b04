import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { createNamespaceCopies } from '../../src/local/dynos/namespace-copies.ts';
import { clientOf, eventually, folderWith, platformWith } from './platform.ts';

const probe = await folderWith({});
const namespaces = await createNamespaceCopies(probe.path, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }).then(
  (copies) => {
    copies.close();
    return true;
  },
  () => false,
);
await probe.remove();

describe("the dynos' copies of the app", () => {
  const open: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });
  const setup = async (...args: Parameters<typeof platformWith>) => {
    const platform = await platformWith(...args);
    open.push(platform.close);
    return platform;
  };

  for (const copies of ['plain', 'auto'] as const) {
    it(`are a dyno's own and go with it (${copies})`, async () => {
      const platform = await setup({ one: '1', Procfile: 'job: cat one\n' }, { copies });
      expect(platform.dynos.copies.kind).toBe(copies === 'auto' && namespaces ? 'namespace' : 'plain');
      expect(await platform.output('rm one Procfile; echo 2 > two; chmod 500 .; ls')).toEqual(['two']);
      expect(await platform.output('job # marker')).toEqual(['1']);
      expect(await platform.output('ls; [ "$PWD" = "$HOME" ] && echo home')).toEqual(['Procfile', 'one', 'home']);
      await eventually('no folder is left', async () => (await readdir(join(platform.dir, 'copies'))).length === 0);
      expect(await readFile('/proc/mounts', 'utf8').catch(() => '')).not.toContain('autofiles');
    });

    it(`source .profile.d and .profile before the command (${copies})`, async () => {
      const platform = await setup({ '.profile': 'export ORDER="$ORDER profile"; not_exported=1\n' }, { copies });
      await mkdir(join(platform.app, '.profile.d'));
      await writeFile(join(platform.app, '.profile.d', 'a.sh'), 'export ORDER=first\n');
      await writeFile(join(platform.app, '.profile.d', 'ignored.txt'), 'export ORDER=wrong\n');
      expect(await platform.output('echo "$ORDER $not_exported. $0 # x"; exit 4 # marker')).toEqual([
        expect.stringMatching(/^first profile \. \S*bash # x$/),
      ]);
      expect(await platform.logs({ dyno: 'run.1' })).toContainEqual(expect.stringContaining('exited with status 4'));
    });
  }

  describe.runIf(namespaces)('in a mount namespace', () => {
    it('are seen at /app, which is HOME', async () => {
      const platform = await setup({ file: 'content' });
      expect(await platform.output('pwd; echo $HOME; echo ~; cat /app/file; echo none$OLDPWD')).toEqual([
        '/app',
        '/app',
        '/app',
        'contentnone',
      ]);
    });

    it('keep the frozen files of their start while the app is edited', async () => {
      const platform = await setup({ file: 'old' });
      const { name } = await platform.run(
        'until [ -e /tmp/go-$HEROKU_DYNO_ID ]; do sleep 0.02; done; cat file; rm /tmp/go-$HEROKU_DYNO_ID',
      );
      await writeFile(join(platform.app, 'file'), 'new');
      expect(await platform.output('cat file')).toEqual(['new']);
      const { id } = await platform.json<{ id: string }>('GET', `/apps/myapp/dynos/${name}`);
      await writeFile(`/tmp/go-${id}`, '');
      expect(await platform.ended(name)).toContain(`app[${name}]: old`);
    });

    it('end with the dyno also for a process that left its group', async () => {
      const platform = await setup({});
      const [pid = ''] = await platform.output('setsid sleep 300 & echo $!');
      await eventually('the stray is gone', async () => {
        const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ');
        return stat.includes(') Z ');
      });
    });

    it.runIf(process.getuid?.() === 0)('work for an ordinary user, who stays himself inside', async () => {
      const app = await folderWith({ file: 'content' });
      const state = await folderWith({});
      open.push(app.remove, state.remove);
      const user = 65_534;
      for (const path of [app.path, state.path]) await chown(path, user, user);
      const child = fork(join(import.meta.dirname, '../../src/local/dynos/main.ts'), {
        execArgv: ['--disable-warning=ExperimentalWarning'],
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        uid: user,
        gid: user,
        env: {
          PATH: '/usr/bin:/bin',
          AUTOFILES_DYNOS_DIR: state.path,
          AUTOFILES_APP_DIR: app.path,
          AUTOFILES_APP_NAME: 'myapp',
          AUTOFILES_DYNOS_TOKEN: 'secret-token',
        },
      });
      const [{ port }] = await once(child, 'message', { signal: AbortSignal.timeout(60_000) });
      const client = clientOf(port);
      const [home = '', id, ...rest] = await client.output(
        'pwd; id -u; mkdir -p locked; chmod 0 locked; rm file; ls; touch /nope 2>&1 || echo refused',
      );
      child.kill('SIGTERM');
      const [complaints] = await Promise.all([text(child.stderr ?? Readable.from([])), once(child, 'exit')]);
      expect(complaints).toBe('');
      expect(await readdir(join(state.path, 'copies'))).toEqual([]);
      // Where the kernel keeps user namespaces from ordinary users, the plain copy is what they get.
      expect(home === '/app' || home.startsWith(state.path)).toBe(true);
      expect([id, rest[0], rest.at(-1)]).toEqual([String(user), 'locked', 'refused']);
    });
  });
});

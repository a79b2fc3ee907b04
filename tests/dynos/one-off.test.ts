import { chmod, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type DynoAnswer, eventually, platformWith } from './platform.ts';

describe('one-off dynos', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (...args: Parameters<typeof platformWith>) => {
    const platform = await platformWith(...args);
    open.push(platform);
    return platform;
  };
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });

  it('answers 201 with a dyno that is up, lists it, and forgets it when its process has ended', async () => {
    const platform = await setup({});
    const answer = await platform.call('POST', '/apps/myapp/dynos', { command: 'sleep 30 # r.1.1/1', size: 'standard-1x' });
    expect(answer.status).toBe(201);
    const dyno = (await answer.json()) as DynoAnswer & { created_at: string };
    expect(dyno).toMatchObject({
      name: 'run.1',
      type: 'run',
      command: 'sleep 30 # r.1.1/1',
      size: 'Standard-1X',
      state: 'up',
      attach_url: null,
      app: { name: 'myapp' },
      release: { version: 1 },
    });
    expect(dyno.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(await platform.list()).toEqual([dyno]);
    for (const handle of ['run.1', dyno.id]) {
      expect(await platform.json('GET', `/apps/myapp/dynos/${handle}`)).toEqual(dyno);
    }
    expect((await platform.call('POST', '/apps/myapp/dynos/run.1/actions/stop')).status).toBe(202);
    await eventually('the list is empty', async () => (await platform.list()).length === 0);
    const gone = await platform.call('GET', `/apps/myapp/dynos/${dyno.id}`);
    expect([gone.status, await gone.json()]).toEqual([404, { id: 'not_found', message: "Couldn't find that dyno.", resource: 'dyno' }]);
  });

  it('logs the life of a dyno as Heroku does, stdout and stderr in the order written', async () => {
    const platform = await setup({});
    const { name } = await platform.run('echo one; echo two > /dev/stderr; printf three; exit 3');
    expect(await platform.ended(name)).toEqual([
      'heroku[run.1]: Starting process with command `echo one; echo two > /dev/stderr; printf three; exit 3`',
      'heroku[run.1]: State changed from starting to up',
      'app[run.1]: one',
      'app[run.1]: two',
      'app[run.1]: three',
      'heroku[run.1]: Process exited with status 3',
      'heroku[run.1]: State changed from up to complete',
    ]);
    expect((await platform.logs())[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 heroku\[run\.1\]: /);
  });

  it('reports a command that is not there as 127 and one ended by a signal as 128 + its number', async () => {
    const platform = await setup({});
    expect(await platform.ended((await platform.run('no-such-program')).name)).toContain('heroku[run.1]: Process exited with status 127');
    expect(await platform.ended((await platform.run('kill -KILL $$')).name)).toContain('heroku[run.2]: Process exited with status 137');
    expect(await platform.ended((await platform.run('kill -TERM $$')).name)).toContain('heroku[run.3]: Process exited with status 143');
  });

  it('logs why a process could not be started at all, with status 126', async () => {
    const platform = await setup({});
    // 60 variables of 60 KB are more than Linux lets one process have.
    const env = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`BIG_${index}`, 'x'.repeat(60_000)]));
    const { name } = await platform.run('true', { env });
    const log = await platform.ended(name);
    expect(log).toContainEqual(
      expect.stringMatching(/Error: the process could not be started \(E2BIG\): its command and environment together are larger/),
    );
    expect(log.slice(-2)).toEqual([
      'heroku[run.1]: Process exited with status 126',
      'heroku[run.1]: State changed from starting to crashed',
    ]);
  });

  it('replaces the first word by the Procfile command of that process type and keeps the rest', async () => {
    const platform = await setup({ Procfile: 'web: node server.js\nimport-data: echo importing\n# worker: echo no\n' });
    expect(await platform.output('import-data 42 "a b" # run.1/1')).toEqual(['importing 42 a b']);
    expect(await platform.output('import-data ; echo after')).toEqual(['importing', 'after']);
    expect(await platform.output('echo import-data')).toEqual(['import-data']);
  });

  it('sees an edited Procfile and edited files at the next start', async () => {
    const platform = await setup({ Procfile: 'job: cat data\n', data: 'old' });
    expect(await platform.output('job')).toEqual(['old']);
    await writeFile(join(platform.app, 'data'), 'new');
    expect(await platform.output('job')).toEqual(['new']);
    await writeFile(join(platform.app, 'Procfile'), 'job: echo changed\n');
    expect(await platform.output('job')).toEqual(['changed']);
    expect(await readdir(join(platform.dir, 'slugs'))).toHaveLength(1);
  });

  it('gives every dyno its own copy: what one changes nobody else sees, and it is removed at the end', async () => {
    const platform = await setup({ keep: 'kept' });
    const { name } = await platform.run('rm keep; mkdir -p locked/in; chmod 500 locked; echo mine > new; ls');
    expect(await platform.ended(name)).toContain(`app[${name}]: new`);
    expect(await platform.output('ls; cat keep')).toEqual(['keep', 'kept']);
    expect(await readdir(platform.app)).toEqual(['keep']);
    await eventually('no copy is left', async () => (await readdir(join(platform.dir, 'copies'))).length === 0);
  });

  it('keeps modes, times and links of the files', async () => {
    const platform = await setup({ 'tool.sh': '#!/bin/sh\necho ran\n' });
    await chmod(join(platform.app, 'tool.sh'), 0o755);
    await utimes(join(platform.app, 'tool.sh'), 1_000_000_000, 1_000_000_000);
    await symlink('tool.sh', join(platform.app, 'link'));
    const code = 'const f=require("fs").statSync("tool.sh").mtimeMs;console.log(f)';
    expect(await platform.output(`./link; readlink link; '${process.execPath}' -e '${code}'`)).toEqual(['ran', 'tool.sh', '1000000000000']);
  });

  it("leaves out the local cloud's state, the repository, secrets and what .slugignore names", async () => {
    const canary = 'canary-9f2b';
    const app = {
      '.env': `SECRET=${canary}`,
      '.slugignore': '# tests\n*.secret\n/only-root\n!b.secret\n',
      'a.secret': canary,
      'only-root': canary,
      kept: 'kept',
    };
    const platform = await setup(app);
    await platform.output(
      `mkdir -p ${['.git', '.autofiles/dynos', 'sub/.git', 'sub/only-root'].map((folder) => `'${platform.app}/${folder}'`).join(' ')};` +
        `for f in .git/config .autofiles/env sub/.env sub/b.secret sub/.git/HEAD; do echo ${canary} > '${platform.app}'/$f; done; echo > '${platform.app}/sub/only-root/file'`,
    );
    expect(await platform.output(`grep -rl ${canary.slice(0, 6)} . ; find . -type f | sort`)).toEqual([
      './.slugignore',
      './kept',
      './sub/only-root/file',
    ]);
  });

  it('does not copy its own folder when that lies in the app folder under any name', async () => {
    const outer = await setup({ kept: '' });
    const platform = await setup({}, { appDir: outer.app, dir: join(outer.app, 'state') });
    expect(await platform.output('ls')).toEqual(['kept']);
  });

  it("gives a dyno the config vars, the call's variables, Heroku's own and the user's PATH, and nothing else", async () => {
    process.env['DYNOS_CANARY'] = 'leaked';
    const userPath = ['/project/node_modules/.bin', '/npm/node-gyp-bin', process.env['PATH'] ?? ''].join(':');
    const platform = await setup({}, { userPath });
    await platform.json('PATCH', '/apps/myapp/config-vars', { ONE: 'config', TWO: 'config', DYNO: 'no' });
    const { id, name } = await platform.run('env -0 | sort -z | tr "\\0" "\\n"', {
      env: { TWO: 'call', THREE: 3, line_D: '{"task_id":"x"}' },
    });
    const prefix = `app[${name}]: `;
    const log = await platform.ended(name);
    const lines = log.filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length));
    const env = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
    expect(env).toMatchObject({
      ONE: 'config',
      TWO: 'call',
      THREE: '3',
      line_D: '{"task_id":"x"}',
      DYNO: 'run.1',
      HEROKU_DYNO_ID: id,
      HEROKU_APP_NAME: 'myapp',
      HEROKU_RELEASE_VERSION: 'v2',
    });
    expect(env['HOME']).toBe(env['PWD']);
    expect(env['PORT']).toMatch(/^\d+$/);
    expect(env['PATH']).not.toMatch(/node_modules\/\.bin|node-gyp-bin/);
    const own = [
      '_',
      'DYNO',
      'GIT_CEILING_DIRECTORIES',
      'HEROKU_APP_ID',
      'HEROKU_APP_NAME',
      'HEROKU_DYNO_ID',
      'HEROKU_RELEASE_CREATED_AT',
      'HEROKU_RELEASE_VERSION',
      'HOME',
      'LANG',
      'ONE',
      'PATH',
      'PORT',
      'PWD',
      'SHLVL',
      'THREE',
      'TWO',
      'line_D',
    ];
    expect(own).toEqual(expect.arrayContaining(Object.keys(env)));
  });

  it('names dynos by their type and never gives a number twice, also after a restart', async () => {
    const platform = await setup({});
    expect((await platform.run('true')).name).toBe('run.1');
    expect((await platform.run('true', { type: 'scheduler' })).name).toBe('scheduler.1');
    expect((await platform.run('true')).name).toBe('run.2');
    await platform.json('PATCH', '/apps/myapp/config-vars', { KEPT: 'yes' });
    await platform.ended('run.2');
    await platform.dynos.close();
    const again = await setup({}, { dir: platform.dir });
    expect((await again.run('true')).name).toBe('run.3');
    expect(await again.json('GET', '/apps/myapp/config-vars')).toEqual({ KEPT: 'yes' });
    expect(await again.logs({ dyno: 'run.2' })).toContainEqual(expect.stringContaining('Process exited with status 0'));
  });

  it('sets, changes and removes config vars, each change a release', async () => {
    const platform = await setup({});
    expect(await platform.json('PATCH', '/apps/myapp/config-vars', { A: '1', B: '2' })).toEqual({ A: '1', B: '2' });
    expect(await platform.json('PATCH', '/apps/myapp/config-vars', { A: null, B: '2' })).toEqual({ B: '2' });
    expect(await platform.json('PATCH', '/apps/myapp/config-vars', { B: '2' })).toEqual({ B: '2' });
    const dyno = await platform.json<{ release: { version: number } }>('POST', '/apps/myapp/dynos', { command: 'true' });
    expect(dyno.release.version).toBe(3);
  });
});

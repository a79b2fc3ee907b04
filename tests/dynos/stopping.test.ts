import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { eventually, folderWith, platformWith } from './platform.ts';

// Whether a process is there and not merely waiting for its parent to ask how it ended.
async function alive(pid: string): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return !/\) Z /.test(stat);
  } catch {
    return false;
  }
}

describe.runIf(existsSync('/proc/self/stat'))('stopping a dyno', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (...args: Parameters<typeof platformWith>) => {
    const platform = await platformWith(...args);
    open.push(platform);
    /** Starts a command and waits for its first line. */
    const running = async (command: string, more: Record<string, unknown> = {}): Promise<{ name: string; first: string }> => {
      const { name } = await platform.run(command, more);
      const first = await eventually('a first line', async () => (await platform.logs({ dyno: name, source: 'app' }))[0]);
      return { name, first: first.slice(first.indexOf(']: ') + 3) };
    };
    return { ...platform, running };
  };
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });

  it('sends SIGTERM to every process and waits for those that tidy up, also below a shell that dies at once', async () => {
    const platform = await setup({});
    const child = `bash -c 'trap "sleep 0.2; echo tidied; exit" TERM; echo ready; while :; do sleep 0.05; done'`;
    const { name } = await platform.running(`${child}; true`);
    await platform.call('POST', `/apps/myapp/dynos/${name}/actions/stop`);
    const log = (await platform.ended(name)).filter((line) => !line.includes('Terminated'));
    expect(log.slice(-4)).toEqual([
      `heroku[${name}]: Stopping process with SIGTERM`,
      `app[${name}]: tidied`,
      `heroku[${name}]: Process exited with status 143`,
      `heroku[${name}]: State changed from up to complete`,
    ]);
  });

  it('kills with SIGKILL and logs R12 what does not follow within the grace', async () => {
    const platform = await setup({}, { stopGraceMs: 200 });
    const { name, first } = await platform.running(`trap '' TERM; echo $$; while :; do sleep 0.05; done`);
    expect((await platform.call('DELETE', `/apps/myapp/dynos/${name}`)).status).toBe(202);
    expect((await platform.ended(name)).slice(-5)).toEqual([
      `heroku[${name}]: Stopping process with SIGTERM`,
      `heroku[${name}]: Error R12 (Exit timeout) -> At least one process failed to exit within 0.2 seconds of SIGTERM`,
      `heroku[${name}]: Stopping process with SIGKILL`,
      `heroku[${name}]: Process exited with status 137`,
      `heroku[${name}]: State changed from up to complete`,
    ]);
    expect(await alive(first)).toBe(false);
  });

  it('ends every process of the group when the main one ends', async () => {
    const platform = await setup({});
    const [pid = ''] = await platform.output(`(trap '' TERM HUP; while :; do sleep 1; done) & echo $!`);
    expect(pid).toMatch(/^\d+$/);
    await eventually('the background process is gone', async () => !(await alive(pid)));
  });

  it('does not wait for a process that left the group and holds the output', async () => {
    const platform = await setup({});
    const [pid = ''] = await platform.output(`setsid sleep 60 & echo $!`);
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch (error) {
      // the platform ends what outlives its dyno, soon after it
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  });

  it('ends a dyno at its time to live', async () => {
    const platform = await setup({});
    const { name } = await platform.run('sleep 60', { time_to_live: 1 });
    expect((await platform.ended(name)).slice(-3)).toEqual([
      `heroku[${name}]: Stopping process with SIGTERM`,
      `heroku[${name}]: Process exited with status 143`,
      `heroku[${name}]: State changed from up to complete`,
    ]);
  });

  it('answers 404 to a stop of what is not there', async () => {
    const platform = await setup({});
    expect((await platform.call('POST', '/apps/myapp/dynos/run.9/actions/stop')).status).toBe(404);
    expect((await platform.call('DELETE', '/apps/myapp/dynos/run.9')).status).toBe(404);
  });

  it('ends its dynos, stubborn ones too, and removes their folders when the platform stops', async () => {
    const platform = await setup({}, { shutdownGraceMs: 200 });
    const gentle = await platform.running('echo $$; sleep 60');
    const stubborn = await platform.running(`trap '' TERM; echo $$; while :; do sleep 0.05; done`);
    await platform.dynos.close();
    expect([await alive(gentle.first), await alive(stubborn.first)]).toEqual([false, false]);
    expect(await readdir(join(platform.dir, 'copies'))).toEqual([]);
    await expect(platform.list()).rejects.toThrow();
  });

  it('makes nothing ready any more once it has stopped, so that its folder is free for the next one', async () => {
    const path = process.env['PATH'] ?? '';
    const slow = await folderWith({ mkfifo: `#!/bin/sh\nread _ <"$0.go"\nPATH='${path}' exec mkfifo "$@"\n` });
    const go = join(slow.path, 'mkfifo.go');
    await chmod(join(slow.path, 'mkfifo'), 0o755);
    execFileSync('mkfifo', [go]);
    vi.stubEnv('PATH', `${slow.path}:${path}`);
    try {
      const platform = await setup({});
      const closing = platform.dynos.close();
      await writeFile(go, 'go\n');
      await closing;
      // all that one call of mkfifo makes: it was waited for
      expect(await readdir(join(platform.dir, 'pipes'))).toHaveLength(32);
    } finally {
      vi.unstubAllEnvs();
      await slow.remove();
    }
  });
});

// Logs name what they are about, and hold no secret.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../src/local/dynos/free-port.ts';
import { createRedactor } from '../../src/schema/redaction.ts';
import { leash } from '../support/leash.ts';
import { startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

describe('a worker that runs a workflow', () => {
  it('logs run, task, attempt and dyno, and none of the secrets that it handles', async () => {
    const world = await startWorld({ ok: (dyno) => dyno.output(5), exit: (dyno) => dyno.exit(5, 1) });
    const canary = { option: `canary-${randomBytes(8).toString('hex')}`, token: `HRKU-${randomBytes(12).toString('hex')}` };
    try {
      const env = { LOG_LEVEL: 'trace', AUTOFILES_HEROKU_TOKEN: canary.token };
      const worker = await world.startWorker('', env);
      const options = [`SECRET_OPTION=${canary.option}`];
      const ok = await world.upload([
        { cmd: 'ok', timeout: 30, options },
        { cmd: 'ok', timeout: 30, options },
      ]);
      const bad = await world.upload([{ cmd: 'exit', timeout: 30, retries: 1, backoff: { type: 'fixed', delay: 0.05 }, options }]);
      expect((await world.ended(ok)).state).toBe('succeeded');
      expect((await world.ended(bad)).state).toBe('failed');
      worker.signal('SIGTERM');
      await worker.ended;
      const lines = worker
        .said()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      const said = (msg: string) => lines.filter((line) => line['msg'] === msg);
      for (const task of [`${ok}.0.0`, `${ok}.1.0`]) {
        expect(said('launched a dyno').find((line) => line['taskId'] === task)).toMatchObject({
          runId: ok,
          attempt: 1,
          dyno: expect.any(String),
          dynoId: expect.any(String),
        });
        expect(said('received an output').find((line) => line['taskId'] === task)).toMatchObject({ runId: ok, result: 'ok' });
      }
      expect(said('attempt failed').map((line) => [line['taskId'], line['runId'], line['attempt'], line['again']])).toEqual([
        [`${bad}.0.0`, bad, 1, true],
        [`${bad}.0.0`, bad, 2, false],
      ]);
      expect(
        said('ended a run')
          .map((line) => line['runId'])
          .sort(),
      ).toEqual([ok, bad].sort());
      const credentials = await world.credentials();
      for (const secret of [
        canary.option,
        canary.token,
        Buffer.alloc(32, 7).toString('base64'),
        'root-secret',
        credentials.secretAccessKey,
        credentials.sessionToken,
      ]) {
        expect(worker.said()).not.toContain(secret);
      }
    } finally {
      await world.stop();
    }
  });
});

describe('a process that waits for Redis', () => {
  it.each(['worker', 'web'])('says so, once (%s)', async (role) => {
    const port = await freePort();
    const env = {
      PATH: process.env['PATH'],
      AUTOFILES_MODE: 'test',
      REDIS_URL: `redis://127.0.0.1:${port}`,
      AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
      AUTOFILES_API_TOKEN: 'token',
      AUTOFILES_HTTP_PORT: '0',
    };
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, role], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    leash(child);
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data) => {
        said += data;
      });
    const gone = once(child, 'exit');
    try {
      await until('a line about it', () => said.includes('redis connection'), 10_000).catch(() => {});
      expect(said).toContain(`connect ECONNREFUSED 127.0.0.1:${port}`);
      const server = createServer();
      // it tried again by then
      server.listen(port, '127.0.0.1');
      await once(server, 'connection');
      server.close();
      expect(said.split('ECONNREFUSED')).toHaveLength(2);
    } finally {
      child.kill('SIGKILL');
      await gone;
    }
  });
});

describe('redaction', () => {
  const redactor = createRedactor(['s3cr3t-value', undefined, 'abc']);

  it('goes by names, by looks and by value, at any depth', () => {
    const cleaned = redactor.fields({
      runId: 'r0-x',
      authorization: 'whatever',
      deep: { a: [{ SECRET_ACCESS_KEY: 'x', note: 'has s3cr3t-value in it' }] },
      env: { A: 'b' },
      url: 'redis://user:hunter2@host:6379/0',
      header: 'Authorization: Bearer abcdef123456',
      link: 'https://s3/b/k?X-Amz-Signature=deadbeef&X-Amz-Date=1',
      error: new Error('rediss://:pw@h failed for HRKU-12345678-aaaa'),
      n: 5,
      none: undefined,
      token: null,
    });
    expect(JSON.stringify(cleaned)).not.toMatch(/hunter2|abcdef123456|deadbeef|s3cr3t|whatever|:pw@|HRKU-1|"x"|"b"/);
    expect(cleaned).toMatchObject({ runId: 'r0-x', n: 5, token: null, link: expect.stringContaining('X-Amz-Date=1') });
    expect(redactor.text('abc stays')).toBe('abc stays');
  });

  it('never throws and never lets a known secret through', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.anything({ maxDepth: 4 })), fc.string(), (fields, around) => {
        const text = JSON.stringify(redactor.fields({ ...fields, around: `${around}s3cr3t-value${around}` }), (_, value: unknown) =>
          typeof value === 'bigint' ? String(value) : value,
        );
        expect(text).not.toContain('s3cr3t-value');
      }),
    );
  });
});

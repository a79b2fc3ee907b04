import { afterEach, describe, expect, it } from 'vitest';
import { createOutputLines } from '../../src/local/dynos/output-lines.ts';
import { eventually, platformWith } from './platform.ts';

describe('log sessions', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (...args: Parameters<typeof platformWith>) => {
    const platform = await platformWith(...args);
    open.push(platform);
    return platform;
  };
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });
  type Platform = Awaited<ReturnType<typeof setup>>;
  /** Follows a session as events until `until` has come; gives the lines and the last event id. */
  const follow = async (url: string, until: string, lastId?: string): Promise<{ lines: string[]; lastId: string }> => {
    const leave = new AbortController();
    const answer = await fetch(url, {
      headers: { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) },
      signal: AbortSignal.any([leave.signal, AbortSignal.timeout(10_000)]),
    });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    let text = '';
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk).toString();
      if (text.includes(until)) break;
    }
    leave.abort();
    const events = text.split('\n\n').filter((event) => event.startsWith('id: '));
    return {
      lines: events.map((event) => event.slice(event.indexOf('data: ') + 6)),
      lastId: /^id: (\d+)/.exec(events.at(-1) ?? '')?.[1] ?? '',
    };
  };
  const session = async (platform: Platform, body: Record<string, unknown>): Promise<string> =>
    (await platform.json<{ logplex_url: string }>('POST', '/apps/myapp/log-sessions', body)).logplex_url;

  it('gives the newest lines as text, filtered by dyno, type and source', async () => {
    const platform = await setup({});
    await platform.output('seq 1 5');
    await platform.output('echo other', { type: 'scheduler' });
    const lines = async (body: Record<string, unknown>) =>
      (await (await fetch(await session(platform, body))).text()).split('\n').slice(0, -1);
    expect(await lines({})).toHaveLength(14);
    expect(await lines({ lines: 3 })).toHaveLength(3);
    expect(await lines({ dyno: 'run.1' })).toHaveLength(9);
    expect(await lines({ dyno: 'run' })).toHaveLength(9);
    expect(await lines({ dyno: 'run', source: 'app' })).toHaveLength(5);
    expect(await lines({ dyno: 'scheduler', source: 'app' })).toEqual([expect.stringContaining('app[scheduler.1]: other')]);
    expect(await lines({ dyno: 'ru' })).toEqual([]);
  });

  it('needs no token for the URL, which is a secret, and knows no other', async () => {
    const platform = await setup({});
    const url = await session(platform, {});
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/logs\/[\w-]{43}$/);
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(`${url.slice(0, -1)}~`)).status).toBe(404);
  });

  it('follows with tail, and goes on after the last line that was seen', async () => {
    const platform = await setup({});
    await platform.output('echo before');
    const url = await session(platform, { tail: true, source: 'app' });
    const following = follow(url, 'second');
    await platform.output('echo first; sleep 0.05; echo second');
    const seen = await following;
    expect(seen.lines.map((line) => line.slice(line.indexOf(']: ') + 3))).toEqual(['before', 'first', 'second']);
    await platform.output('echo missed');
    const again = follow(url, 'third', seen.lastId);
    await platform.output('echo third');
    expect((await again).lines.map((line) => line.slice(line.indexOf(']: ') + 3))).toEqual(['missed', 'third']);
  });

  it('ends its readers when the platform stops', async () => {
    const platform = await setup({});
    const answer = await fetch(await session(platform, { tail: true }), { headers: { accept: 'text/event-stream' } });
    await platform.dynos.close();
    await expect(answer.text().catch(() => 'cut')).resolves.toBeTypeOf('string');
  });

  it('keeps more than 1,500 lines and no more than it can hold, through a flood too', async () => {
    const platform = await setup({});
    const { name } = await platform.run('seq 1 50000');
    await platform.ended(name);
    const lines = await platform.logs({ source: 'app' });
    expect(lines).toHaveLength(1500);
    expect(lines.at(-1)).toMatch(/: 50000$/);
    await platform.dynos.close();
    const again = await setup({}, { dir: platform.dir });
    await eventually('the history is there', async () => (await again.logs({ source: 'app' })).at(-1)?.endsWith(': 50000'));
  });
});

describe('output lines', () => {
  const linesOf = (chunks: (string | Buffer)[]): string[] => {
    const lines: string[] = [];
    const output = createOutputLines((line) => lines.push(line));
    for (const chunk of chunks) output.push(Buffer.from(chunk));
    output.end();
    return lines;
  };

  it('puts lines together across chunks and gives the unfinished last one', () => {
    expect(linesOf(['a\nb', 'c\r\n\n', 'd'])).toEqual(['a', 'bc', '', 'd']);
    expect(linesOf([])).toEqual([]);
  });

  it('puts characters together that are cut between chunks, and replaces what is no UTF-8', () => {
    const bytes = Buffer.from('grün\n');
    expect(linesOf([bytes.subarray(0, 3), bytes.subarray(3)])).toEqual(['grün']);
    expect(linesOf([Buffer.from([0x61, 0xff, 0x0a])])).toEqual(['a\ufffd']);
  });

  it('splits lines longer than 10,000 bytes, between characters', () => {
    expect(linesOf([`${'x'.repeat(25_000)}\n`]).map((line) => line.length)).toEqual([10_000, 10_000, 5_000]);
    const parts = linesOf(['ü'.repeat(4_000), 'a', 'ü'.repeat(4_000)]);
    expect(parts.join('')).toBe(`${'ü'.repeat(4_000)}a${'ü'.repeat(4_000)}`);
    for (const part of parts) expect(Buffer.byteLength(part)).toBeLessThanOrEqual(10_000);
  });
});

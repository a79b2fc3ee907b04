// What is made to hurt whoever reads it gets an answer that says what is wrong, and the next caller is served (reliability.md §B.8.5 and 6).
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuns } from '../../src/queues/runs.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId } from '../support/seed-runs.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';

let server: TestRedis;
let redis: Redis;
let web: TestWeb;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis({ path: server.socket });
  web = await openTestWeb(server);
});
afterAll(async () => {
  await web?.close();
  redis?.disconnect();
  await server?.stop();
});

/** Sends the bytes as they are. */
async function send(path: string, body: string): Promise<{ status: number; text: string }> {
  const response = await web.fetch(
    new Request(`http://127.0.0.1${path}`, {
      method: 'POST',
      headers: { host: '127.0.0.1', authorization: `Bearer ${web.token}`, 'content-type': 'application/json' },
      body,
    }),
  );
  return { status: response.status, text: await response.text() };
}
/** A run that was cancelled before it began. */
async function ended(name: string, title = 'plain', key = 'in/plain'): Promise<string> {
  const runId = seedId(name);
  const workflow = { title, run: [{ cmd: 'work' }] };
  const parsed = parseWorkflow(JSON.stringify(workflow));
  if (!parsed.ok) throw new Error(parsed.faults.map(({ message }) => message).join(' '));
  const runs = createRuns({ redis });
  const trigger = { bucket: `ld-private-${web.resource}`, key, versionId: `v-${name}`, etag: 'e', size: 1 };
  await runs.accept({ runId, resource: web.resource, trigger, workflow, plan: parsed.plan, cap: 1e9, depth: 0 });
  await runs.cancel(runId, 'test');
  return runId;
}
const validate = (body: string) => send('/v1/workflows/validate', body);
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const asText = (workflow: string) => JSON.stringify({ text: workflow });
const asValue = (workflow: string) => `{"workflow":${workflow}}`;
const keys = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join(',')}}`;
const steps = (count: number, wide: number) =>
  JSON.stringify({ run: Array.from({ length: count }, () => ({ parallel: Array.from({ length: wide }, () => ({ cmd: 'x' })) })) });

describe('a bomb', () => {
  it.each([
    ['a million levels', nested(1_000_000)],
    ['a number of a million digits', `{"run":[{"cmd":"x","timeout":${'9'.repeat(1_000_000)}}]}`],
  ])('of %s is too large to be read', async (_, workflow) => {
    expect(await validate(asValue(workflow))).toMatchObject({ status: 413, text: expect.stringContaining('request_too_large') });
  });

  it.each([
    ['200,000 levels', nested(200_000), /65536 bytes|at most 16 levels/],
    ['5,000 levels', nested(5_000), /at most 16 levels/],
    ['40,000 keys', keys(40_000), /65536 bytes/],
    ['a number of 400,000 digits', `{"run":[{"cmd":"x","timeout":${'9'.repeat(400_000)}}]}`, /65536 bytes|timeout/],
    ['100 steps of 3 tasks', steps(100, 3), /at most 200 tasks/],
    ['a wait of 1e12 seconds', '{"run":[{"cmd":"x","wait_for":1e12}]}', /wait_for/],
    ['a timeout of -1', '{"run":[{"cmd":"x","timeout":-1}]}', /timeout/],
    ['a timeout of 1e308', '{"run":[{"cmd":"x","timeout":1e308}]}', /timeout/],
    ['a timeout in text', '{"run":[{"cmd":"x","timeout":"60"}]}', /timeout/],
  ])('of %s is a workflow with a fault, as text and as JSON', async (_, workflow, says) => {
    for (const body of [asText(workflow), asValue(workflow)]) {
      const { status, text } = await validate(body);
      expect({ status, valid: JSON.parse(text).valid }).toEqual({ status: 200, valid: false });
      expect(text).toMatch(says);
      // an answer is no echo of the bomb
      expect(text.length).toBeLessThan(20_000);
    }
    expect(JSON.parse((await validate(asValue('{"run":[{"cmd":"x"}]}'))).text).valid).toBe(true);
  });

  it('of 200 steps of 200 tasks is too large as text, and has a fault as JSON', async () => {
    expect((await validate(asText(steps(200, 200)))).status).toBe(413);
    expect(await validate(asValue(steps(200, 200)))).toMatchObject({ status: 200, text: expect.stringContaining('65536 bytes') });
  });

  it('of thousands of levels is refused wherever a workflow is taken', async () => {
    const upload = await send('/v1/uploads', `{"key":"in/a","workflow":${nested(5_000)}}`);
    expect([upload.status, upload.text]).toEqual([422, expect.stringContaining('at most 16 levels')]);
    const runId = await ended('deep');
    const retry = await send(`/v1/runs/${runId}/retry`, `{"mode":"run","workflow":${nested(5_000)}}`);
    expect([retry.status, retry.text]).toEqual([422, expect.stringContaining('at most 16 levels')]);
  });

  it('of what is no JSON number says so', async () => {
    expect(JSON.parse((await validate(asText('{"run":[{"cmd":"x","timeout":NaN}]}'))).text)).toMatchObject({ valid: false });
    expect((await validate(asValue('{"run":[{"cmd":"x","timeout":NaN}]}'))).status).toBe(400);
  });
});

describe('text that wants to be more than text', () => {
  const evil = 'x\r\n\r\nevent: forged\r\ndata: {"n":999}\r\n\r\n\u001b[2J<script>alert(1)</script>';

  it('stays one value in answers, in lists and in streams', async () => {
    // what the schema refuses cannot come here at all
    const title = parseWorkflow(JSON.stringify({ title: evil, run: [{ cmd: 'work' }] })).ok ? evil : 'plain';
    const runId = await ended('evil', title, `in/${evil}`);
    const shown = (await (await web.call('GET', `/v1/runs/${runId}`)).json()) as { title: string; trigger: { key: string } };
    expect(shown).toMatchObject({ title, trigger: { key: `in/${evil}` } });
    const list = (await (await web.call('GET', '/v1/runs')).json()) as { runs: { trigger: { key: string } }[] };
    expect(list.runs.map((run) => run.trigger.key)).toContain(`in/${evil}`);
    const stream = await (await web.call('GET', `/v1/runs/${runId}/events`)).text();
    expect(stream).not.toMatch(/^event: forged/m);
    expect(stream).not.toContain('\u001b');
    for (const [, data = ''] of stream.matchAll(/^data: (.*)$/gm)) expect(() => JSON.parse(data) as unknown).not.toThrow();
    // a header is never made of it
    const link = await web.call('GET', `/v1/files/${encodeURIComponent(`in/${evil}`)}`);
    expect([...link.headers.values()].join('\n')).not.toContain('forged');
  });
});

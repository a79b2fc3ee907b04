// What an operator’s tools are told of runs: one trace each from the upload to its end.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { describe, expect, it, vi } from 'vitest';
import { openTracing } from '../../src/cli/tracing.ts';
import type { RunSpan } from '../../src/schema/run-spans.ts';
import { startWorld } from '../support/process-world.ts';
import { seedId } from '../support/seed-runs.ts';
import { until } from '../support/until.ts';

/** As much of an OTLP/JSON request as these tests look at. */
const Value = Type.Object({ stringValue: Type.Optional(Type.String()), intValue: Type.Optional(Type.Number()) });
const Span = Type.Object({
  traceId: Type.String(),
  spanId: Type.String(),
  parentSpanId: Type.Optional(Type.String()),
  name: Type.String(),
  startTimeUnixNano: Type.String(),
  endTimeUnixNano: Type.String(),
  attributes: Type.Array(Type.Object({ key: Type.String(), value: Value })),
  status: Type.Object({ code: Type.Number() }),
});
type Span = Static<typeof Span>;
const Request = Compile(
  Type.Object({ resourceSpans: Type.Array(Type.Object({ scopeSpans: Type.Array(Type.Object({ spans: Type.Array(Span) })) })) }),
);

/** A receiver as any OpenTelemetry collector is one. `answers`: when it takes what came. */
async function startCollector(answers: () => Promise<void> = async () => await Promise.resolve()) {
  const spans: Span[] = [];
  let asked = 0;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const parsed: unknown = JSON.parse(body);
      if (request.url === '/v1/traces' && Request.Check(parsed)) {
        asked += 1;
        spans.push(...parsed.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
        void answers().then(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
      } else response.writeHead(400).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    /** Requests that came. */
    asked: () => asked,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const attribute = (span: Span, key: string) => {
  const value = span.attributes.find((one) => one.key === key)?.value;
  return value?.stringValue ?? value?.intValue;
};
const ns = (text: string) => Number(BigInt(text) / 1_000_000n);

/** Whatever goes to the exporter's own default goes to COLLECTOR_PORT. */
const AS_DEFAULT = fileURLToPath(new URL('../support/default-collector.mjs', import.meta.url));

/** Milliseconds that an upload's event has waited before a worker sees it: as long as one that S3 was late with. */
const AGO_MS = 5_000;

describe('traces', () => {
  it('one per run, from the upload to the end, whatever happened in between', async () => {
    const collector = await startCollector();
    const world = await startWorld(
      {
        ok: (dyno) => dyno.output(5),
        flaky: (dyno) => (dyno.attempt === 1 ? dyno.exit(5, 1) : dyno.output(5)),
      },
      { storeAhead: -AGO_MS },
    );
    try {
      const worker = await world.startWorker('', { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '200' });
      const flaky = { cmd: 'flaky', name: 'Resize', timeout: 30, retries: 1, backoff: { type: 'fixed', delay: 0.05 } };
      const before = Date.now();
      const runId = await world.upload([{ cmd: 'ok', timeout: 30 }, { parallel: [flaky, { cmd: 'ok', timeout: 30 }] }]);
      const after = Date.now();
      const run = await world.ended(runId);
      expect(run.state).toBe('succeeded');
      const other = await world.upload([{ cmd: 'ok', timeout: 30 }]);
      await world.ended(other);
      const spansOf = (id: string) => {
        const root = collector.spans.find((span) => attribute(span, 'autofiles.run.id') === id);
        return collector.spans.filter((span) => span.traceId === root?.traceId);
      };
      await until('both traces', () => spansOf(runId).length > 1 && spansOf(other).length > 1);

      const spans = spansOf(runId);
      expect(spansOf(other)[0]?.traceId).not.toBe(spans[0]?.traceId);
      const roots = spans.filter((span) => !span.parentSpanId);
      expect(roots).toHaveLength(1);
      const root = roots[0];
      if (root === undefined) throw new Error('no root');
      // the event's time, which is the store's, and not when a worker came to it
      const uploaded = ns(root.startTimeUnixNano);
      expect(uploaded).toBeGreaterThanOrEqual(before - AGO_MS);
      expect(uploaded).toBeLessThanOrEqual(after - AGO_MS);
      const event = spans.find((span) => span.name === 'upload to acceptance');
      expect(event?.startTimeUnixNano).toBe(root.startTimeUnixNano);
      expect(ns(event?.endTimeUnixNano ?? '0')).toBe(Date.parse(run.created_at));
      expect(ns(root.endTimeUnixNano)).toBe(Date.parse(run.ended_at ?? ''));
      expect(attribute(root, 'autofiles.run.state')).toBe('succeeded');
      // every span hangs below the root and lies within it
      const ids = new Map(spans.map((span) => [span.spanId, span]));
      expect(ids.size).toBe(spans.length);
      for (const span of spans) {
        if (span !== root) expect(ids.has(span.parentSpanId ?? '')).toBe(true);
        expect(ns(span.startTimeUnixNano)).toBeGreaterThanOrEqual(ns(root.startTimeUnixNano));
        expect(ns(span.endTimeUnixNano)).toBeLessThanOrEqual(ns(root.endTimeUnixNano));
      }
      const names = spans.map((span) => span.name).sort();
      expect(names).toEqual(
        [
          'dyno',
          'dyno',
          'dyno',
          'dyno',
          'launch',
          'launch',
          'launch',
          'launch',
          'run',
          'task Resize',
          'task ok',
          'task ok',
          'upload to acceptance',
        ].sort(),
      );
      const resize = spans.find((span) => span.name === 'task Resize');
      const attempts = spans.filter((span) => span.parentSpanId === resize?.spanId && span.name === 'dyno');
      expect(attempts.map((span) => [attribute(span, 'autofiles.task.attempt'), span.status.code])).toEqual([
        [1, 2],
        [2, 1],
      ]);
      worker.signal('SIGTERM');
      expect(await worker.ended).toBe('0');
    } finally {
      await world.stop();
      await collector.close();
    }
  });

  it('none where no endpoint is set, also not to where the exporter would send by itself', async () => {
    const collector = await startCollector();
    const world = await startWorld({ ok: (dyno) => dyno.output(5) });
    /** What a worker with these settings has sent of one run when it has ended, which sends what is left. */
    const sent = async (env: Record<string, string>) => {
      const preload = { NODE_OPTIONS: `--import=${AS_DEFAULT}`, COLLECTOR_PORT: String(collector.port) };
      const worker = await world.startWorker('', { ...preload, ...env });
      expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 30 }]))).state).toBe('succeeded');
      worker.signal('SIGTERM');
      expect(await worker.ended).toBe('0');
      return collector.spans.splice(0).map(({ name }) => name);
    };
    try {
      expect(await sent({})).toEqual([]);
      expect(await sent({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toEqual([]);
      // had they been sent, they would have been seen
      expect(await sent({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' })).toContain('run');
    } finally {
      await world.stop();
      await collector.close();
    }
  });

  it.each([
    ['six of the largest runs', 6],
    ['more than can wait', 40],
  ])('are whole or not there while the collector is slow: %s', async (_what, runs) => {
    let take = () => {};
    const taken = new Promise<void>((resolve) => {
      take = resolve;
    });
    const collector = await startCollector(async () => await taken);
    vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', collector.url);
    try {
      const tracing = openTracing('test');
      const sent = Array.from({ length: runs }, (_, i) => tracing.send(seedId(`slow ${i}`), largeRun(seedId(`slow ${i}`))));
      await until('its first request', () => collector.asked() > 0);
      take();
      const size = largeRun('').length;
      const expected = sent.filter((all) => all).length;
      await tracing.close();
      const sizes = [...Map.groupBy(collector.spans, ({ traceId }) => traceId).values()].map((spans) => spans.length);
      expect(sizes).toEqual(Array.from({ length: expected }, () => size));
      expect(expected).toBeGreaterThanOrEqual(6);
      expect(expected).toBeLessThanOrEqual(30);
    } finally {
      vi.unstubAllEnvs();
      await collector.close();
    }
  });
});

/** The spans of a run of 200 tasks. */
function largeRun(runId: string): RunSpan[] {
  const span = (path: string, parent: string | undefined, name: string): RunSpan => ({
    path,
    parent,
    name,
    start: 1,
    end: 2,
    failed: false,
    attributes: { 'autofiles.run.id': runId },
    events: [],
  });
  const tasks = Array.from({ length: 200 }, (_, i) => `${runId}.0.${i}`);
  return [
    span('run', undefined, 'run'),
    ...tasks.flatMap((task) => [span(task, 'run', 'task'), span(`${task}/1`, task, 'launch'), span(`${task}/2`, task, 'dyno')]),
  ];
}

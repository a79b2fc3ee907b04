// OpenTelemetry traces, one per run, sent when it ends. Loaded only where an endpoint is set.
import { createHash } from 'node:crypto';
import { SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import { waitAtMost } from '../processors/wait-at-most.ts';
import type { RunSpan } from '../schema/run-spans.ts';

/** Milliseconds that the last spans may take to leave when the process stops. */
const FLUSH_MS = 3_000;
/** Spans of one request to the collector. */
const BATCH = 512;
/**
 * Spans that may wait to be sent, about a kilobyte each: more than one run can have (200 tasks with 21 attempts each come to 9,000), and in no more
 * batches than the exporter sends at the same time (30), which is what it is asked for when the process stops.
 */
const MAX_WAITING = 25 * BATCH;

export interface Tracing {
  /**
   * Queues the spans of an ended run, all of them or, where too many are waiting for the collector, none: a part of a trace would look like the whole.
   * Answers whether they were. The same run gives the same ids, so that what is sent twice is one trace.
   */
  send(runId: string, spans: readonly RunSpan[]): boolean;
  close(): Promise<void>;
}

/**
 * Sends to the OTLP endpoint that the standard variables name (OTEL_EXPORTER_OTLP_ENDPOINT or …_TRACES_ENDPOINT,
 * …_HEADERS), as JSON over HTTP. A trace that cannot be sent is dropped: nothing waits for it.
 */
export function openTracing(serviceName: string): Tracing {
  const collector = new OTLPTraceExporter();
  // the processor drops spans one by one and says nothing, so that it must never come to that
  let waiting = 0;
  const exporter: SpanExporter = {
    export: (spans, done) => {
      waiting -= spans.length;
      collector.export(spans, done);
    },
    forceFlush: async () => await collector.forceFlush(),
    shutdown: async () => await collector.shutdown(),
  };
  const processor = new BatchSpanProcessor({ exporter, maxQueueSize: MAX_WAITING, maxExportBatchSize: BATCH });
  const resource = resourceFromAttributes({ 'service.name': serviceName });
  return {
    send: (runId, spans) => {
      if (waiting + spans.length > MAX_WAITING) return false;
      waiting += spans.length;
      const traceId = idOf(`trace ${runId}`, 32);
      for (const span of spans) processor.onEnd(readable(span, runId, traceId, resource));
      return true;
    },
    close: () => waitAtMost(FLUSH_MS, processor.shutdown()),
  };
}

function readable(span: RunSpan, runId: string, traceId: string, resource: ReadableSpan['resource']): ReadableSpan {
  const context = (path: string) => ({ traceId, spanId: idOf(`${runId} ${path}`, 16), traceFlags: TraceFlags.SAMPLED });
  const own = context(span.path);
  return {
    name: span.name,
    kind: span.parent === undefined ? SpanKind.CONSUMER : span.name === 'launch' ? SpanKind.CLIENT : SpanKind.INTERNAL,
    spanContext: () => own,
    ...(span.parent === undefined ? {} : { parentSpanContext: context(span.parent) }),
    startTime: hrTime(span.start),
    endTime: hrTime(span.end),
    duration: hrTime(span.end - span.start),
    status: { code: span.failed ? SpanStatusCode.ERROR : SpanStatusCode.OK },
    attributes: { ...span.attributes },
    links: [],
    events: span.events.map(({ name, at, detail }) => ({ name, time: hrTime(at), attributes: detail === '' ? {} : { detail } })),
    ended: true,
    resource,
    instrumentationScope: { name: 'autofiles' },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): [number, number] {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
}

function idOf(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}

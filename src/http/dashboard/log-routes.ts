// Logs of dynos: as a page, as text, and as a stream that follows.
import { type Context, Hono } from 'hono';
import { Failure, messageOf } from '../../schema/failures.ts';
import type { RunView } from '../../schema/run-view.ts';
import type { Streams } from '../streams.ts';
import { readLogLine } from './log-lines.ts';
import { logPage } from './log-page.ts';
import { ownRun, type ShowsRuns } from './run-routes.ts';
import { type TaskTimeline, timelineOf } from './timeline.ts';
import { showPage, type VisitEnv } from './visit.ts';

/** Where the lines of dynos come from. */
export interface LogSource {
  /**
   * The dyno's newest lines, oldest first. Names of dynos come round again: lines before `after` (ms since 1970) are
   * another one's. Throws Failure where the platform gives none.
   */
  read(order: { resource: string; dyno: string; after: number }, signal: AbortSignal): Promise<readonly string[]>;
  /** The same and then every further line, until the signal ends it. */
  follow(order: { resource: string; dyno: string; after: number }, signal: AbortSignal): AsyncIterable<string>;
}

export interface LogDeps extends ShowsRuns {
  readonly streams: Streams;
  readonly logs: LogSource;
  readonly now: () => number;
}

/** Clocks of the platform and of Redis may differ by this much, ms. */
const CLOCKS_MS = 5_000;
/** Lines in one message of a stream. */
const LINES_A_MESSAGE = 200;
/** Milliseconds in which lines are gathered into one message. */
const GATHER_MS = 40;

/** `/runs/:id/tasks/:task/log` with `text` and `stream`; `?attempt=` picks one, the newest without it. */
export function logRoutes(deps: LogDeps): Hono<VisitEnv> {
  const routes = new Hono<VisitEnv>();
  const base = '/runs/:id/tasks/:task/log';

  routes.get(base, async (c) => {
    const asked = await find(deps, c);
    const { run, row, attempt, dyno } = asked;
    try {
      const lines = (await deps.logs.read(asked, c.req.raw.signal)).map(readLogLine);
      return showPage(c, logPage(c.var.visit.view, { run, row, attempt, dyno, log: { lines } }));
    } catch (error) {
      return showPage(c, logPage(c.var.visit.view, { run, row, attempt, dyno, log: { unavailable: messageOf(error) } }));
    }
  });

  routes.get(`${base}/text`, async (c) => {
    const asked = await find(deps, c);
    const lines = await deps.logs.read(asked, c.req.raw.signal);
    return c.body(`${lines.join('\n')}\n`, 200, {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'content-disposition': `attachment; filename="${asked.run.id}-${asked.row.step}.${asked.row.index}-${asked.dyno}.log"`,
    });
  });

  // Messages `lines`: [[at, platform, [[text, classes], …]], …]; `unavailable`: why there are none; `end`: no more will come.
  routes.get(`${base}/stream`, async (c) => {
    const asked = await find(deps, c);
    return deps.streams.open(c, c.var.visit.caller, async (stream) => {
      const ending = new AbortController();
      stream.ending.addEventListener('abort', () => ending.abort());
      const waiting: unknown[] = [];
      let timer: NodeJS.Timeout | undefined;
      const flush = async (): Promise<void> => {
        clearTimeout(timer);
        timer = undefined;
        while (waiting.length > 0 && !stream.ending.aborted) {
          await stream.write({ event: 'lines', data: JSON.stringify(waiting.splice(0, LINES_A_MESSAGE)) });
        }
      };
      try {
        for await (const line of deps.logs.follow(asked, ending.signal)) {
          const { at, platform, pieces } = readLogLine(line);
          waiting.push([at, platform, pieces]);
          if (waiting.length >= LINES_A_MESSAGE) await flush();
          else timer ??= setTimeout(() => void flush().catch(() => ending.abort()), GATHER_MS);
          if (platform && pieces.some(([text]) => text.startsWith('Process exited with status'))) break;
        }
        await flush();
        await stream.write({ event: 'end', data: '' });
      } catch (error) {
        if (!stream.ending.aborted) {
          await flush();
          await stream.write({ event: 'unavailable', data: messageOf(error) });
        }
      } finally {
        clearTimeout(timer);
        ending.abort();
      }
    });
  });

  return routes;
}

interface Asked {
  readonly run: RunView;
  readonly row: TaskTimeline;
  readonly attempt: number;
  readonly resource: string;
  readonly dyno: string;
  readonly after: number;
}

async function find(deps: LogDeps, c: Context<VisitEnv>): Promise<Asked> {
  const run = await ownRun(deps, c);
  const row = timelineOf(run, deps.now()).tasks.find(({ step, index }) => `${step}.${index}` === c.req.param('task'));
  if (row === undefined) throw new Failure('not_found', `Run ${run.id} has no task ${c.req.param('task')}.`);
  const wanted = c.req.query('attempt');
  const attempt = row.attempts.findLast(({ number, dyno }) => dyno !== null && (wanted === undefined || String(number) === wanted));
  const launched = attempt?.segments.find(({ phase }) => phase === 'launching');
  if (attempt?.dyno === undefined || attempt.dyno === null) throw new Failure('not_found', 'That attempt had no dyno.');
  return {
    run,
    row,
    attempt: attempt.number,
    resource: run.resource,
    dyno: attempt.dyno,
    after: (launched?.from ?? Date.parse(run.created_at)) - CLOCKS_MS,
  };
}

import { setTimeout as delay } from 'node:timers/promises';
import { formatLogLine, type LogFilter, type LogStore } from './log-store.ts';
import type { LogLine } from './platform-state.ts';

/** What a log session shows: the newest `lines` that pass the filter, and with `tail` all that come after. */
export interface LogSession extends LogFilter {
  id: string;
  secret: string;
  lines: number;
  tail: boolean;
}

/** Open log sessions; the secret in a session's URL is all that is needed to read it. */
export interface LogSessions {
  open(session: Omit<LogSession, 'id' | 'secret'>): LogSession;
  find(secret: string): LogSession | undefined;
  /** The session's lines as a body: server-sent events (each with its id, so that a reader can resume after it) or plain text. */
  read(session: LogSession, form: 'events' | 'text', resumeAfter: number | undefined): ReadableStream<Uint8Array>;
  /** Ends all readers. */
  close(): void;
}

// A session that nobody reads for this long is forgotten; a lost reader may come back within it.
const idleMs = 5 * 60_000;
// Proxies and clients take a silent connection for a dead one.
const heartbeatMs = 15_000;
const linesPerChunk = 200;

/** Makes the log sessions of one app. */
export function createLogSessions(deps: { log: LogStore; id: () => string; secret: () => string; now: () => number }): LogSessions {
  const { log } = deps;
  const sessions = new Map<string, { session: LogSession; readers: number; idleSince: number }>();
  const ending = new AbortController();

  const forgetIdle = (): void => {
    for (const [secret, { readers, idleSince }] of sessions) {
      if (readers === 0 && deps.now() - idleSince > idleMs) sessions.delete(secret);
    }
  };
  return {
    open(wanted) {
      forgetIdle();
      const session = { ...wanted, id: deps.id(), secret: deps.secret() };
      sessions.set(session.secret, { session, readers: 0, idleSince: deps.now() });
      return session;
    },
    find(secret) {
      forgetIdle();
      return sessions.get(secret)?.session;
    },
    read(session, form, resumeAfter) {
      const entry = sessions.get(session.secret);
      if (entry !== undefined) entry.readers += 1;
      const stopped = new AbortController();
      const left = (): void => {
        if (stopped.signal.aborted) return;
        stopped.abort();
        if (entry === undefined) return;
        entry.readers -= 1;
        entry.idleSince = deps.now();
      };
      const encoder = new TextEncoder();
      const encode = (lines: readonly LogLine[]): Uint8Array => encoder.encode(lines.map((line) => inForm(line, form)).join(''));
      const signal = AbortSignal.any([stopped.signal, ending.signal]);
      // Taken before the history is read, so that no line falls between the two.
      let cursor = Math.min(resumeAfter ?? log.lastSeq(), log.lastSeq());
      return new ReadableStream<Uint8Array>(
        {
          start(controller) {
            if (form === 'events') controller.enqueue(encoder.encode(': connected\n\n'));
            const history = resumeAfter === undefined ? log.newest(session.lines, session) : [];
            if (history.length > 0) controller.enqueue(encode(history));
            if (session.tail || resumeAfter !== undefined) return;
            left();
            controller.close();
          },
          // Called only when the reader has room: a slow one holds no lines here, and learns how many it missed.
          async pull(controller) {
            while (!signal.aborted) {
              const { lines, missed, next } = log.after(cursor, linesPerChunk, session);
              cursor = next;
              if (missed > 0) controller.enqueue(encoder.encode(missedText(missed, form)));
              if (lines.length > 0) controller.enqueue(encode(lines));
              if (lines.length > 0 || missed > 0) return;
              if (!session.tail) break;
              if (!(await heartbeatOr(log.changed(cursor, signal)))) continue;
              if (form === 'events' && !signal.aborted) controller.enqueue(encoder.encode(': waiting\n\n'));
              return;
            }
            left();
            controller.close();
          },
          cancel: left,
        },
        { highWaterMark: 1 },
      );
    },
    close: () => ending.abort(),
  };
}

// True when nothing came for a heartbeat's time.
async function heartbeatOr(change: Promise<void>): Promise<boolean> {
  const changed = new AbortController();
  const silent = delay(heartbeatMs, true, { signal: changed.signal }).catch(() => false);
  const result = await Promise.race([change.then(() => false), silent]);
  changed.abort();
  return result;
}

function inForm(line: LogLine, form: 'events' | 'text'): string {
  const text = formatLogLine(line);
  return form === 'text' ? `${text}\n` : `id: ${line.seq}\ndata: ${text.replaceAll('\r', ' ')}\n\n`;
}

function missedText(missed: number, form: 'events' | 'text'): string {
  const text = `heroku[logplex]: Error L10 (output buffer overflow): ${missed} messages dropped`;
  return form === 'text' ? `${text}\n` : `data: ${text}\n\n`;
}

import type { Database } from '../database.ts';
import { numberAttribute, redrivePolicy } from './queue-attributes.ts';
import { noQueue, type Queue, type Queues } from './queues.ts';
import { SqsError } from './sqs-error.ts';
import { createWaiters } from './waiters.ts';

/** What a client may attach to a message: a typed value, binary ones in base64. */
export type MessageAttribute = { DataType: string; StringValue?: string; BinaryValue?: string };

/** What travels beside the body: the client's attributes, and what the queue itself knows. */
type MessageExtras = { attributes?: Record<string, MessageAttribute>; traceHeader?: string; deadLetterSource?: string };

/** A message handed out. Times in milliseconds since 1970. */
export type DeliveredMessage = {
  messageId: string;
  receiptHandle: string;
  body: string;
  sender: string;
  sent: number;
  firstReceived: number;
  receives: number;
  extras: MessageExtras;
};

/** How many messages can be had now, are being worked on, and wait for their delay. */
type MessageCounts = { visible: number; inFlight: number; delayed: number };

/** The messages of all queues. */
export type Messages = {
  /** Keeps a message and wakes whoever waits for it; inside a transaction, once that is committed. Returns its id. */
  send(queue: Queue, message: { body: string; sender: string; delayMs: number; extras?: MessageExtras }): string;
  /**
   * Hands out up to `max` messages, waiting up to `waitMs` for the first one. Returns none when `signal` aborts; a message
   * found for a client that is gone is not handed out.
   */
  receive(queue: Queue, options: { max: number; visibilityMs: number; waitMs: number; signal: AbortSignal }): Promise<DeliveredMessage[]>;
  /** Deletes; a handle of an earlier receive changes nothing, as on AWS. Throws SqsError ReceiptHandleIsInvalid for a handle that is none. */
  remove(queue: Queue, receiptHandle: string): void;
  /** Throws SqsError MessageNotInflight or ReceiptHandleIsInvalid. */
  changeVisibility(queue: Queue, receiptHandle: string, visibilityMs: number): void;
  counts(queue: Queue): MessageCounts;
  purge(queue: Queue): void;
  /** To be called when the queue was removed: whoever waits at it hears SqsError QueueDoesNotExist at once. */
  endWaits(queue: Queue): void;
  /** Runs several of the above in one transaction. */
  together(work: () => void): void;
  /** Answers everybody who waits with nothing. */
  close(): void;
};

type MessageRow = {
  id: number;
  message_id: string;
  body: string;
  attributes: string | null;
  sender: string;
  sent: number;
  receives: number;
  first_received: number | null;
};

// Messages past their retention are looked for this often, not on every receive.
const SWEEP_MS = 60_000;

/** Opens the messages kept in the store's file. */
export function openMessages(deps: { db: Database; queues: Queues; now: () => number; id: () => string; token: () => string }): Messages {
  const { db, queues, now, id, token } = deps;
  const insert = db.command(
    `INSERT INTO messages (queue, message_id, body, attributes, sender, sent, visible, received, receives) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)`,
  );
  const ready = db.query<MessageRow>(
    `SELECT id, message_id, body, attributes, sender, sent, receives, first_received FROM messages
     WHERE queue = ? AND visible <= ? ORDER BY visible, received, id LIMIT ?`,
  );
  const take = db.command('UPDATE messages SET visible = ?, received = 1, receives = ?, first_received = ?, receipt = ? WHERE id = ?');
  const bury = db.command('UPDATE messages SET queue = ?, visible = ?, received = 0, receipt = NULL, attributes = ? WHERE id = ?');
  const removeOne = db.command('DELETE FROM messages WHERE id = ? AND queue = ? AND receipt = ?');
  const show = db.command('UPDATE messages SET visible = ? WHERE id = ? AND queue = ? AND receipt = ? AND visible > ?');
  const countVisible = db.query<{ n: number }>('SELECT count(*) AS n FROM messages WHERE queue = ? AND visible <= ?');
  const countHidden = db.query<{ n: number; received: number | null }>(
    'SELECT count(*) AS n, sum(received) AS received FROM messages WHERE queue = ? AND visible > ?',
  );
  const nextVisible = db.query<{ visible: number | null }>('SELECT min(visible) AS visible FROM messages WHERE queue = ?');
  const removeAll = db.command('DELETE FROM messages WHERE queue = ?');
  const removeOld = db.command('DELETE FROM messages WHERE queue = ? AND sent < ?');
  const swept = new Map<number, number>();
  const waiters = createWaiters({ now, nextVisible: (queue) => nextVisible.get(queue)?.visible ?? undefined });

  function sweep(queue: Queue, time: number): void {
    if (time - (swept.get(queue.id) ?? 0) < SWEEP_MS) return;
    swept.set(queue.id, time);
    removeOld(queue.id, time - numberAttribute(queue.attributes, 'MessageRetentionPeriod') * 1000);
  }

  function takeReady(queue: Queue, max: number, visibilityMs: number): DeliveredMessage[] {
    const time = now();
    sweep(queue, time);
    // Most polls find nothing: they need no transaction.
    if (!ready.get(queue.id, time, 1)) return [];
    const policy = redrivePolicy(queue.attributes);
    const target = policy && queues.findByArn(policy.deadLetterTargetArn);
    // a policy that an older version took may name its own queue: what it buried would be found again at once, for ever
    const grave = target?.id === queue.id ? undefined : target;
    return db.transaction(() => {
      const taken: DeliveredMessage[] = [];
      for (;;) {
        const rows = ready.all(queue.id, time, max - taken.length);
        for (const row of rows) {
          if (policy && grave && row.receives >= policy.maxReceiveCount) moveToGrave(row, queue, grave, time);
          else taken.push(deliver(row, queue, time, visibilityMs));
        }
        // Messages that went to the dead-letter queue leave room for others.
        if (rows.length === 0 || taken.length >= max || taken.length === rows.length) return taken;
      }
    });
  }

  function deliver(row: MessageRow, queue: Queue, time: number, visibilityMs: number): DeliveredMessage {
    const nonce = token();
    const firstReceived = row.first_received ?? time;
    take(time + visibilityMs, row.receives + 1, firstReceived, nonce, row.id);
    return {
      messageId: row.message_id,
      receiptHandle: writeHandle(queue.id, row.id, nonce),
      body: row.body,
      sender: row.sender,
      sent: row.sent,
      firstReceived,
      receives: row.receives + 1,
      extras: readExtras(row.attributes),
    };
  }

  function moveToGrave(row: MessageRow, queue: Queue, grave: Queue, time: number): void {
    const extras: MessageExtras = { ...readExtras(row.attributes), deadLetterSource: queue.arn };
    bury(grave.id, time, JSON.stringify(extras), row.id);
    db.afterCommit(() => waiters.wake(grave.id));
  }

  return {
    send(queue, { body, sender, delayMs, extras }) {
      const time = now();
      const messageId = id();
      insert(queue.id, messageId, body, extras ? JSON.stringify(extras) : null, sender, time, time + delayMs);
      db.afterCommit(() => waiters.wake(queue.id));
      return messageId;
    },
    async receive(queue, { max, visibilityMs, waitMs, signal }) {
      const attempt = (): DeliveredMessage[] | undefined => {
        const taken = takeReady(queue, max, visibilityMs);
        return taken.length > 0 ? taken : undefined;
      };
      if (waitMs === 0) return attempt() ?? [];
      return (await waiters.until(queue.id, attempt, waitMs, signal)) ?? [];
    },
    remove(queue, receiptHandle) {
      const handle = readHandle(queue, receiptHandle);
      removeOne(handle.message, queue.id, handle.nonce);
    },
    changeVisibility(queue, receiptHandle, visibilityMs) {
      const handle = readHandle(queue, receiptHandle);
      const time = now();
      if (show(time + visibilityMs, handle.message, queue.id, handle.nonce, time).changes === 0) {
        throw new SqsError(
          'MessageNotInflight',
          'The specified message is not in flight: it was deleted, received again, or is visible again.',
        );
      }
      db.afterCommit(() => waiters.wake(queue.id));
    },
    counts(queue) {
      const time = now();
      sweep(queue, time);
      const hidden = countHidden.get(queue.id, time);
      const inFlight = hidden?.received ?? 0;
      return { visible: countVisible.get(queue.id, time)?.n ?? 0, inFlight, delayed: (hidden?.n ?? 0) - inFlight };
    },
    purge(queue) {
      removeAll(queue.id);
    },
    endWaits(queue) {
      swept.delete(queue.id);
      waiters.fail(queue.id, noQueue(queue.name));
    },
    together: (work) => db.transaction(work),
    close: () => waiters.close(),
  };
}

function readExtras(text: string | null): MessageExtras {
  // The text was written by `send` above, from checked attributes.
  return text === null ? {} : (JSON.parse(text) as MessageExtras);
}

function writeHandle(queue: number, message: number, nonce: string): string {
  return Buffer.from(`${queue}.${message}.${nonce}`).toString('base64');
}

function readHandle(queue: Queue, receiptHandle: string): { message: number; nonce: string } {
  const match = /^(\d+)\.(\d+)\.(.+)$/.exec(Buffer.from(receiptHandle, 'base64').toString('utf8'));
  if (!match?.[3] || Number(match[1]) !== queue.id) {
    throw new SqsError(
      'ReceiptHandleIsInvalid',
      `The input receipt handle ${JSON.stringify(receiptHandle.slice(0, 80))} is not a valid receipt handle of this queue.`,
    );
  }
  return { message: Number(match[2]), nonce: match[3] };
}

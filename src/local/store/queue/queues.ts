import { ACCOUNT_ID } from '../credentials.ts';
import { type Database, idsOf } from '../database.ts';
import { checkAttributes, type QueueAttributes, redrivePolicy } from './queue-attributes.ts';
import { SqsError } from './sqs-error.ts';

/** A queue as every request needs it. Times in milliseconds since 1970. */
export type Queue = { id: number; name: string; arn: string; created: number; modified: number; attributes: QueueAttributes };

/** The queues of the store. */
export type Queues = {
  /** The queue of an address such as `http://127.0.0.1:4566/000000000000/events`. Throws SqsError QueueDoesNotExist. */
  byUrl(url: string): Queue;
  /** Throws SqsError QueueDoesNotExist. */
  byName(name: string): Queue;
  findByArn(arn: string): Queue | undefined;
  /** In the order of their names. */
  list(prefix: string): Queue[];
  /** Makes a queue, or returns the one there is when its attributes agree; throws SqsError QueueNameExists when they do not. */
  create(name: string, attributes: QueueAttributes): Queue;
  setAttributes(queue: Queue, attributes: QueueAttributes): void;
  /** Removes the queue and all its messages. */
  remove(queue: Queue): void;
};

type QueueRow = { id: number; name: string; created: number; modified: number; attributes: string };

/** Opens the queues kept in the store's file, held in memory too. */
export function openQueues(deps: { db: Database; now: () => number; region: string }): Queues {
  const { db, now, region } = deps;
  const insert = db.command('INSERT INTO queues (id, name, created, modified, attributes) VALUES (?, ?, ?, ?, ?)');
  const nextId = idsOf(db, 'queues');
  const update = db.command('UPDATE queues SET attributes = ?, modified = ? WHERE id = ?');
  const removeRow = db.command('DELETE FROM queues WHERE id = ?');
  const removeMessages = db.command('DELETE FROM messages WHERE queue = ?');
  const arnOf = (name: string): string => `arn:aws:sqs:${region}:${ACCOUNT_ID}:${name}`;
  const named = new Map<string, Queue>();
  for (const row of db.query<QueueRow>('SELECT * FROM queues').all()) {
    // The text was written by this module below, from checked attributes.
    named.set(row.name, { ...row, arn: arnOf(row.name), attributes: JSON.parse(row.attributes) as QueueAttributes });
  }

  function byName(name: string): Queue {
    const queue = named.get(name);
    if (!queue) throw noQueue(name);
    return queue;
  }

  function checkTarget(attributes: QueueAttributes, own: string): void {
    const target = redrivePolicy(attributes)?.deadLetterTargetArn;
    if (target === own) throw new SqsError('InvalidParameterValueException', `The dead-letter queue ${target} is the queue itself.`);
    if (target === undefined || findByArn(target)) return;
    throw new SqsError(
      'InvalidParameterValueException',
      `The dead-letter queue ${target} of the RedrivePolicy does not exist: create it first.`,
    );
  }

  function findByArn(arn: string): Queue | undefined {
    const name = arn.slice(arn.lastIndexOf(':') + 1);
    return arn === arnOf(name) ? named.get(name) : undefined;
  }

  return {
    byUrl(url) {
      const path = /^https?:\/\/[^/]+\/(.*)$/.exec(url)?.[1] ?? url;
      const [account, name, ...rest] = path.split('/');
      if (account !== ACCOUNT_ID || !name || rest.length > 0) {
        throw new SqsError('InvalidAddress', `The address ${url} is not valid for this endpoint; expected …/${ACCOUNT_ID}/NAME.`);
      }
      return byName(name);
    },
    byName,
    findByArn,
    list: (prefix) => [...named.values()].filter(({ name }) => name.startsWith(prefix)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    create(name, attributes) {
      if (!/^[A-Za-z0-9_-]{1,80}$/.test(name)) {
        throw new SqsError(
          'InvalidParameterValueException',
          name.endsWith('.fifo')
            ? 'This store has standard queues only (S3 cannot send to a FIFO queue).'
            : 'Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length',
        );
      }
      checkAttributes(attributes);
      checkTarget(attributes, arnOf(name));
      const existing = named.get(name);
      if (existing) {
        const differs = Object.entries(attributes).find(([key, value]) => existing.attributes[key] !== value);
        if (!differs) return existing;
        throw new SqsError(
          'QueueNameExists',
          `A queue already exists with the same name and a different value for attribute ${differs[0]}`,
        );
      }
      const created = now();
      const id = nextId();
      insert(id, name, created, created, JSON.stringify(attributes));
      const queue = { id, name, arn: arnOf(name), created, modified: created, attributes };
      named.set(name, queue);
      return queue;
    },
    setAttributes(queue, attributes) {
      checkAttributes(attributes);
      checkTarget(attributes, queue.arn);
      const merged = { ...queue.attributes, ...attributes };
      for (const [name, value] of Object.entries(merged)) if (value === '') delete merged[name];
      const modified = now();
      update(JSON.stringify(merged), modified, queue.id);
      queue.attributes = merged;
      queue.modified = modified;
    },
    remove(queue) {
      db.transaction(() => {
        removeMessages(queue.id);
        removeRow(queue.id);
        db.afterCommit(() => named.delete(queue.name));
      });
    },
  };
}

/** SqsError QueueDoesNotExist. */
export function noQueue(name: string): SqsError {
  return new SqsError('QueueDoesNotExist', `The specified queue ${JSON.stringify(name)} does not exist.`);
}

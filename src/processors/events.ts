// Every message of the event queue ends in exactly one recorded decision per event; a message is called done only when
// that decision stands in Redis and the bell was rung.
import type { MessageVerdict, ObjectHead, ObjectStore, QueueMessage } from '../clients/ports.ts';
import { digestOf, MEMORY_MS, outputDigestOf } from '../queues/identity.ts';
import { isRedisOutage } from '../queues/redis-outage.ts';
import type { Resource } from '../queues/resources.ts';
import { type OutputRef, refOf } from '../queues/run-record.ts';
import { Failure, failureKind, messageOf } from '../schema/failures.ts';
import type { VersionRef } from '../schema/ledger-view.ts';
import { type ObjectMetadata, readMetadata } from '../schema/metadata.ts';
import { isOwnObject } from '../schema/own-objects.ts';
import { type ObjectCreated, parseEvents } from '../schema/s3-event.ts';
import type { EventDeps } from './event-deps.ts';
import { putOff } from './put-off.ts';
import { startRun } from './start-run.ts';

/** Runs that may lead to one another, each by an output that starts the next; as many as Lambda allows. */
const MAX_DEPTH = 16;
/** Tries after which an event that always fails is set aside, so that it cannot hold the queue for ever. */
const MAX_TRIES = 8;
/**
 * Milliseconds, 15 minutes: how long after a bucket was versioned S3 may not find what is there (User Guide, "Enabling versioning on buckets"). A version
 * is younger than that.
 */
const UNFOUND_MS = 900_000;
/**
 * Pages of a thousand versions and delete markers that are searched for a version which S3 does not find, and milliseconds for each: while they are
 * read the consumer looks as if it had stalled, which it may for a minute.
 */
const LIST_PAGES = 5;
const LIST_MS = 5_000;
/** Where decisions about buckets of nobody are kept. */
const NOBODY = '-';

/** Handles batches of queue messages, all of a batch at the same time. Never throws. */
export function createEventHandler(deps: EventDeps) {
  return async (messages: readonly QueueMessage[]): Promise<readonly MessageVerdict[]> =>
    await Promise.all(messages.map((message) => handleMessage(deps, message)));
}

const DONE: MessageVerdict = { done: true };

async function handleMessage(deps: EventDeps, message: QueueMessage): Promise<MessageVerdict> {
  try {
    const parsed = parseEvents(message.body);
    if (parsed.kind === 'test') return DONE;
    if (parsed.kind === 'invalid') {
      await deps.runs.decide(0, NOBODY, 'quarantined', { reason: parsed.fault, body: message.body.slice(0, 1000) });
      return DONE;
    }
    for (const { reason } of parsed.skipped) {
      await deps.runs.decide(0, NOBODY, 'ignored');
      deps.log.info({ messageId: message.id, reason }, 'skipped a record');
    }
    // an export of our own is nobody's event: nothing is decided of it
    const events = parsed.events.filter(({ key }) => !isOwnObject(key));
    if (events.length === 0) return DONE;
    // one record's trouble must not keep the others back; the message comes again for those that need it
    deps.failpoint('events.received');
    const results = await Promise.allSettled(events.map((event) => decideAtLast(deps, event, message.receiveCount)));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    deps.failpoint('events.decided');
    return DONE;
  } catch (error) {
    const againIn = putOff(message.receiveCount);
    deps.log.warn({ messageId: message.id, receiveCount: message.receiveCount, againIn, error: messageOf(error) }, 'event not decided yet');
    return { done: false, againIn };
  }
}

/**
 * Decides one event, by whomever it was brought; `receiveCount` counts from 1.
 * An event that cannot be decided now throws, and comes back soon with its message; one that never can is set aside at
 * last, where its owner sees it. An outage is nobody's fault and lasts as long as it lasts.
 */
export async function decideAtLast(deps: EventDeps, event: ObjectCreated, receiveCount: number): Promise<void> {
  const { bucket, key, versionId } = event;
  const version = { bucket, key, versionId: versionId ?? '' };
  try {
    await decide(deps, event, receiveCount);
    // at its first receive it has not failed yet, and nothing more is asked of Redis
    if (receiveCount > 1) await deps.runs.decidedAtLast(version);
    if (event.time !== undefined) deps.telemetry.eventDecided(deps.now() - event.time);
  } catch (error) {
    if ((error instanceof Failure && error.retry) || isRedisOutage(error)) throw error;
    // counted apart from the receives: those of an outage were no tries, and after many of them one fault that heals would be the last
    const tries = await deps.runs.failedToDecide(version);
    if (tries < MAX_TRIES) throw error;
    const owner = (await deps.resources.ofBucket(bucket))?.id ?? NOBODY;
    // the owner reads it: what an error says that is none of ours, or of what caused it, may name what is no owner's, and is for the log
    const said = error instanceof Failure ? error.message : failureKind('internal').message;
    const entry = { reason: `Its event could not be decided in ${tries} tries: ${said}`, bucket, key, version_id: version.versionId };
    await deps.runs.decide(0, owner, 'quarantined', entry, version);
    deps.log.error({ bucket, key, error: messageOf(error) }, 'event set aside');
  }
}

/** What is written beside a decision. */
interface Beside {
  /** Shows the owner what is wrong with the object. */
  note(reason: string): Promise<void>;
  /** Accounts for the version, where no run of its own does: last, and only on the Redis that has all of the decision. */
  account(): Promise<void>;
}

async function decide(deps: EventDeps, event: ObjectCreated, receiveCount: number): Promise<void> {
  await deps.recall?.settled();
  const whole = deps.recall?.whole();
  const server = deps.recall?.server();
  // ioredis sends to the next Redis what the one before did not answer, and that one may have been rolled back to before what it did
  const unbroken = () => {
    if (deps.recall?.whole() !== whole)
      throw new Failure('redis_unavailable', 'The connection broke while an event was decided; a part of the decision may be lost.');
  };
  const resource = await deps.resources.ofBucket(event.bucket);
  const place = { bucket: event.bucket, key: event.key, version_id: event.versionId ?? '' };
  if (resource === undefined) {
    await deps.recall?.settled(true);
    // a bucket's first events may come before its record is written
    if (receiveCount <= 3) throw new Failure('conflict', `No resource owns the bucket ${event.bucket} yet.`);
    return await deps.runs.decide(0, NOBODY, 'quarantined', { reason: 'no resource owns this bucket', ...place });
  }
  const version = { bucket: event.bucket, key: event.key, versionId: event.versionId ?? '' };
  const quarantine = (reason: string) => deps.runs.decide(0, resource.id, 'quarantined', { reason, ...place }, version);
  if (event.versionId === undefined || event.versionId === 'null') return await quarantine('the bucket is not versioned');
  if (event.time !== undefined && deps.now() - event.time > MEMORY_MS) {
    return await quarantine('the event is older than 15 days, too old to know whether it was handled');
  }
  const head = await deps.store.head(event.bucket, event.key, event.versionId);
  if (head === undefined) return await ignoreGone(deps, resource, { ...version, time: event.time });
  await decideObject(deps, resource, { ...event, versionId: event.versionId }, head, {
    note: (reason) => deps.runs.decide(0, resource.id, 'quarantined', { reason, ...place }),
    account: () => deps.runs.account(resource.id, version, server),
  });
  unbroken();
}

/** For an object that is not there any more. It may have gone with its bucket: a resource that was removed keeps no account. */
async function ignoreGone(deps: EventDeps, resource: Resource, version: VersionRef & { time?: number | undefined }): Promise<void> {
  if (await deps.resources.gone(resource.id)) return;
  // a 404 is believed when the list says the same, or says nothing soon and the bucket is not new any more
  const listed = await isListed(deps.store, version);
  const said = `S3 does not find version ${version.versionId} of ${JSON.stringify(version.key)}`;
  if (listed) throw new Failure('s3_unavailable', `${said}, and lists it.`);
  if (listed === undefined && version.time !== undefined && deps.now() - version.time < UNFOUND_MS)
    throw new Failure('s3_unavailable', `${said}, and has more of that key than ${LIST_PAGES} pages.`);
  await deps.runs.decide(0, resource.id, 'ignored', undefined, version);
}

/** undefined: not in the first pages of its key, and there are more. */
async function isListed(store: ObjectStore, { bucket, key, versionId }: VersionRef): Promise<boolean | undefined> {
  try {
    let next: string | undefined;
    for (let pages = 0; pages < LIST_PAGES; pages += 1) {
      const page = await store.versions(bucket, { prefix: key, deadline: LIST_MS, ...(next === undefined ? {} : { next }) });
      if (page.versions.some((version) => version.key === key && version.versionId === versionId)) return true;
      next = page.next;
      // the key itself comes before all others that begin with it
      if (next === undefined || (page.upTo ?? key) !== key || page.versions.some((version) => version.key !== key)) return false;
    }
    return undefined;
  } catch (error) {
    if (error instanceof Failure && error.code === 'not_found') return false;
    throw error;
  }
}

async function decideObject(
  deps: EventDeps,
  resource: Resource,
  event: ObjectCreated & { versionId: string },
  head: ObjectHead,
  beside: Beside,
): Promise<void> {
  deps.failpoint('events.read');
  const metadata = readMetadata(head.metadata);
  if (metadata.faults.length > 0) await beside.note(metadata.faults.join(' '));
  // An output may start the next workflow: deliver first, then accept; both may be repeated.
  const delivered =
    metadata.taskId === undefined
      ? undefined
      : await deliver(deps, resource, event, head, { ...metadata, taskId: metadata.taskId }, beside);
  if (delivered?.whole && delivered.taken) return;
  if (startsNothing(metadata)) {
    if (metadata.taskId === undefined && metadata.faults.length === 0)
      return await deps.runs.decide(0, resource.id, 'ignored', undefined, event);
    return await beside.account();
  }
  const depth = delivered?.runId === undefined ? 0 : await depthAfter(deps, delivered.runId);
  if (depth > MAX_DEPTH) {
    await beside.note(`${MAX_DEPTH} runs have led to one another; this one would be the next: a loop is assumed`);
    return await beside.account();
  }
  await startRun(deps, { resource, event, head, metadata, depth }, { ...beside, gone: () => ignoreGone(deps, resource, event) });
  // its run's record does not say what became of a delivery that was refused
  if (delivered?.taken === false) await beside.account();
}

/** How many runs led to the one that an output of `runId` starts. That run was there a moment ago: without it Redis was rolled back meanwhile. */
async function depthAfter(deps: EventDeps, runId: string): Promise<number> {
  const before = await deps.runs.depth(runId);
  if (before === undefined) throw new Failure('run_lost', `It is run ${runId}, whose output was delivered a moment ago.`);
  return before + 1;
}

function startsNothing({ run, code }: ObjectMetadata): boolean {
  return !run && code === undefined;
}

/**
 * Answers with the run that the object is an output of, and thus led to a run that this same object would start (undefined: it is none), whether
 * its task was told of it, which then is accounted for, and whether that was all that there was to decide (`whole`).
 */
async function deliver(
  deps: EventDeps,
  resource: Resource,
  event: ObjectCreated & { versionId: string },
  head: ObjectHead,
  metadata: ObjectMetadata & { taskId: string },
  { note }: Pick<Beside, 'note'>,
): Promise<{ runId: string | undefined; taken: boolean; whole: boolean }> {
  const output: OutputRef = {
    key: event.key,
    version_id: event.versionId,
    etag: head.etag,
    size: head.size,
    ...(metadata.state === undefined ? {} : { state: metadata.state }),
  };
  const startsRun = !startsNothing(metadata);
  const whole = !startsRun && metadata.faults.length === 0;
  const digest = whole ? digestOf(event) : startsRun ? outputDigestOf(event) : undefined;
  const result = await deps.runs.deliver(metadata.taskId, resource.id, output, digest);
  deps.failpoint('events.delivered');
  deps.log.info({ taskId: metadata.taskId, key: event.key, result }, 'received an output');
  // one that has just been lost is gone, too, and nobody may have looked since
  if (result === 'gone') await deps.recall?.settled(true);
  // after a loss of Redis the run may not have been made again yet
  if (result === 'gone' && (await deps.recall?.recovering(resource.id))) {
    await deps.recall?.restore(refOf(metadata.taskId)?.runId ?? '');
    throw new Failure('run_lost', `It is the run of task ${metadata.taskId}, and what started it is looked for.`);
  }
  if (result === 'foreign' || result === 'gone') await note(`ld_task_id names ${metadata.taskId}, which is no task of this bucket`);
  if (result === 'unlaunched') await note(`ld_task_id names ${metadata.taskId}, which was never launched`);
  const refused = result === 'foreign' || result === 'gone';
  return { runId: refused ? undefined : refOf(metadata.taskId)?.runId, taken: !refused && result !== 'unlaunched', whole };
}

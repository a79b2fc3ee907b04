// Stand-ins for S3, SQS and Heroku that implement the ports in this process, for the engine's branches: each command
// of a workflow is the script of what its dyno does. The real wire is tested in tests/e2e.
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type {
  CredentialIssuer,
  Dyno,
  DynoEnd,
  DynoPlatform,
  EventQueue,
  LaunchOrder,
  LaunchOutcome,
  MessageVerdict,
  ObjectHead,
  ObjectStore,
  ObjectVersion,
  QueueMessage,
} from '../../src/clients/ports.ts';
import { readMarker } from '../../src/schema/command.ts';
import { Failure } from '../../src/schema/failures.ts';
import { parseTaskId } from '../../src/schema/ids.ts';

/** The engine's own bucket. */
export const ARCHIVE_BUCKET = 'autofiles-archive';

export interface Post {
  readonly taskId: string;
  readonly attempt: number;
  readonly at: number;
  readonly order: LaunchOrder;
}

/** What a dyno does with its life; answers the POST. */
export type Script = (dyno: {
  readonly post: Post;
  /** Writes the output `ms` from now (0: before the POST is answered). */
  output(ms?: number, metadata?: Record<string, string>, how?: { key?: string; eventDelay?: number; eventLost?: boolean }): Promise<void>;
  /** Ends `ms` from now; `up`: whether it came up before. */
  exit(ms: number, status?: number, up?: boolean): void;
  accept(state?: 'up' | 'starting'): LaunchOutcome;
  /** No wait of a test: Heroku takes this long (ms) to answer the launch, while what the dyno wrote is on its way. */
  answeredIn(ms: number): Promise<unknown>;
  /** Becomes `up` `ms` from now. */
  up(ms: number): void;
}) => Promise<LaunchOutcome> | LaunchOutcome;

/** One record of an S3 notification. */
export function eventOf(bucket: string, key: string, versionId?: string, more: Record<string, unknown> = {}) {
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    eventName: 'ObjectCreated:Put',
    s3: {
      bucket: { name: bucket },
      object: { key: encodeURIComponent(key).replaceAll('%2F', '/'), ...(versionId === undefined ? {} : { versionId }) },
    },
    ...more,
  };
}

export class ScriptedCloud {
  readonly posts: Post[] = [];
  readonly stopped: string[] = [];
  readonly dynos = new Map<string, Dyno>();
  /** Every dyno that was ever accepted. */
  readonly accepted: Dyno[] = [];
  readonly ends = new Map<string, DynoEnd>();
  /** Log lines by the dyno's name. */
  readonly logs = new Map<string, string[]>();
  /** Names of dynos whose log goes on: who follows it hears what `say` adds. */
  readonly talking = new Set<string>();
  /** Set: logs are refused with these words. */
  logsRefused: string | undefined;
  readonly spoken = new EventEmitter();
  readonly objects = new Map<string, ObjectHead & { body: string }>();
  readonly scripts: Record<string, Script>;
  /** Every version of every bucket, in the order in which they were saved. */
  readonly saved: (ObjectVersion & { readonly bucket: string })[] = [];
  /** Milliseconds that the store's clock is ahead. */
  ahead = 0;
  /** Milliseconds that every event is late. */
  delay = 0;
  /** How often every event is delivered. */
  copies = 1;
  headsDown = false;
  putsDown = false;
  /** Keys of PUTs that were refused while putsDown. */
  readonly refusedPuts: string[] = [];
  listDown = false;
  /** How dynos ended cannot be read. */
  endsDown = false;
  /** The token may not read how dynos ended. */
  endsRefused = false;
  /** Reads that were refused while endsDown. */
  refusedEnds = 0;
  /** Keys whose HEAD fails in a way that no waiting heals. */
  readonly broken = new Set<string>();
  /** How often HEAD still answers that a key's object is not there, though the list has it. */
  readonly unseen = new Map<string, number>();
  /** Apps whose dynos cannot be listed or stopped. */
  readonly brokenApps = new Set<string>();
  /** How often each message was handed out. */
  readonly receives = new Map<string, number>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private waiting: QueueMessage[] = [];
  private onBatch: ((messages: readonly QueueMessage[]) => Promise<readonly MessageVerdict[]>) | undefined;
  private inFlight = 0;
  private number = 0;
  /** HEADs that were asked for. */
  heads = 0;
  /** Looks at dyno lists. */
  lists = 0;
  readonly bucket: string;

  constructor(bucket: string, scripts: Record<string, Script>) {
    this.bucket = bucket;
    this.scripts = scripts;
  }

  private later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      work();
    }, ms);
    this.timers.add(timer);
  }

  /** An upload by whomever; its event follows. Answers with the version. */
  put(key: string, body: string, metadata: Record<string, string> = {}, bucket = this.bucket, delay = this.delay): string {
    const versionId = randomUUID();
    const modifiedAt = Math.floor((Date.now() + this.ahead) / 1000) * 1000;
    const object = { versionId, etag: `"${versionId}"`, size: Buffer.byteLength(body), metadata, body, modifiedAt };
    this.objects.set(`${bucket}/${key}#${versionId}`, object);
    this.objects.set(`${bucket}/${key}`, object);
    const latest = { key, versionId, etag: versionId, size: Buffer.byteLength(body), modifiedAt: Date.now() + this.ahead, latest: true };
    this.saved.push({ bucket, ...latest });
    // the engine's own bucket notifies nobody
    if (bucket === ARCHIVE_BUCKET) return versionId;
    for (let copy = 0; copy < this.copies; copy += 1) this.sendEvents([eventOf(bucket, key, versionId)], delay * (copy + 1));
    return versionId;
  }

  /** An upload without its event. */
  putSilently(key: string, body: string, metadata: Record<string, string> = {}): string {
    const { copies } = this;
    this.copies = 0;
    try {
      return this.put(key, body, metadata);
    } finally {
      this.copies = copies;
    }
  }

  /** Puts one message with these records into the queue; answers with its id. */
  sendEvents(records: readonly unknown[], delay = 0): string {
    return this.send(JSON.stringify({ Records: records }), delay);
  }

  /** Puts a message into the queue; answers with its id. */
  send(body: string, delay = 0): string {
    const id = randomUUID();
    this.inFlight += 1;
    const go = () => this.deliver({ id, body, receiptHandle: id, receiveCount: 1 });
    if (delay > 0) this.later(delay, go);
    else queueMicrotask(go);
    return id;
  }

  /** Messages that are not deleted yet. */
  get undeleted(): number {
    return this.inFlight;
  }

  private deliver(message: QueueMessage): void {
    if (this.onBatch === undefined) {
      this.waiting.push(message);
      return;
    }
    this.receives.set(message.id, message.receiveCount);
    void this.onBatch([message]).then(([verdict]) => {
      if (verdict === undefined || verdict.done) this.inFlight -= 1;
      else this.later(Math.min(verdict.againIn * 1000, 200), () => this.deliver({ ...message, receiveCount: message.receiveCount + 1 }));
    });
  }

  readonly store: ObjectStore = {
    head: async (bucket, key, versionId) => {
      this.heads += 1;
      if (this.headsDown) throw new Failure('s3_unavailable', 'HEAD: HTTP 503 SlowDown.');
      if (this.broken.has(key)) throw new TypeError(`cannot read ${key}`);
      const unseen = this.unseen.get(key) ?? 0;
      this.unseen.set(key, unseen - 1);
      if (unseen > 0) return undefined;
      return await Promise.resolve(this.objects.get(versionId === undefined ? `${bucket}/${key}` : `${bucket}/${key}#${versionId}`));
    },
    text: async (bucket, key, versionId) =>
      await Promise.resolve(this.objects.get(versionId === undefined ? `${bucket}/${key}` : `${bucket}/${key}#${versionId}`)?.body),
    put: async (bucket, key, body, details) => {
      if (this.putsDown) {
        this.refusedPuts.push(key);
        throw new Failure('s3_unavailable', 'PUT: HTTP 503 SlowDown.');
      }
      const versionId = this.put(key, String(body), { ...details?.metadata }, bucket);
      return await Promise.resolve({ versionId, etag: versionId });
    },
    versions: async (bucket, { prefix = '', next = '0', limit = 1000 } = {}) => {
      const all = this.saved.filter((version) => version.bucket === bucket && version.key.startsWith(prefix));
      const versions = all.slice(Number(next), Number(next) + limit);
      const end = Number(next) + versions.length;
      return await Promise.resolve({ versions, ...(end < all.length ? { next: String(end) } : {}) });
    },
    keys: async (bucket, { prefix }) => {
      const found = this.saved.filter((version) => version.bucket === bucket && version.key.startsWith(prefix)).map(({ key }) => key);
      return await Promise.resolve({ keys: [...new Set(found)].toSorted() });
    },
    createBucket: async () => await Promise.resolve(),
    setVersioned: async () => await Promise.resolve(),
    versioned: async () => await Promise.resolve(true),
    notify: async () => await Promise.resolve(),
  };

  readonly queue: EventQueue = {
    create: async (name) => await Promise.resolve({ url: name, arn: name }),
    drained: async () => await Promise.resolve(this.inFlight === 0),
    waiting: async () => await Promise.resolve(this.waiting.length),
    consume: (_url, { onBatch }) => {
      this.onBatch = onBatch;
      for (const message of this.waiting.splice(0)) this.deliver(message);
      return {
        stop: async () => {
          this.onBatch = undefined;
          await Promise.resolve();
        },
        lastPollAt: () => Date.now(),
      };
    },
  };

  /** Process types of the app's Procfile. */
  processTypes: readonly string[] = [];

  readonly platform: DynoPlatform = {
    launch: async (_app, order) => {
      const marker = readMarker(order.command);
      if (marker === undefined) throw new Error(`no marker in ${order.command}`);
      const post: Post = { taskId: marker.taskId, attempt: marker.attempt, at: Date.now(), order };
      this.posts.push(post);
      const script = this.scripts[order.command.split(' ')[0] ?? ''];
      if (script === undefined) throw new Error(`no script for ${order.command}`);
      this.number += 1;
      const dyno: Dyno = {
        id: randomUUID(),
        name: `run.${this.number}`,
        command: order.command,
        state: 'up',
        size: order.size,
        type: 'run',
        createdAt: Date.now(),
      };
      return await script({
        post,
        output: async (ms = 0, metadata = {}, how = {}) => {
          const key = how.key ?? `out/${post.taskId}`;
          const all = { ld_task_id: post.taskId, ...metadata };
          const write = () =>
            how.eventLost
              ? this.putSilently(key, 'proof', all)
              : this.put(key, 'proof', all, order.env['LD_S3_BUCKET'] ?? this.bucket, how.eventDelay);
          if (ms > 0) this.later(ms, write);
          else write();
          await Promise.resolve();
        },
        exit: (ms, status = 0, up = true) =>
          this.later(ms, () => {
            this.dynos.delete(dyno.id);
            this.ends.set(dyno.name, { status, up });
          }),
        up: (ms) =>
          this.later(ms, () => {
            const listed = this.dynos.get(dyno.id);
            if (listed !== undefined) this.dynos.set(dyno.id, { ...listed, state: 'up' });
          }),
        answeredIn: (ms) => pause(ms),
        accept: (state = 'starting') => {
          this.dynos.set(dyno.id, { ...dyno, state });
          this.accepted.push(dyno);
          return { outcome: 'accepted', dyno: { ...dyno, state } };
        },
      });
    },
    list: async (app) => {
      this.lists += 1;
      if (this.listDown) throw new Failure('heroku_unavailable', 'GET dynos: HTTP 503.');
      if (this.brokenApps.has(app)) throw new Failure('heroku_unavailable', `GET /apps/${app}/dynos: HTTP 503.`);
      return await Promise.resolve([...this.dynos.values()]);
    },
    stop: async (app, id) => {
      if (this.brokenApps.has(app)) throw new Failure('heroku_unavailable', `POST /apps/${app}/dynos/${id}/actions/stop: HTTP 503.`);
      this.stopped.push(id);
      this.dynos.delete(id);
      await Promise.resolve();
    },
    endOf: async (_app, name) => {
      if (this.endsRefused) throw new Failure('heroku_refused', 'POST log-sessions: HTTP 403.');
      if (this.endsDown) {
        this.refusedEnds += 1;
        throw new Failure('heroku_unavailable', 'POST log-sessions: HTTP 503.');
      }
      return await Promise.resolve(this.ends.get(name) ?? { status: undefined, up: true });
    },
    processTypes: async () => await Promise.resolve(this.processTypes),
    log: async (_app, dyno) => await Promise.resolve(this.logOf(dyno)),
    follow: (_app, dyno, { signal }) => this.tail(dyno, signal),
    subscribe: async () => await Promise.resolve(),
    configVars: async () => await Promise.resolve({}),
    setConfigVars: async () => await Promise.resolve(),
  };

  readonly issuer: CredentialIssuer = {
    forBucket: async (_bucket, name, seconds) =>
      await Promise.resolve({
        accessKeyId: `ASIA${name}`,
        secretAccessKey: 's',
        sessionToken: 't',
        expiresAt: Date.now() + seconds * 1000,
      }),
  };

  /** One more line of a dyno's log. */
  say(dyno: string, line: string): void {
    this.logs.set(dyno, [...(this.logs.get(dyno) ?? []), line]);
    this.spoken.emit(dyno);
  }

  logOf(dyno: string): readonly string[] {
    if (this.logsRefused !== undefined) throw new Failure('heroku_refused', this.logsRefused);
    return this.logs.get(dyno) ?? [];
  }

  async *tail(dyno: string, signal: AbortSignal): AsyncGenerator<string> {
    let told = 0;
    for (;;) {
      const lines = this.logOf(dyno);
      yield* lines.slice(told);
      told = lines.length;
      if (!this.talking.has(dyno)) return;
      if (this.logOf(dyno).length === told) await once(this.spoken, dyno, { signal });
    }
  }

  /** Posts of one run in order of time. */
  postsOf(runId: string): readonly Post[] {
    return this.posts.filter((post) => parseTaskId(post.taskId)?.runId === runId);
  }

  close(): void {
    for (const timer of this.timers) clearTimeout(timer);
  }
}

// What the tenants of a chaos run do: uploads of every kind, cancels, and things that nobody should do.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { runIdOf } from '../../src/queues/identity.ts';
import { Failure } from '../../src/schema/failures.ts';
import type { Expectation } from './checker/evidence.ts';
import { createDice, type Dice, seedOf } from './dice.ts';
import { createOrders, WAYS_TO_REPEAT } from './orders.ts';
import type { World } from './world.ts';

/** Long enough that only what is meant to time out does, whatever happens to the workers. */
const PATIENT = { timeout: 300 };
const task = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, ...PATIENT, ...more });
const group = (...parallel: unknown[]) => ({ parallel });
const soon = { type: 'fixed', delay: 0.2 };

/** Workflows, how often each is drawn, and the seconds that a whole run of it may take where it may not take as long as it likes. */
const SHAPES: Readonly<Record<string, readonly [share: number, run: (dice: Dice) => unknown[], timeout?: number]>> = {
  two: [6, () => [task('ok'), task('ok')]],
  group: [6, () => [task('ok'), group(task('ok'), task('slow'), task('sloppy')), task('early')]],
  'group of groups': [3, () => [group(task('ok'), task('twice')), group(task('early'), task('elsewhere'), task('ok'))]],
  wide: [1, (dice) => [group(...Array.from({ length: dice.between(8, 20) }, () => task('ok'))), task('ok')]],
  long: [1, (dice) => Array.from({ length: dice.between(5, 9) }, () => task(dice.pick(['ok', 'early'])))],
  waiting: [3, () => [task('wait'), group(task('wait'), task('ok'))]],
  retried: [3, () => [task('flaky', { retries: 2, backoff: soon }), task('ok')]],
  'retried with growing waits': [1, () => [task('fail', { retries: 2, backoff: { type: 'exponential', delay: 0.3, max: 0.5 } })]],
  failing: [3, () => [group(task('fail', { retries: 0 }), task('slow'), task('wait')), group(task('ok'), task('ok'))]],
  'timing out': [3, () => [task('ok'), task('silent', { timeout: 1, retries: 1, backoff: soon }), task('ok')]],
  cooling: [2, () => [task('ok', { wait_for: 1 }), group(task('ok'), task('ok', { wait_for: 2 })), task('ok')]],
  serving: [3, () => [task('serve', { no_output: true }), group(task('flash', { no_output: true }), task('ok')), task('ok')]],
  crashing: [2, () => [task('crash', { no_output: true }), task('ok')]],
  'crashing with retries': [1, () => [task('crash', { no_output: true, retries: 1, backoff: soon }), task('ok')]],
  refused: [3, (dice) => [group(task(`refuse ${dice.pick([402, 403, 404, 422])}`), task('ok')), task('ok')]],
  // as Heroku ends a dyno that is a day old
  cycled: [1, () => [task('cycled', { retries: 2, backoff: soon }), task('ok')]],
  'one chance': [3, () => [task('ok', { retries: 0 }), group(task('ok', { retries: 0 }), task('early', { retries: 0 }))]],
  // nobody is told of the output: the one look at the deadline finds it
  'losing the event at the deadline': [
    2,
    () => [task('last_moment', { timeout: 2, retries: 2, backoff: soon }), task('last_moment', { timeout: 2, retries: 2, backoff: soon })],
  ],
  'losing events': [2, () => [task('lost_event'), task('ok')]],
  // it is ended in the middle of its first step; longer than the sweep leaves a run alone, so that one which is ended too early is seen
  'taking too long': [1, () => [group(task('wait'), task('ok')), task('ok')], 7],
};

/** Runs that fail one after the other, and milliseconds that each has. */
const ALONE = 3;
const ALONE_MS = 1_500;

/** Tasks that want to be launched at the same moment. */
const CROWD = 60;

/** Milliseconds that the first run to be cancelled may take to be accepted; a message of a killed receiver comes back after 30 s. */
const ACCEPT_MS = 40_000;

export interface Workload {
  /** Does every kind of thing once. */
  opening(): Promise<void>;
  /** Uploads a workflow of this shape. */
  want(shape: string): Promise<void>;
  /** Does one thing. */
  step(): Promise<void>;
  /** What is to be seen while nothing is broken: a timeout, and an event that comes again after its run. */
  epilogue(): Promise<void>;
  /** Lets launches go on that nobody means to hold back any more. */
  letGo(): Promise<void>;
  readonly uploads: number;
}

/** A driver whose choices the seed decides. */
export function createWorkload(world: World, seed: number): Workload {
  const dice = createDice(seedOf(seed, 'workload'));
  const [a, b] = world.tenants;
  if (a === undefined || b === undefined) throw new RangeError('two tenants are needed');
  const orders = createOrders(world, createDice(seedOf(seed, 'orders')));
  const shapes = Object.entries(SHAPES).flatMap(([name, [share]]) => Array.from({ length: share }, () => name));
  const live: string[] = [];
  /** For the second tenant to steal. */
  const prey = world.firstRuns;
  const old: string[] = [];
  let uploads = 0;

  const put = async (bucket: string, key: string, body: string, metadata: Record<string, string>, expect: Expectation, shape: string) => {
    const { versionId: version } = await insist(() => world.clients.store.put(bucket, key, body, { metadata }));
    world.ledger.note({
      kind: 'upload',
      bucket,
      key,
      version,
      expect,
      shape,
      ...(expect === 'run' ? { document: metadata['ld_code'] ?? body } : {}),
    });
    uploads += 1;
    return { bucket, key, version };
  };
  const start = async (shape: string, run: unknown[], tenant = dice.chance(0.8) ? a : b) => {
    const timeout = SHAPES[shape]?.[2];
    const document = JSON.stringify({ title: shape, ...(timeout === undefined ? {} : { timeout }), run });
    const key = `in/${randomUUID()}`;
    const byCode = document.length < 1_000 && dice.chance(0.2);
    const object = byCode
      ? await put(tenant.bucket, key, 'some data', { ld_code: document }, 'run', shape)
      : await put(tenant.bucket, key, document, { ld_run: 'true' }, 'run', shape);
    const id = runIdOf({ ...object, versionId: object.version }, 1);
    live.push(id);
    if (live.length > 12) live.shift();
    if (tenant === a) prey.push(id);
    old.push(JSON.stringify({ Records: [eventOf(object)] }));
    return id;
  };

  const cancel = async (run: string) => {
    // asked for before it is recorded; one that is not accepted yet cannot be cancelled
    world.ledger.note({ kind: 'cancel', run, answer: 'asked' });
    // a Redis that is full or takes no writes refuses it, as it would refuse the API
    const answer = await world.runs.cancel(run, 'chaos').catch((error: unknown) => {
      if (error instanceof Error && error.name === 'ReplyError') return 'refused';
      throw error;
    });
    world.ledger.note({ kind: 'cancel', run, answer });
    return answer;
  };

  const startAndCancel = async () => {
    const run = await start('waiting', [task('wait'), task('ok')]);
    for (const end = Date.now() + ACCEPT_MS; Date.now() < end && ['gone', 'refused'].includes(await cancel(run)); ) await pause(100);
  };

  const holdBack = async (tenant = dice.pick([a, b])) => {
    await orders.holdBack(tenant, async () => {
      for (const shape of ['two', 'group']) await start(shape, SHAPES[shape]?.[1](dice) ?? [], tenant);
    });
  };

  const oddities: readonly (() => Promise<unknown>)[] = [
    () => put(a.bucket, `in/${randomUUID()}`, '{"run":[]}', { ld_run: 'true' }, 'reject', 'no workflow'),
    () => put(a.bucket, `data/${randomUUID()}`, 'plain', {}, 'ignore', 'plain'),
    () => put(b.bucket, `in/ä b+c%/${randomUUID()}`, 'plain', {}, 'ignore', 'plain with an odd key'),
    () => put(a.bucket, `out/${randomUUID()}`, 'x', { ld_task_id: 'r0-00000000000000000000.0.0' }, 'quarantine', 'output of nothing'),
    // the other tenant's task, named in one's own bucket and by one's own dyno
    async () => {
      const victim = dice.pick(prey.slice(-12));
      await put(b.bucket, `out/${victim}.0.0`, 'x', { ld_task_id: `${victim}.0.0` }, 'ignore', 'stolen task id');
    },
    async () => await start('thief', [task(`steal ${dice.pick(prey.slice(-12))}.0.0`)], b),
    // the same upload twice: two versions, two runs
    async () => {
      const document = JSON.stringify({ run: [task('ok')] });
      const key = `in/${randomUUID()}`;
      for (let n = 0; n < 2; n += 1) await put(a.bucket, key, document, { ld_run: 'true' }, 'run', 'twice the same key');
    },
    async () => {
      // of its own, so that another one with the same text does not vouch for it
      const own = randomUUID();
      const body = dice.pick([`${own} no json`, `{"id":"${own}","Records":"none"}`, `["${own}"]`, `{"a":"${own}${'x'.repeat(5_000)}"}`]);
      world.ledger.note({ kind: 'garbage', body });
      await world.send(body);
    },
    // nobody is told of the upload: the sweep finds it
    async () => {
      const document = JSON.stringify({ run: [task('ok')] });
      await put(a.bucket, `in/${randomUUID()}`, document, { ld_run: 'true', lost: '1' }, 'run', 'lost event');
    },
    // deleted or overwritten between its event, its HEAD and its GET
    async () => {
      const document = JSON.stringify({ run: [task('ok')] });
      for (const spoil of ['unread', 'gone'])
        await put(a.bucket, `in/${randomUUID()}`, document, { ld_run: 'true', spoil }, 'gone', `deleted: ${spoil}`);
      await put(a.bucket, `in/${randomUUID()}`, document, { ld_run: 'true', spoil: 'overwritten' }, 'run', 'overwritten');
    },
    // an event that comes again long after
    async () => {
      if (old.length > 0) await world.send(dice.pick(old));
    },
    async () => await start('loop', [{ cmd: 'loop', timeout: 120 }], b),
  ];

  return {
    get uploads() {
      return uploads;
    },
    letGo: orders.letGo,
    want: async (shape) => {
      await start(shape, SHAPES[shape]?.[1](dice) ?? []);
    },
    opening: async () => {
      for (const [shape, [, run]] of Object.entries(SHAPES)) await start(shape, run(dice));
      // what is done once may come to nothing by a fault of its own
      for (const oddity of [...oddities, ...oddities]) await oddity();
      for (const shape of ['crashing', 'serving']) await start(shape, SHAPES[shape]?.[1](dice) ?? []);
      await startAndCancel();
    },
    epilogue: async () => {
      // one after the other while the queue is empty: nothing but the grace keeps back the word that they left no output
      for (let n = 0; n < ALONE; n += 1) {
        await start('failing alone', [task('fail', { retries: 0 })], a);
        await pause(ALONE_MS);
      }
      await startAndCancel();
      // what was done of these while all was broken may have come to nothing: an invariant that met none of its kind is not proven
      for (const oddity of oddities) await oddity();
      for (const how of WAYS_TO_REPEAT) await orders.repeat(how);
      for (const tenant of [a, b]) await holdBack(tenant);
      for (const shape of ['serving', 'crashing']) await start(shape, SHAPES[shape]?.[1](dice) ?? []);
      await start('taking too long', SHAPES['taking too long']?.[1](dice) ?? []);
      await start('losing the event at the deadline', SHAPES['losing the event at the deadline']?.[1](dice) ?? []);
      // more than the budget of some seconds, at once
      await start('crowd', [group(...Array.from({ length: CROWD }, () => task('ok')))], a);
      for (const tenant of [a, b]) await start('timing out', [task('silent', { timeout: 1, retries: 1, backoff: soon })], tenant);
      for (const event of old.slice(0, 3)) await world.send(event);
    },
    step: async () => {
      const roll = dice.roll();
      if (live.length > 3 && roll < 0.12) {
        await cancel(dice.pick(live));
      } else if (live.length > 3 && roll < 0.3) await dice.pick(oddities)();
      else if (live.length > 3 && roll < 0.31) await holdBack();
      else if (live.length > 3 && roll < 0.36) await orders.repeat(dice.pick(WAYS_TO_REPEAT));
      else {
        const shape = dice.pick(shapes);
        const made = SHAPES[shape];
        if (made !== undefined) await start(shape, made[1](dice));
      }
    },
  };
}

function eventOf({ bucket, key, version }: { bucket: string; key: string; version: string }) {
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    eventName: 'ObjectCreated:Put',
    s3: { bucket: { name: bucket }, object: { key, versionId: version } },
  };
}

/** Tries again what the store did not take; a put that was not answered was not done (store-tap.ts, hold). */
async function insist<T>(put: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await put();
    } catch (error) {
      if (!(error instanceof Failure && error.retry) || tries > 100) throw error;
      await pause(100);
    }
  }
}

// Plain BullMQ on the engine's own Redis, as a process under comparison: two jobs, one after the other. The event of a step adds the next
// job or, after the last, writes the run's end into a hash. A job that died half way is done again by whoever finds its lock expired.
import { Queue, Worker } from 'bullmq';
import { connect } from '../src/queues/connection.ts';
import { CONCURRENCY, readToken, servePeer, tokenOf } from './two-steps.ts';

const STEPS = 2;

await servePeer(async (ground, { store }) => {
  const connection = connect({ socket: store }, () => {});
  const queue = new Queue('two-steps', { connection });
  const job = (run: string, step: number) => ({
    name: 'step',
    data: { run, step, cmd: 'work' },
    opts: { jobId: `${run}.${step}`, removeOnComplete: true, attempts: 3 },
  });
  const worker = new Worker<{ run: string; step: number }>(
    'two-steps',
    async ({ data }) => {
      await ground.launch(tokenOf(data.run, data.step));
    },
    { connection, concurrency: CONCURRENCY },
  );
  await worker.waitUntilReady();
  return {
    start: async (ids) => {
      await queue.addBulk(ids.map((run) => job(run, 0)));
    },
    event: async (token) => {
      const { run, step } = readToken(token);
      if (step + 1 < STEPS) {
        const { name, data, opts } = job(run, step + 1);
        await queue.add(name, data, opts);
        return;
      }
      await connection.hset('two-steps:ended', run, String(Date.now()));
      ground.ended();
    },
    stop: async () => {
      await worker.close();
      await queue.close();
      connection.disconnect();
    },
  };
});

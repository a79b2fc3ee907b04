import { Queue, Worker } from 'bullmq';
import { connect } from '../src/queues/connection.ts';

/** Jobs per call of addBulk. */
const BULK = 100;

/**
 * Plain BullMQ on the same Redis: jobs with a payload of a task's size added and processed at the same time, at
 * concurrency 100. Answers with jobs per second.
 */
export async function plainBullmq(socket: string, jobs: number): Promise<number> {
  const onError = () => {};
  const connection = connect({ socket }, onError);
  const queue = new Queue('baseline', { connection });
  const data = { resource: '00000000-0000-4000-8000-000000000000', cmd: 'work --fast', name: 'n'.repeat(60) };
  let done = 0;
  let finished = () => {};
  const all = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const worker = new Worker(
    'baseline',
    async () => {
      done += 1;
      if (done === jobs) finished();
      await Promise.resolve();
    },
    { connection, concurrency: 100 },
  );
  await worker.waitUntilReady();
  const began = performance.now();
  for (let i = 0; i < jobs; i += BULK) {
    await queue.addBulk(Array.from({ length: Math.min(BULK, jobs - i) }, () => ({ name: 'job', data, opts: { removeOnComplete: true } })));
  }
  await all;
  const seconds = (performance.now() - began) / 1000;
  await worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  connection.disconnect();
  return jobs / seconds;
}

// graphile-worker on PostgreSQL: two jobs, one after the other, and a table of runs, because it keeps nothing of a job that is done. A run's
// row and its first job are one commit, and so is each event, which adds the next job or writes the run's end; locks and ends of jobs are
// committed many at a time by its local queue.
import { Logger, makeWorkerUtils, run as runWorker } from 'graphile-worker';
import { CONCURRENCY, readToken, servePeer, tokenOf } from '../two-steps.ts';

const STEPS = 2;
/** Connections. With this and the local queue (jobs locked a hundred at a time, ends written together) it was quickest of what was tried. */
const POOL = 20;
const START = `with started as (insert into runs (id) select unnest($1::text[]) on conflict do nothing returning id)
  select graphile_worker.add_job('launch', json_build_object('run', id, 'step', 0)) from started`;
const NEXT = `select graphile_worker.add_job('launch', json_build_object('run', $1::text, 'step', $2::int), job_key := $1 || '/' || $2)`;
const END = 'update runs set ended = now() where id = $1 and ended is null';

const isLaunch = (payload: unknown): payload is { run: string; step: number } =>
  typeof payload === 'object' && payload !== null && 'run' in payload && 'step' in payload;

await servePeer(async (ground, { store }) => {
  const utils = await makeWorkerUtils({ connectionString: store, maxPoolSize: POOL });
  await utils.migrate();
  await utils.withPgClient((client) => client.query('create table runs (id text primary key, ended timestamptz)'));
  const runner = await runWorker({
    connectionString: store,
    concurrency: CONCURRENCY,
    maxPoolSize: POOL,
    noHandleSignals: true,
    logger: new Logger(() => () => {}),
    taskList: {
      launch: async (payload) => {
        if (!isLaunch(payload)) throw new Error(`not a launch: ${JSON.stringify(payload)}`);
        await ground.launch(tokenOf(payload.run, payload.step));
      },
    },
    preset: { worker: { localQueue: { size: CONCURRENCY + 1 }, completeJobBatchDelay: 0 } },
  });
  return {
    start: async (ids) => {
      await utils.withPgClient((client) => client.query(START, [ids]));
    },
    event: async (token) => {
      const { run, step } = readToken(token);
      if (step + 1 < STEPS) {
        await utils.withPgClient((client) => client.query(NEXT, [run, step + 1]));
        return;
      }
      await utils.withPgClient((client) => client.query(END, [run]));
      ground.ended();
    },
    stop: async () => {
      await runner.stop();
      await utils.release();
    },
  };
});

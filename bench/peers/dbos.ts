// DBOS on PostgreSQL, as its documentation has it: one workflow function, a checkpointed step for each launch, `recv` for the event.
// Started without a queue and with its ten connections, which was the quickest of what was tried. Each start, step, event, receipt and
// end is a commit.
import { DBOS } from '@dbos-inc/dbos-sdk';
import { readToken, servePeer, tokenOf } from '../two-steps.ts';

const STEPS = [0, 1];
/** Seconds that a step waits for its event, as our tasks do. */
const TIMEOUT_S = 14_400;

await servePeer(async (ground, { store }) => {
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: store, logLevel: 'error' });
  const twoSteps = DBOS.registerWorkflow(
    async (run: string) => {
      for (const step of STEPS) {
        await DBOS.runStep(() => ground.launch(tokenOf(run, step)), { name: `launch ${step}` });
        await DBOS.recv(`output ${step}`, TIMEOUT_S);
      }
    },
    { name: 'two-steps' },
  );
  await DBOS.launch();
  return {
    start: async (ids) => {
      const handles = await Promise.all(ids.map((run) => DBOS.startWorkflow(twoSteps, { workflowID: run })(run)));
      // a workflow that fails ends this process, and the bench with it
      for (const handle of handles) void handle.getResult().then(ground.ended);
    },
    event: async (token) => {
      const { run, step } = readToken(token);
      await DBOS.send(run, 'there', `output ${step}`);
    },
    stop: () => DBOS.shutdown(),
  };
});

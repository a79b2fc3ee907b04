// bull-board at /admin/queues: every queue of every tenant, hence for operators alone, and for reading alone. Retry, promote,
// remove and clean stay off: a job is a bell and the run's record is the truth, so moving jobs by hand repairs nothing and can
// tear a tree whose jobs wait for one another. Runs are retried and cancelled in their own pages.
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { HonoAdapter } from '@bull-board/hono';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono } from 'hono';
import { Failure } from '../../schema/failures.ts';
import type { PrincipalSource } from '../principal.ts';
import { problem } from '../problem.ts';

export const BOARD_PATH = '/admin/queues';

/** A queue to be shown; `queue` is BullMQ's. */
interface ShownQueue {
  readonly name: string;
  readonly shard: number;
  readonly queue: ConstructorParameters<typeof BullMQAdapter>[0];
}

export interface BoardDeps {
  /** All that there are at that moment; none ever goes. */
  readonly queues: () => readonly ShownQueue[];
  /** Who may look, in the order in which they are asked. */
  readonly operators: readonly PrincipalSource[];
}

/** Its scripts and styles are its own; it writes styles into its pages and asks for a font elsewhere, which it does without. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  plan: 'Accepted runs whose tree is still to be made.',
  task: 'One job per task. Delayed: parked, waits for its output, its deadline or its step’s turn; it holds nothing meanwhile.',
  finish: 'The root of each run’s tree: ends the run when all its tasks have settled.',
};

/** The board and the guard before it; mounted at BOARD_PATH. Operators see it, all others are told that there is nothing. */
export function boardRoutes({ queues, operators }: BoardDeps): Hono {
  const adapter = new HonoAdapter(serveStatic);
  adapter.setBasePath(BOARD_PATH);
  let shown = queues();
  const board = createBullBoard({
    queues: shown.map(adapterOf),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Autofiles queues', miscLinks: [{ text: 'Dashboard', url: '/' }] } },
  });
  const routes = new Hono();
  routes.use(async (c, next) => {
    for (const source of operators) {
      const principal = await source(c);
      if (principal?.kind !== 'operator' && principal?.kind !== 'local') continue;
      const all = queues();
      if (all.length > shown.length) {
        // those of before, too: their names say now of which shard they are
        board.setQueues(all.map(adapterOf));
        shown = all;
      }
      await next();
      c.header('content-security-policy', CSP);
      c.header('x-content-type-options', 'nosniff');
      c.header('referrer-policy', 'same-origin');
      return;
    }
    return problem(c, new Failure('not_found', `Found no route for ${c.req.method} ${c.req.path}.`));
  });
  routes.route('/', adapter.registerPlugin());
  return routes;
}

/** The board tells queues apart by prefix and name, and all shards have queues of the same names. */
function adapterOf({ name, shard, queue }: ShownQueue): BullMQAdapter {
  return new BullMQAdapter(queue, {
    readOnlyMode: true,
    prefix: shard === 0 ? '' : `${shard}.`,
    displayName: name,
    description: DESCRIPTIONS[queue.name] ?? '',
  });
}

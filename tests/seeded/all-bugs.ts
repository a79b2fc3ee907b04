import { activationScriptBugs } from './bugs/activation-script.ts';
import { edgesBugs } from './bugs/edges.ts';
import { ledgerBugs } from './bugs/ledger.ts';
import { lossesBugs } from './bugs/losses.ts';
import { queuesBugs } from './bugs/queues.ts';
import { runScriptsBugs } from './bugs/run-scripts.ts';
import { storeScriptsBugs } from './bugs/store-scripts.ts';
import { tasksBugs } from './bugs/tasks.ts';
import type { SeededBug } from './seeded-bug.ts';

/** All of them, in the order of the page. */
export const SEEDED_BUGS: readonly SeededBug[] = [
  ...activationScriptBugs,
  ...runScriptsBugs,
  ...storeScriptsBugs,
  ...queuesBugs,
  ...lossesBugs,
  ...ledgerBugs,
  ...tasksBugs,
  ...edgesBugs,
];

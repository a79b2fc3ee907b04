// Decides every invariant over one case. Reads the evidence alone: nothing of the engine is imported here or below, so a
// mistake in the engine cannot hide itself (tests/chaos/checker.test.ts holds that).
import {
  acknowledgedAfterDecided,
  exactlyOneRun,
  loopsEnd,
  memoryOutlivesRedelivery,
  noPhantom,
  nothingDropped,
  poisonSetAside,
} from './acceptance.ts';
import { credentialWall, freshEnough } from './access.ts';
import { budgetKept } from './budget.ts';
import { openCase } from './case-file.ts';
import { failuresHaveCauses } from './causes.ts';
import { endedOnce, groupEndsTogether, honestRunTimeout, honestTimeout, rightOutput, tenantWall, withoutOutput } from './completing.ts';
import type { Evidence } from './evidence.ts';
import { deadAfterRemoval, everyRouteGuarded, installedOnce, newsProven, signOnsProven } from './front-door.ts';
import {
  noOldFence,
  noStepEarly,
  nothingAfterTheEnd,
  onePostPerAttempt,
  reconciledFirst,
  retriesBounded,
  stopsOnlyClosed,
} from './launching.ts';
import { cancelsCount, pausesHold, replaysKeep } from './orders.ts';
import {
  canForget,
  everyRunEnds,
  faultsMetWork,
  foldsToRecord,
  lossNoticed,
  noSecretLeaves,
  nothingLeft,
  versionsMixed,
  workResumes,
} from './progress.ts';
import type { Finding } from './verdict.ts';

/** All invariants, in the order of reliability.md's list. */
export function check(evidence: Evidence): readonly Finding[] {
  const file = openCase(evidence);
  return [
    exactlyOneRun,
    noPhantom,
    acknowledgedAfterDecided,
    nothingDropped,
    memoryOutlivesRedelivery,
    onePostPerAttempt,
    reconciledFirst,
    noStepEarly,
    groupEndsTogether,
    retriesBounded,
    nothingAfterTheEnd,
    endedOnce,
    rightOutput,
    tenantWall,
    withoutOutput,
    honestTimeout,
    honestRunTimeout,
    everyRunEnds,
    workResumes,
    poisonSetAside,
    budgetKept,
    noOldFence,
    foldsToRecord,
    ...(evidence.settings.earlier === undefined ? [] : [versionsMixed]),
    nothingLeft,
    freshEnough,
    deadAfterRemoval,
    credentialWall,
    everyRouteGuarded,
    signOnsProven,
    noSecretLeaves,
    loopsEnd,
    installedOnce,
    newsProven,
    stopsOnlyClosed,
    pausesHold,
    replaysKeep,
    cancelsCount,
    failuresHaveCauses,
    ...(canForget(evidence.settings.faults) ? [lossNoticed] : []),
    faultsMetWork,
  ].map((invariant) => invariant(file));
}

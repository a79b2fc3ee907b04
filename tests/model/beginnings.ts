// What is done to a run and its model, and how far both have come when a sequence begins.

export type Op =
  | { op: 'enter'; task: number; token: string; verdict: boolean }
  | { op: 'deliver'; task: number; version: string; own: boolean }
  | { op: 'launched'; task: number; stale: boolean; up: boolean }
  | { op: 'refused'; task: number; stale: boolean; kind: 'heal' | 'final' | 'lost' }
  | { op: 'observe'; task: number; stale: boolean; kind: 'up' | 'gone' }
  | { op: 'plan' | 'cancel' | 'expire' | 'finish' | 'pass' | 'again' };

/** What brings a run to its second step. */
const TO_SECOND_STEP: readonly Op[] = [
  { op: 'plan' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
  { op: 'deliver', task: 0, version: 'v1', own: true },
  { op: 'pass' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
  { op: 'enter', task: 1, token: 'A', verdict: false },
  { op: 'launched', task: 1, stale: false, up: true },
  { op: 'deliver', task: 1, version: 'v1', own: true },
  { op: 'enter', task: 1, token: 'A', verdict: false },
];
const TO_LAST_LAUNCH: readonly Op[] = [
  ...TO_SECOND_STEP,
  { op: 'enter', task: 2, token: 'A', verdict: false },
  { op: 'deliver', task: 2, version: 'v1', own: true },
  { op: 'enter', task: 2, token: 'A', verdict: false },
  { op: 'enter', task: 3, token: 'A', verdict: false },
];
/** All that is left is to see its last output, and to end; of a task without output, that it is up is its output. */
const TO_LAST_OUTPUT: readonly Op[] = [...TO_LAST_LAUNCH, { op: 'launched', task: 3, stale: false, up: true }];
const TO_COOLING: readonly Op[] = [
  { op: 'plan' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
  { op: 'deliver', task: 0, version: 'v1', own: true },
  { op: 'enter', task: 0, token: 'A', verdict: false },
];
/** Dynos that were quicker than the answers to their launches. */
const TO_EARLY_OUTPUTS: readonly Op[] = [
  { op: 'plan' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
  { op: 'enter', task: 1, token: 'A', verdict: false },
  { op: 'deliver', task: 0, version: 'v1', own: true },
  { op: 'deliver', task: 1, version: 'v1', own: true },
];
const TO_SECOND_ATTEMPT: readonly Op[] = [
  { op: 'plan' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
  { op: 'launched', task: 0, stale: false, up: true },
  { op: 'pass' },
  { op: 'enter', task: 0, token: 'A', verdict: true },
  { op: 'pass' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
  { op: 'launched', task: 0, stale: false, up: true },
];
const TO_ENDED_DYNO: readonly Op[] = [
  { op: 'plan' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
  { op: 'launched', task: 0, stale: false, up: true },
  { op: 'observe', task: 0, stale: false, kind: 'gone' },
  { op: 'enter', task: 0, token: 'A', verdict: false },
];
/** Where sequences begin, so that what comes late in a run is looked at as often as what comes first. */
export const BEGINNINGS: Readonly<Record<string, readonly Op[]>> = {
  accepted: [],
  planned: [{ op: 'plan' }],
  'second step': TO_SECOND_STEP,
  'last output': TO_LAST_OUTPUT,
  'early outputs': TO_EARLY_OUTPUTS,
  'second attempt': TO_SECOND_ATTEMPT,
  'its dyno has ended': TO_ENDED_DYNO,
  'cancelled while it cools': [...TO_COOLING, { op: 'cancel' }],
  'expired while its last launch is under way': [...TO_LAST_LAUNCH, { op: 'expire' }],
};

// What the POST of a launch meets, by the seed.
import type { Dice } from './dice.ts';

/** What a POST meets, besides being accepted. */
type Fate = 'accepted' | 'slow' | 'busy' | 'unreadable' | 'error after it' | 'reset after it' | 'never answered' | 'reset before it';

/** Shares of POSTs, in hundredths. From the third attempt on all is well, so that most runs come to their end. */
export const FATES: readonly (readonly [Fate, number])[] = [
  ['busy', 3],
  ['unreadable', 1],
  ['error after it', 2],
  ['reset after it', 3],
  ['reset before it', 2],
  ['never answered', 0.5],
  ['slow', 3],
];
/** The same while launches of unknown fate are wanted. */
export const UNKNOWN_FATES: typeof FATES = [
  ['unreadable', 15],
  ['error after it', 10],
  ['reset after it', 20],
  ['reset before it', 15],
];

/** Refusals that time heals. */
export const BUSY: readonly (readonly [number, { id: string; message: string }])[] = [
  [429, { id: 'rate_limit', message: 'Your account reached the API rate limit.' }],
  [429, { id: 'rate_limit', message: 'Your account reached the API rate limit.' }],
  [402, { id: 'quota_exceeded', message: 'Your account has no dyno hours left.' }],
  [409, { id: 'conflict', message: 'A release is under way.' }],
  [422, { id: 'cannot_run_above_limit', message: 'Cannot run more than 50 dynos of that size.' }],
  [423, { id: 'locked', message: 'The app is locked.' }],
];
/** Ids of those that it does not. */
export const REFUSALS: Readonly<Record<number, string>> = { 402: 'delinquent', 403: 'forbidden', 404: 'not_found', 422: 'invalid_params' };
export const UNAUTHORIZED = { id: 'unauthorized', message: 'Invalid credentials provided.' };
/** What Heroku adds to a 429 alone; here to all of them, so that a run does not wait for a minute. */
export const AT_ONCE = { 'retry-after': '1' };

export function fateOf(dice: Dice, fates: typeof FATES): Fate {
  let roll = dice.roll() * 100;
  for (const [fate, share] of fates) {
    if (roll < share) return fate;
    roll -= share;
  }
  return 'accepted';
}

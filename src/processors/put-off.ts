/** Seconds: what a message waits at most in the first hour of an outage. */
const SOON_S = 60;
/** Receives until that hour is over: 2 + 4 + 8 + 16 + 32 + 55 × 60 s. */
const SOON_RECEIVES = 60;
/** Seconds: the longest wait of all. */
const LONGEST_S = 1_500;

/**
 * Seconds until a message that could not be decided comes back; `receiveCount`: how often it was received, from 1. In the first hour it does within a
 * minute, then each wait is a minute longer, up to 25. So the thousand receives that a queue allows at most (maxReceiveCount) last for 16 days of an outage, and
 * the 14 days that SQS keeps a message are what ends it; at a minute each they would have been used up in 17 hours, and every event been set aside.
 */
export function putOff(receiveCount: number): number {
  if (receiveCount <= SOON_RECEIVES) return Math.min(2 ** Math.min(receiveCount, 6), SOON_S);
  return Math.min(SOON_S * (receiveCount - SOON_RECEIVES + 1), LONGEST_S);
}

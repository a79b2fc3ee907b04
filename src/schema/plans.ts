// The plans of the add-on as data. A plan's limits hold where they are enforced: concurrency when a launch is decided, runs a day and the
// timeout when a run is, retention by the sweep of records. `storage_bytes` is what the plan is sold with; nothing refuses more.

export interface Plan {
  /** Name for people, as on the Elements page. */
  readonly name: string;
  /** US cents a month; 0 is free. */
  readonly price: number;
  /** Dynos of one resource that may run at the same time. */
  readonly concurrency: number;
  /** Days that the records of ended runs are kept. */
  readonly retention_days: number;
  /** Seconds that a task may ask for as its `timeout`; at most 14,400: a credential must outlive it. */
  readonly max_timeout_s: number;
  /** Bytes in the bucket, noncurrent versions included. */
  readonly storage_bytes: number;
  /** Runs that may begin in one day (UTC). */
  readonly runs_per_day: number;
}

const GIB = 1024 ** 3;

/**
 * The plans by the slug that Heroku sends (without the service's prefix). Retention is never shorter than the 16 days for which SQS may hand a
 * message out again. `local` is the plan of `autofiles start` and is not sold.
 */
export const PLANS = {
  free: {
    name: 'Free',
    price: 0,
    concurrency: 5,
    retention_days: 16,
    max_timeout_s: 900,
    storage_bytes: GIB,
    runs_per_day: 1_000,
  },
  basic: {
    name: 'Basic',
    price: 1_500,
    concurrency: 25,
    retention_days: 30,
    max_timeout_s: 3_600,
    storage_bytes: 50 * GIB,
    runs_per_day: 20_000,
  },
  standard: {
    name: 'Standard',
    price: 6_000,
    concurrency: 50,
    retention_days: 90,
    max_timeout_s: 14_400,
    storage_bytes: 500 * GIB,
    runs_per_day: 200_000,
  },
  premium: {
    name: 'Premium',
    price: 25_000,
    concurrency: 255,
    retention_days: 365,
    max_timeout_s: 14_400,
    storage_bytes: 5_000 * GIB,
    runs_per_day: 2_000_000,
  },
  local: {
    name: 'Local',
    price: 0,
    concurrency: 1_000_000,
    retention_days: 365,
    max_timeout_s: 14_400,
    storage_bytes: 1_000_000 * GIB,
    runs_per_day: 1_000_000_000,
  },
} as const satisfies Record<string, Plan>;

export type PlanSlug = keyof typeof PLANS;

/** The plan of a slug; undefined for one that we do not offer. */
export function planOf(slug: string): Plan | undefined {
  return Object.hasOwn(PLANS, slug) ? PLANS[slug as PlanSlug] : undefined;
}

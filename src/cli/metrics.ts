// What Prometheus reads. Counters and histograms are this process's own; gauges about Redis are read when they are asked for.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { BudgetState } from '../queues/budget.ts';
import type { Figures } from '../queues/figures.ts';
import type { FleetReport } from '../queues/fleet.ts';
import type { DecisionKind, Telemetry } from '../schema/telemetry.ts';

/** Seconds; a launch takes tens of milliseconds at best and ten seconds at most. */
const CALL_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Seconds; from an upload to its decision: S3 says seconds usually, sometimes a minute. */
const LAG_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];
/** Seconds; a run takes from one dyno start to days. */
const RUN_BUCKETS = [1, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400];

const KINDS: readonly DecisionKind[] = [
  'run',
  'rejected',
  'capped',
  'output',
  'late_output',
  'refused_output',
  'ignored',
  'quarantined',
  'duplicate',
];

export interface Metrics {
  readonly telemetry: Telemetry;
  /** The text for Prometheus, and its content type. */
  render(): Promise<{ readonly type: string; readonly text: string }>;
}

/**
 * The metrics of one process. `figures` reads what Redis knows of the whole; `runSeconds` how long an ended run took, asked
 * after each end. `stalled`: kinds of work that are due and not served.
 */
export function createMetrics(deps: {
  figures: () => Promise<Figures>;
  budget: () => Promise<BudgetState>;
  runSeconds: (runId: string) => Promise<number | undefined>;
  stalled: () => number;
  /** The workers together, where this process watches them. */
  fleet?: () => FleetReport;
  onError: (error: unknown) => void;
}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const lag = new Histogram({
    name: 'autofiles_event_lag_seconds',
    help: 'From the upload of an object to the decision about its event.',
    buckets: LAG_BUCKETS,
    registers,
  });
  const decisions = new Counter({
    name: 'autofiles_decisions_total',
    help: 'Decisions about events, by kind.',
    labelNames: ['kind'] as const,
    registers,
  });
  // a rate needs the zero before the first
  for (const kind of KINDS) decisions.inc({ kind }, 0);
  const launches = new Histogram({
    name: 'autofiles_launch_seconds',
    help: 'The one POST of each attempt, by its outcome.',
    labelNames: ['outcome'] as const,
    buckets: CALL_BUCKETS,
    registers,
  });
  const activations = new Histogram({
    name: 'autofiles_activation_seconds',
    help: 'Activations of jobs, by queue.',
    labelNames: ['queue'] as const,
    buckets: CALL_BUCKETS,
    registers,
  });
  const actions = new Counter({
    name: 'autofiles_task_decisions_total',
    help: 'What activations of tasks decided.',
    labelNames: ['action'] as const,
    registers,
  });
  const runs = new Counter({
    name: 'autofiles_runs_ended_total',
    help: 'Runs that ended, by state.',
    labelNames: ['state'] as const,
    registers,
  });
  const durations = new Histogram({
    name: 'autofiles_run_seconds',
    help: 'From a run accepted to its end, by state.',
    labelNames: ['state'] as const,
    buckets: RUN_BUCKETS,
    registers,
  });
  new Gauge({
    name: 'autofiles_stalled',
    help: 'Kinds of work that are due and not served.',
    registers,
    collect() {
      this.set(deps.stalled());
    },
  });
  if (deps.fleet !== undefined) fleetGauges(deps.fleet, registers);
  const gauges = createFigureGauges(registers);
  const budget = createBudgetGauges(registers);

  return {
    telemetry: {
      eventDecided: (ms) => lag.observe(Math.max(0, ms) / 1000),
      decision: (kind) => decisions.inc({ kind }),
      launch: (outcome, ms) => launches.observe({ outcome }, ms / 1000),
      activation: (queue, ms) => activations.observe({ queue }, ms / 1000),
      taskDecision: (action) => actions.inc({ action }),
      runEnded: (runId, state) => {
        runs.inc({ state });
        deps.runSeconds(runId).then((seconds) => {
          if (seconds !== undefined) durations.observe({ state }, seconds);
        }, deps.onError);
      },
    },
    render: async () => {
      // while Redis is away the process's own numbers are worth the more
      await Promise.all([deps.figures().then(gauges, deps.onError), deps.budget().then(budget, deps.onError)]);
      return { type: registry.contentType, text: await registry.metrics() };
    },
  };
}

function fleetGauges(fleet: () => FleetReport, registers: Registry[]): void {
  new Gauge({
    name: 'autofiles_workers',
    help: 'Worker processes by state.',
    labelNames: ['state'] as const,
    registers,
    collect() {
      const { workers } = fleet();
      for (const state of ['alive', 'silent', 'stalled'] as const) this.set({ state }, workers[state]);
    },
  });
  new Gauge({
    name: 'autofiles_messages_waiting',
    help: 'Messages that could be received from the event queue, as a worker last saw it.',
    registers,
    collect() {
      this.set(fleet().due.messages);
    },
  });
}

function createBudgetGauges(registers: Registry[]): (state: BudgetState) => void {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const tokens = gauge('autofiles_budget_tokens', 'Platform API calls that may be made now.');
  const perHour = gauge('autofiles_budget_per_hour', 'Platform API calls that may be made in an hour.');
  const remaining = gauge('autofiles_budget_remaining', "What the platform's RateLimit-Remaining said last.");
  const spent = new Gauge({
    name: 'autofiles_budget_spent',
    help: 'Calls charged to the budget since its start.',
    labelNames: ['on'] as const,
    registers,
  });
  return (state) => {
    tokens.set(state.tokens);
    perHour.set(state.perHour);
    remaining.set(state.remaining ?? Number.NaN);
    for (const on of ['launches', 'polls', 'calls', 'throttled'] as const) spent.set({ on }, state[on]);
  };
}

function createFigureGauges(registers: Registry[]): (figures: Figures) => void {
  const gauge = <const L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge({ name, help, labelNames, registers });
  const jobs = gauge('autofiles_jobs', 'Jobs by queue and state; parked tasks wait for an output or a time.', ['queue', 'state']);
  const live = gauge('autofiles_runs_live', 'Runs that have not ended.');
  const ledger = gauge(
    'autofiles_ledger_versions',
    'Object versions in scope of the last sweeps: in_scope, accounted_for, in_flight, unaccounted.',
    ['what'],
  );
  const oldest = gauge(
    'autofiles_ledger_oldest_unaccounted_seconds',
    'Age of the oldest version that should have its decision and has none; 0: none.',
  );
  return (figures) => {
    for (const [queue, depth] of Object.entries(figures.queues)) {
      for (const state of ['waiting', 'overdue', 'parked', 'active'] as const) jobs.set({ queue, state }, depth[state]);
    }
    live.set(figures.live);
    ledger.set({ what: 'in_scope' }, figures.ledger.inScope);
    ledger.set({ what: 'accounted_for' }, figures.ledger.accountedFor);
    ledger.set({ what: 'in_flight' }, figures.ledger.inFlight);
    ledger.set({ what: 'unaccounted' }, figures.ledger.unaccounted);
    oldest.set(figures.ledger.oldestSeconds);
  };
}

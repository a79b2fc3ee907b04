// The transitions and the platform, told of as they happen: whoever calls them need not know that somebody counts.
import type { DynoPlatform, LaunchOutcome } from '../clients/ports.ts';
import type { Runs } from '../queues/runs.ts';
import type { DeliverResult } from '../queues/task-transitions.ts';
import type { DecisionKind, LaunchFate, Telemetry } from '../schema/telemetry.ts';

const DELIVERED: Readonly<Record<DeliverResult, DecisionKind | undefined>> = {
  ok: 'output',
  duplicate: 'duplicate',
  late: 'late_output',
  unlaunched: 'refused_output',
  // a quarantine follows, which is counted
  foreign: undefined,
  gone: undefined,
};

/** The same transitions; decisions and ends of runs are told of after they were written. */
export function observedRuns(runs: Runs, telemetry: Telemetry): Runs {
  return {
    ...runs,
    accept: async (run) => {
      const result = await runs.accept(run);
      telemetry.decision(result === 'new' ? 'run' : result === 'capped' ? 'capped' : 'duplicate');
      return result;
    },
    reject: async (run) => {
      const result = await runs.reject(run);
      telemetry.decision(result === 'new' ? 'rejected' : result === 'capped' ? 'capped' : 'duplicate');
      if (result === 'new') telemetry.runEnded(run.runId, 'rejected');
      return result;
    },
    decide: async (...args) => {
      await runs.decide(...args);
      telemetry.decision(args[2]);
    },
    deliver: async (...args) => {
      const result = await runs.deliver(...args);
      const kind = DELIVERED[result];
      if (kind !== undefined) telemetry.decision(kind);
      return result;
    },
    enter: async (options) => {
      const decision = await runs.enter(options);
      telemetry.taskDecision(decision.action === 'settled' ? decision.detail : decision.action);
      return decision;
    },
    cancel: async (runId, by) => {
      const state = await runs.cancel(runId, by);
      if (state === 'cancelled') telemetry.runEnded(runId, state);
      return state;
    },
    expire: async (runId, seconds) => {
      const state = await runs.expire(runId, seconds);
      if (state === 'failed') telemetry.runEnded(runId, state);
      return state;
    },
    finish: async (runId) => {
      const state = await runs.finish(runId);
      if (state === 'succeeded' || state === 'failed' || state === 'cancelled') telemetry.runEnded(runId, state);
      return state;
    },
  };
}

/** The same platform; launches are told of with what became of them. */
export function observedPlatform(platform: DynoPlatform, telemetry: Telemetry, monotonic: () => number): DynoPlatform {
  return {
    ...platform,
    launch: async (app, order, options) => {
      const began = monotonic();
      const outcome = await platform.launch(app, order, options);
      telemetry.launch(fateOf(outcome), monotonic() - began);
      return outcome;
    },
  };
}

function fateOf(outcome: LaunchOutcome): LaunchFate {
  switch (outcome.outcome) {
    case 'accepted':
      return 'accepted';
    case 'refused':
      return outcome.heal ? 'healing' : 'refused';
    case 'unknown':
      return outcome.unsent ? 'unsent' : 'unknown';
  }
}

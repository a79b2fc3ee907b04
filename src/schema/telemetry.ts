/** What became of an event, an upload or an output. */
export type DecisionKind =
  | 'run'
  | 'rejected'
  | 'capped'
  | 'output'
  | 'late_output'
  | 'refused_output'
  | 'ignored'
  | 'quarantined'
  | 'duplicate';

export type LaunchFate = 'accepted' | 'refused' | 'healing' | 'unsent' | 'unknown';

/**
 * What a process tells of what it does, for its metrics and traces. Calls return at once and never throw; all times in
 * milliseconds.
 */
export interface Telemetry {
  /** An event was decided so long after its upload. */
  eventDecided(lag: number): void;
  decision(kind: DecisionKind): void;
  /** The one POST of an attempt was answered, or not. */
  launch(fate: LaunchFate, duration: number): void;
  /** A worker ended one activation of a queue's job. */
  activation(queue: string, duration: number): void;
  /** What an activation of a task decided: launch, park, retry … */
  taskDecision(action: string): void;
  runEnded(runId: string, state: string): void;
}

/** For a process that nobody asks. */
export const NO_TELEMETRY: Telemetry = {
  eventDecided: () => {},
  decision: () => {},
  launch: () => {},
  activation: () => {},
  taskDecision: () => {},
  runEnded: () => {},
};

/** Tells whoever listens at the time of a call. */
export function relayed(to: () => Telemetry): Telemetry {
  return {
    eventDecided: (lag) => to().eventDecided(lag),
    decision: (kind) => to().decision(kind),
    launch: (fate, duration) => to().launch(fate, duration),
    activation: (queue, duration) => to().activation(queue, duration),
    taskDecision: (action) => to().taskDecision(action),
    runEnded: (runId, state) => to().runEnded(runId, state),
  };
}

/** Tells all of them. */
export function toAll(all: readonly Telemetry[]): Telemetry {
  const [first, ...others] = all;
  if (first === undefined) return NO_TELEMETRY;
  if (others.length === 0) return first;
  return {
    eventDecided: (lag) => {
      for (const one of all) one.eventDecided(lag);
    },
    decision: (kind) => {
      for (const one of all) one.decision(kind);
    },
    launch: (fate, duration) => {
      for (const one of all) one.launch(fate, duration);
    },
    activation: (queue, duration) => {
      for (const one of all) one.activation(queue, duration);
    },
    taskDecision: (action) => {
      for (const one of all) one.taskDecision(action);
    },
    runEnded: (runId, state) => {
      for (const one of all) one.runEnded(runId, state);
    },
  };
}

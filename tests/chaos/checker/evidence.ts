// What the checker reads: a plain document, written by the recorder. Nothing here knows the engine's code; what it knows
// of the record's fields and the history's words is docs/architecture.md. All times are milliseconds since 1970.

/** `[ms, what, step.index or '', attempt, detail]`, as the history has it. */
export type Entry = readonly [number, string, string, number, string];

export interface RunEvidence {
  readonly id: string;
  readonly record: Readonly<Record<string, string>>;
  readonly history: readonly Entry[];
  /** Milliseconds that the record is still kept; -1 for ever. */
  readonly ttl: number;
}

export interface ObjectId {
  readonly bucket: string;
  readonly key: string;
  readonly version: string;
}

/** What stands outside the engine, one effect an entry, noted before its answer went out. */
export type LedgerEntry =
  /** An object was written. `began`: when its request arrived, before any event of it. */
  | (ObjectId & { kind: 'put'; t: number; began: number; taskId?: string; run?: boolean; code?: string; silent?: boolean })
  /** What the driver put and expects of it. `document`: the workflow as it was written. */
  | (ObjectId & { kind: 'upload'; t: number; expect: Expectation; document?: string; shape: string })
  /** Somebody asked whether an output lies at its place. */
  | { kind: 'look'; t: number; bucket: string; key: string }
  /** `body`: of a message without any event, its beginning. */
  | { kind: 'receive'; t: number; message: string; count: number; records: readonly ObjectId[]; body?: string }
  /** `accounts`: the plain object versions of the message, and whether the engine accounted for each when the delete came; absent: Redis was away. */
  | { kind: 'delete'; t: number; message: string; ok: boolean; accounts?: readonly (ObjectId & { accounted: boolean })[] }
  | { kind: 'garbage'; t: number; body: string }
  | {
      kind: 'post';
      t: number;
      task: string;
      attempt: number;
      app: string;
      /** `accepted`: answered so. `refused`, `healing`: answered so, nothing was started. `unknown`: whatever else. */
      answer: 'accepted' | 'refused' | 'healing' | 'unknown';
      dyno?: string;
    }
  /** Any other call of the platform for an app. */
  | { kind: 'call'; t: number; app: string; what: 'list' | 'stop' | 'log' | 'other' }
  /**
   * A process ended, with a signal or a status. `served`: it had said that it works. `cause`: who or what ended it, as the nemesis knows;
   * absent: it ended by itself.
   */
  | { kind: 'exit'; t: number; worker: string; how: string; served: boolean; cause?: string }
  | { kind: 'dyno'; t: number; dyno: string; what: 'up' | 'ended' | 'stopped'; status?: number }
  /** A dyno wrote with the credentials that it was given, into its `own` bucket or into another one. */
  | { kind: 'access'; t: number; bucket: string; own: boolean; allowed: boolean }
  /** Noted twice: when it was `asked` for, and with how it was answered. */
  | { kind: 'cancel'; t: number; run: string; answer: string }
  /** The launches of a resource were held back: from `t`, when that was answered, to `until`, when they were to go on. */
  | { kind: 'pause'; t: number; until: number; resource: string; app: string }
  /** An ended run was ordered to run again as `run`. `kept`: its tasks (`step.index`) that count as done. */
  | { kind: 'replay'; t: number; run: string; of: string; how: string; kept: readonly string[] }
  /** An event of a dyno was sent to the web process. `status`: how it was answered, 0 when it was not. */
  | { kind: 'event'; t: number; forged: boolean; status: number }
  /** Heroku was told that an add-on stands, or is gone. */
  | { kind: 'told'; t: number; resource: string; what: 'provisioned' | 'deprovisioned' }
  /** Heroku asked us for a resource, or to remove it, and this was the answer. */
  | { kind: 'install'; t: number; resource: string; status: number; text: string }
  | { kind: 'remove'; t: number; resource: string; status: number }
  /** A bucket was made. */
  | { kind: 'bucket'; t: number; bucket: string }
  /** Credentials of a resource that is gone were tried on a bucket. */
  | { kind: 'dead'; t: number; resource: string; status: number }
  /** Somebody knocked at a route of the web process. */
  | { kind: 'knock'; t: number; route: string; caller: string; status: number }
  /** A sign-on form was sent. `form`: what is wrong with it; `session`: whether it began one. `token`: what it proves itself with. */
  | { kind: 'sign_on'; t: number; form: string; token: string; status: number; session: boolean }
  /** The recorder itself came too late: the machine was too busy to say anything about deadlines. */
  | { kind: 'lag'; t: number; until: number }
  /** What Redis answered between `t` and `until` may be gone. `seen`: a worker that saw it lived on. `noticed`: another epoch was begun. */
  | { kind: 'loss'; t: number; until: number; seen: boolean; noticed: boolean }
  /** Something was broken from `t` to `until`. `live`: runs that had not ended then. */
  | { kind: 'fault'; t: number; until: number; fault: string; live: number; kills: number; detail: string };

/** `never`: it was saved before there was anybody to run it, and nothing older runs by itself. `gone`: it was deleted before it could be read. */
export type Expectation = 'run' | 'reject' | 'ignore' | 'quarantine' | 'never' | 'gone';

export interface Evidence {
  readonly settings: {
    readonly seed: number;
    /** Milliseconds after the intent at which an unanswered launch may be called lost at the earliest. */
    readonly adoptAfter: number;
    readonly notAfter: number;
    /** Milliseconds between the end of a dyno and the verdict that it left no output at least. */
    readonly grace: number;
    /** Calls of the platform that the account may make in an hour. */
    readonly launchesPerHour: number;
    /** Faults that were to be injected. */
    readonly faults: readonly string[];
    /** Half of the workers were of this commit. */
    readonly earlier?: string;
    /** Words that must not stand anywhere that others read. */
    readonly secrets: readonly string[];
  };
  readonly ledger: readonly LedgerEntry[];
  readonly runs: readonly RunEvidence[];
  readonly resources: readonly {
    readonly id: string;
    readonly bucket: string;
    readonly app: string;
    readonly decisions: Readonly<Record<string, number>>;
    /** Versions that the engine accounts for at the end. */
    readonly accounted: readonly ObjectId[];
    /** Quarantined events with when they were set aside. */
    readonly quarantine: readonly { readonly t: number; readonly entry: Readonly<Record<string, string>> }[];
  }[];
  /** Resources that came and went while things broke, as they stand at the end. */
  readonly guests: readonly {
    readonly id: string;
    readonly app: string;
    readonly state: string;
    readonly keys: readonly string[];
    readonly buckets: readonly string[];
  }[];
  /** The same for what belongs to nobody. */
  readonly nobody: readonly { readonly t: number; readonly entry: Readonly<Record<string, string>> }[];
  /** Keys of jobs, watches, stops and live runs that are left although everything ended. */
  readonly leftovers: readonly string[];
  /** When the faults began, when they ended and when all was quiet. */
  readonly phases: { readonly began: number; readonly calm: number; readonly quiet: number };
  /** Whether the queue was empty at the end. */
  readonly drained: boolean;
  /** Buckets that had a version without a decision at the end, as the sweep tells of them. */
  readonly unaccounted: readonly string[];
  /** Secrets found, and in what; how many bytes were searched. */
  readonly leaks: readonly string[];
  readonly searched: number;
  /** How often a worker of either version said that it works. */
  readonly starts: { readonly own: number; readonly earlier: number };
  /** Dynos that were alive at the end. */
  readonly alive: readonly string[];
}

// The one closed table of what can go wrong. Code, whether trying again can help, the HTTP status that answers
// with it and the sentence that opens its message. A code that is not here does not compile.

interface FailureKind {
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retry: boolean;
  /** HTTP status of the problem+json answer. */
  readonly status: number;
  /** First sentence of the message; the thrower adds where, what was found and what was expected. */
  readonly message: string;
}

const FAILURES = {
  // what clients send
  workflow_invalid: { retry: false, status: 422, message: 'The workflow is not valid.' },
  workflow_too_large: { retry: false, status: 422, message: 'The workflow is too large.' },
  workflow_conflict: { retry: false, status: 422, message: 'The object carries both ld_run and ld_code.' },
  event_invalid: { retry: false, status: 422, message: 'The event is not an S3 event.' },
  request_invalid: { retry: false, status: 400, message: 'The request is not valid.' },
  request_too_large: { retry: false, status: 413, message: 'The request is too large.' },
  unauthorized: { retry: false, status: 401, message: 'The request carries no valid token.' },
  forbidden: { retry: false, status: 403, message: 'This token may not do that.' },
  not_found: { retry: false, status: 404, message: 'There is no such thing.' },
  rate_limited: { retry: true, status: 429, message: 'There were too many calls.' },
  conflict: { retry: false, status: 409, message: 'The current state does not allow that.' },
  // how a task ends
  timed_out: { retry: true, status: 409, message: 'No output arrived in time.' },
  exited_without_output: { retry: true, status: 409, message: 'The dyno ended without an output.' },
  dyno_crashed: { retry: true, status: 409, message: 'The dyno crashed before it was up.' },
  launch_refused: { retry: false, status: 409, message: 'The platform refused to start the dyno.' },
  launch_unknown: { retry: false, status: 409, message: 'It is unknown whether the dyno was started.' },
  launch_lost: { retry: true, status: 409, message: 'The dyno that was asked for never appeared.' },
  poisoned: { retry: false, status: 500, message: 'The task was tried again and again without getting anywhere.' },
  run_timed_out: { retry: true, status: 409, message: 'The run did not end in time.' },
  cancelled: { retry: false, status: 409, message: 'The run was cancelled.' },
  // the services around us
  redis_unavailable: { retry: true, status: 503, message: 'Redis does not answer.' },
  run_lost: { retry: true, status: 503, message: 'Redis has lost the run, which may come back.' },
  redis_unsafe: { retry: false, status: 500, message: 'This Redis may lose runs.' },
  s3_refused: { retry: false, status: 502, message: 'S3 refused the call.' },
  sts_unavailable: { retry: true, status: 503, message: 'STS does not answer.' },
  s3_unavailable: { retry: true, status: 503, message: 'S3 does not answer.' },
  sqs_unavailable: { retry: true, status: 503, message: 'SQS does not answer.' },
  heroku_unavailable: { retry: true, status: 503, message: 'The Heroku Platform API does not answer.' },
  heroku_refused: { retry: false, status: 502, message: 'The Heroku Platform API refused the call.' },
  archive_damaged: { retry: false, status: 500, message: 'An archived run cannot be trusted.' },
  bucket_unversioned: { retry: false, status: 409, message: 'The bucket is not versioned.' },
  webhook_refused: { retry: false, status: 422, message: 'The address of the webhook may not be called.' },
  webhook_unreachable: { retry: true, status: 502, message: 'The server of the webhook did not take the delivery.' },
  // this machine
  config_invalid: { retry: false, status: 500, message: 'The configuration is not valid.' },
  not_running: { retry: true, status: 503, message: 'Autofiles does not run here.' },
  start_failed: { retry: false, status: 500, message: 'A part of the local cloud did not start.' },
  deadline_exceeded: { retry: true, status: 504, message: 'The answer did not come in time.' },
  internal: { retry: false, status: 500, message: 'Something is wrong on our side.' },
} as const satisfies Record<string, FailureKind>;

export type FailureCode = keyof typeof FAILURES;

/** All codes, for the API's document. */
export function allFailureCodes(): readonly FailureCode[] {
  // Object.keys of a const object yields exactly its keys
  return Object.keys(FAILURES) as FailureCode[];
}

/** What the table says of a code. */
export function failureKind(code: FailureCode): FailureKind {
  return FAILURES[code];
}

/**
 * The one error class of the project. `detail` says where, what was found, what was expected and how to fix it;
 * `cause` keeps the error of the outside service as it was.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: FailureCode;
  readonly detail: string;
  /** Seconds after which the same call may succeed, where that is known. */
  readonly retryAfter: number | undefined;

  constructor(code: FailureCode, detail: string, options: { cause?: unknown; retryAfter?: number } = {}) {
    super(detail === '' ? FAILURES[code].message : `${FAILURES[code].message} ${detail}`, options);
    this.code = code;
    this.detail = detail;
    this.retryAfter = options.retryAfter;
  }

  /** Whether the same call may succeed later without anybody changing anything. */
  get retry(): boolean {
    return FAILURES[this.code].retry;
  }

  /** HTTP status of the answer. */
  get status(): number {
    return FAILURES[this.code].status;
  }
}

/**
 * The message of anything thrown, with the messages of its causes, in one line.
 */
export function messageOf(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 5; depth += 1) {
    parts.push(at instanceof Error ? wordsOf(at) : String(at));
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.filter((part, i) => part !== '' && parts.indexOf(part) === i).join(': ');
}

/** Node tries all addresses of a name, and its error about all of them has no words of its own. */
function wordsOf(error: Error): string {
  return error instanceof AggregateError && error.message === '' ? error.errors.map(messageOf).join(', ') : error.message;
}

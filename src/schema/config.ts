// The configuration of the engine, read from environment variables once at the start. An empty variable is an unset one.
import { type AddonConfig, readAddonConfig } from './config-addon.ts';
import { Failure } from './failures.ts';

type Mode = 'local' | 'test' | 'production';
type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

export interface Config {
  /** AUTOFILES_MODE: local, test or production; by default what NODE_ENV says, else local. Decides other defaults. */
  readonly mode: Mode;
  /**
   * AUTOFILES_REDIS_SOCKET: path of the unix socket; wins over REDIS_URL, which a shell may have for another app.
   * AUTOFILES_REDIS_CLUSTER: URLs of some nodes of a Redis Cluster, with commas between; wins over REDIS_URL.
   * REDIS_URL: redis:// or rediss://. One of them is required.
   */
  readonly redis: { readonly socket: string } | { readonly cluster: readonly string[] } | { readonly url: string };
  /** AUTOFILES_REGION: AWS region of buckets and queue (us-east-1). */
  readonly region: string;
  /** AUTOFILES_S3_ENDPOINT: URL of S3; unset: AWS. */
  readonly s3Endpoint: string | undefined;
  /** AUTOFILES_SQS_ENDPOINT: URL of SQS; unset: AWS. */
  readonly sqsEndpoint: string | undefined;
  /** AUTOFILES_STS_ENDPOINT: URL of STS; unset: AWS. */
  readonly stsEndpoint: string | undefined;
  /** AUTOFILES_ACCESS_KEY_ID with AUTOFILES_SECRET_ACCESS_KEY: the engine's own key; unset: what the AWS SDK finds. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
  /** AUTOFILES_QUEUE_URL: URL of the event queue; unset: the queue is found, or made, by its name. */
  readonly queueUrl: string | undefined;
  /** AUTOFILES_QUEUE_NAME: name of the event queue (autofiles-events). No FIFO queue: S3 does not send to one. */
  readonly queueName: string;
  /**
   * AUTOFILES_ARCHIVE_BUCKET: engine-only bucket of ended runs and watermarks (autofiles-archive; test: none). Names are global in S3: required in
   * production against AWS.
   */
  readonly archiveBucket: string | undefined;
  /** HEROKU_API_URL: URL of the Heroku Platform API (https://api.heroku.com). */
  readonly herokuApiUrl: string;
  /** AUTOFILES_HEROKU_TOKEN: static token that may launch dynos; unset: those that resources bring along. */
  readonly herokuToken: string | undefined;
  /** AUTOFILES_SHARDS: number of shards that runs are spread over, 1 to 1,024 (1). */
  readonly shards: number;
  /** AUTOFILES_HTTP_PORT: port of the web process, 0 for any free one (PORT, which Heroku sets, else 8080; test: 0). */
  readonly httpPort: number;
  /** AUTOFILES_HTTP_HOST: address that the web process listens on (127.0.0.1; production: 0.0.0.0). */
  readonly httpHost: string;
  /** AUTOFILES_API_TOKEN: token of the REST API; unset: the REST API is closed to tokens. */
  readonly apiToken: string | undefined;
  /** AUTOFILES_CONSUMERS: pollers of the event queue, 1 to 64 (4). */
  readonly consumers: number;
  /** AUTOFILES_TASK_CONCURRENCY: task decisions that one worker process makes at a time, 1 to 10,000 (100). */
  readonly taskConcurrency: number;
  /** AUTOFILES_GRACE_MS: milliseconds that an output may come after its dyno ended (2,000; production: 60,000). */
  readonly graceMs: number;
  /** AUTOFILES_POLL_MS: milliseconds between two looks at an app's dynos (250; production: 5,000). */
  readonly pollMs: number;
  /** AUTOFILES_HOOKED_POLL_MS: the same while webhooks tell of the app's dynos, for what an event failed to tell (5,000; production: 60,000). */
  readonly hookedMs: number;
  /** AUTOFILES_ADOPT_MARGIN_MS: milliseconds that a dyno whose launch was not answered may take to appear (30,000). */
  readonly adoptMarginMs: number;
  /** AUTOFILES_RUNS_PER_MINUTE: runs that one resource may start in a minute, the last guard against loops (10,000). */
  readonly runsPerMinute: number;
  /** AUTOFILES_MASTER_KEY: 32 bytes in base64 that seal the secrets in Redis; required. Make one with `openssl rand -base64 32`. */
  readonly masterKey: string;
  /** AUTOFILES_RESOURCE: id of the resource that AUTOFILES_API_TOKEN belongs to (local); unset: the one that is installed. */
  readonly resource: string | undefined;
  /** AUTOFILES_LOCK_MS: milliseconds that a job stays locked without a sign of its worker (8,000). */
  readonly lockMs: number;
  /** AUTOFILES_SWEEP_MS: milliseconds between two sweeps (5,000; production: 15,000). */
  readonly sweepMs: number;
  /** AUTOFILES_LEDGER_MS: milliseconds between two comparisons of a bucket with its decisions (60,000; production: 900,000). */
  readonly ledgerMs: number;
  /** AUTOFILES_LATE_MS: milliseconds that an event may take before its file is decided without it (30,000; production: 120,000). */
  readonly lateMs: number;
  /** AUTOFILES_LAUNCHES_PER_HOUR: API calls per hour and account (1,000,000; production: 4,050, 0.9 × Heroku's 4,500). */
  readonly launchesPerHour: number;
  /** AUTOFILES_STALL_MS: milliseconds that work may be due without any of it being served before health is red (30,000). */
  readonly stallMs: number;
  /** AUTOFILES_WORKER_PORT: port of a worker's own /healthz and /metrics, 0 for any free one; unset: none. */
  readonly workerPort: number | undefined;
  /**
   * OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: where traces go, which the exporter reads by itself with
   * the other standard variables; unset: no traces. OTEL_SERVICE_NAME: the name that they carry (autofiles).
   */
  readonly tracing: { readonly service: string } | undefined;
  /** AUTOFILES_METRICS_TOKEN: bearer token for /metrics; unset: open in local and test mode, closed in production. */
  readonly metricsToken: string | undefined;
  readonly limits: {
    /** AUTOFILES_CALLS_PER_RESOURCE: calls of the REST API a minute on one resource (1,000,000; production: 3,000). */
    readonly perResource: number;
    /** AUTOFILES_CALLS_PER_ADDRESS: calls a minute from one address, Heroku's own apart (1,000,000; production: 3,000). */
    readonly perAddress: number;
    /** AUTOFILES_REFUSED_PER_ADDRESS: refused calls a minute from one address (1,000,000; production: 300). */
    readonly refused: number;
  };
  /** LOG_LEVEL: fatal, error, warn, info, debug, trace or silent (info). */
  readonly logLevel: LogLevel;
  /** What is about the add-on: config-addon.ts. */
  readonly addon: AddonConfig;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the configuration out of environment variables. Throws Failure config_invalid naming every variable that is
 * wrong with what was found and expected; values that may hold a secret are never part of it.
 */
export function readConfig(env: Environment): Config {
  const faults: string[] = [];
  const read = reader(env, faults);
  const mode = read.oneOf('AUTOFILES_MODE', MODES, modeOf(env['NODE_ENV']));
  const production = mode === 'production';
  const config: Config = {
    mode,
    redis: readRedis(read, faults),
    region: read.matching('AUTOFILES_REGION', /^[a-z0-9-]{1,32}$/, 'an AWS region such as us-east-1') ?? 'us-east-1',
    s3Endpoint: read.url('AUTOFILES_S3_ENDPOINT', HTTP),
    sqsEndpoint: read.url('AUTOFILES_SQS_ENDPOINT', HTTP),
    stsEndpoint: read.url('AUTOFILES_STS_ENDPOINT', HTTP),
    credentials: readCredentials(read, faults),
    queueUrl: read.url('AUTOFILES_QUEUE_URL', HTTP),
    queueName: read.matching('AUTOFILES_QUEUE_NAME', /^[A-Za-z0-9_-]{1,80}$/, 'at most 80 of A-Z a-z 0-9 _ -') ?? 'autofiles-events',
    archiveBucket: readArchiveBucket(read, faults, mode),
    herokuApiUrl: read.url('HEROKU_API_URL', HTTP) ?? 'https://api.heroku.com',
    herokuToken: read.text('AUTOFILES_HEROKU_TOKEN'),
    shards: read.integer('AUTOFILES_SHARDS', 1, 1024, 1),
    httpPort: read.integer('AUTOFILES_HTTP_PORT', 0, 65_535, read.integer('PORT', 0, 65_535, mode === 'test' ? 0 : 8080)),
    httpHost:
      read.matching('AUTOFILES_HTTP_HOST', /^[A-Za-z0-9.:_-]{1,253}$/, 'an address or host name') ?? (production ? '0.0.0.0' : '127.0.0.1'),
    apiToken: read.text('AUTOFILES_API_TOKEN'),
    consumers: read.integer('AUTOFILES_CONSUMERS', 1, 64, 4),
    taskConcurrency: read.integer('AUTOFILES_TASK_CONCURRENCY', 1, 10_000, 100),
    graceMs: read.integer('AUTOFILES_GRACE_MS', 0, HOUR_MS, production ? 60_000 : 2000),
    pollMs: read.integer('AUTOFILES_POLL_MS', 10, HOUR_MS, production ? 5000 : 250),
    hookedMs: read.integer('AUTOFILES_HOOKED_POLL_MS', 10, HOUR_MS, production ? 60_000 : 5000),
    adoptMarginMs: read.integer('AUTOFILES_ADOPT_MARGIN_MS', 0, HOUR_MS, 30_000),
    runsPerMinute: read.integer('AUTOFILES_RUNS_PER_MINUTE', 1, 1_000_000_000, 10_000),
    masterKey: readMasterKey(read, faults),
    resource: read.text('AUTOFILES_RESOURCE'),
    lockMs: read.integer('AUTOFILES_LOCK_MS', 100, HOUR_MS, 8000),
    sweepMs: read.integer('AUTOFILES_SWEEP_MS', 10, HOUR_MS, production ? 15_000 : 5000),
    ledgerMs: read.integer('AUTOFILES_LEDGER_MS', 10, 24 * HOUR_MS, production ? 900_000 : 60_000),
    lateMs: read.integer('AUTOFILES_LATE_MS', 0, HOUR_MS, production ? 120_000 : 30_000),
    launchesPerHour: read.integer('AUTOFILES_LAUNCHES_PER_HOUR', 1, 1_000_000_000, production ? 4050 : 1_000_000),
    stallMs: read.integer('AUTOFILES_STALL_MS', 100, HOUR_MS, 30_000),
    workerPort: read.text('AUTOFILES_WORKER_PORT') === undefined ? undefined : read.integer('AUTOFILES_WORKER_PORT', 0, 65_535, 0),
    tracing: readTracing(read),
    metricsToken: read.text('AUTOFILES_METRICS_TOKEN'),
    limits: {
      perResource: read.integer('AUTOFILES_CALLS_PER_RESOURCE', 1, 1_000_000_000, production ? 3000 : 1_000_000),
      perAddress: read.integer('AUTOFILES_CALLS_PER_ADDRESS', 1, 1_000_000_000, production ? 3000 : 1_000_000),
      refused: read.integer('AUTOFILES_REFUSED_PER_ADDRESS', 1, 1_000_000_000, production ? 300 : 1_000_000),
    },
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
    addon: readAddonConfig(read, faults, production),
  };
  if (faults.length > 0) throw new Failure('config_invalid', faults.join(' '));
  return config;
}

const MODES = ['local', 'test', 'production'] as const;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const HTTP = ['http:', 'https:'];
const HOUR_MS = 3_600_000;

function modeOf(nodeEnv: string | undefined): Mode {
  const name = nodeEnv?.trim();
  return name === 'production' || name === 'test' ? name : 'local';
}

function readTracing(read: Reader): Config['tracing'] {
  const endpoint = read.url('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', HTTP) ?? read.url('OTEL_EXPORTER_OTLP_ENDPOINT', HTTP);
  return endpoint === undefined ? undefined : { service: read.text('OTEL_SERVICE_NAME') ?? 'autofiles' };
}

function readArchiveBucket(read: Reader, faults: string[], mode: Mode): string | undefined {
  const before = faults.length;
  const bucket = read.matching('AUTOFILES_ARCHIVE_BUCKET', /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, '3 to 63 of a-z 0-9 -');
  if (bucket !== undefined || mode === 'test') return bucket;
  // another store has names of its own; on AWS the default is somebody else's, or none's that is kept
  if (mode === 'production' && read.text('AUTOFILES_S3_ENDPOINT') === undefined && faults.length === before) {
    faults.push(
      'AUTOFILES_ARCHIVE_BUCKET: found nothing, expected the name of a bucket of your own, as deploy/aws/autofiles.yaml makes it.',
    );
  }
  return 'autofiles-archive';
}

function readMasterKey(read: Reader, faults: string[]): string {
  const before = faults.length;
  const key = read.hidden('AUTOFILES_MASTER_KEY', /^[A-Za-z0-9+/]{43}=$/, '32 bytes in base64, 44 characters');
  if (key === undefined && faults.length === before) {
    faults.push('AUTOFILES_MASTER_KEY: found nothing, expected 32 bytes in base64. Make them with `openssl rand -base64 32`.');
  }
  return key ?? '';
}

function readRedis(read: Reader, faults: string[]): Config['redis'] {
  const socket = read.hidden('AUTOFILES_REDIS_SOCKET', /^\//, 'the absolute path of a unix socket');
  if (socket !== undefined) return { socket };
  const before = faults.length;
  const cluster = read.urls('AUTOFILES_REDIS_CLUSTER', ['redis:', 'rediss:']);
  if (cluster !== undefined) return { cluster };
  const url = read.url('REDIS_URL', ['redis:', 'rediss:']);
  if (url === undefined && faults.length === before) {
    faults.push('REDIS_URL: found nothing, expected redis://… or rediss://…, or AUTOFILES_REDIS_SOCKET with the path of a unix socket.');
  }
  return { url: url ?? '' };
}

function readCredentials(read: Reader, faults: string[]): Config['credentials'] {
  const accessKeyId = read.text('AUTOFILES_ACCESS_KEY_ID');
  const secretAccessKey = read.text('AUTOFILES_SECRET_ACCESS_KEY');
  if (accessKeyId !== undefined && secretAccessKey !== undefined) return { accessKeyId, secretAccessKey };
  if (accessKeyId !== undefined)
    faults.push('AUTOFILES_SECRET_ACCESS_KEY: found nothing, expected the secret of AUTOFILES_ACCESS_KEY_ID; set both or none.');
  if (secretAccessKey !== undefined)
    faults.push('AUTOFILES_ACCESS_KEY_ID: found nothing, expected the id of AUTOFILES_SECRET_ACCESS_KEY; set both or none.');
  return undefined;
}

type Reader = ReturnType<typeof reader>;

/** Each function gives the value, or notes a fault and gives what keeps the reading going. */
function reader(env: Environment, faults: string[]) {
  const text = (name: string): string | undefined => {
    const value = env[name]?.trim();
    return value === '' ? undefined : value;
  };
  const matching = (name: string, pattern: RegExp, expected: string, show = quote): string | undefined => {
    const value = text(name);
    if (value === undefined || pattern.test(value)) return value;
    faults.push(`${name}: found ${show(value)}, expected ${expected}.`);
    return undefined;
  };
  /** For what is a secret, or may be one that was put into the wrong variable. */
  const hidden = (name: string, pattern: RegExp, expected: string): string | undefined =>
    matching(name, pattern, expected, (value) => `a text of ${value.length} characters`);
  const integer = (name: string, minimum: number, maximum: number, fallback: number): number => {
    const value = matching(name, /^\d{1,10}$/, `a whole number from ${minimum} to ${maximum}`);
    if (value === undefined) return fallback;
    const number = Number(value);
    if (number >= minimum && number <= maximum) return number;
    faults.push(`${name}: found ${value}, expected a whole number from ${minimum} to ${maximum}.`);
    return fallback;
  };
  const oneOf = <T extends string>(name: string, values: readonly T[], fallback: T): T => {
    const value = text(name);
    const known = values.find((one) => one === value);
    if (value !== undefined && known === undefined) faults.push(`${name}: found ${quote(value)}, expected one of ${values.join(', ')}.`);
    return known ?? fallback;
  };
  const urls = (name: string, protocols: readonly string[]): readonly string[] | undefined =>
    text(name)
      ?.split(',')
      .map((one) => asUrl(name, one.trim(), protocols) ?? '');
  const url = (name: string, protocols: readonly string[]): string | undefined => {
    const value = text(name);
    return value === undefined ? undefined : asUrl(name, value, protocols);
  };
  const asUrl = (name: string, value: string, protocols: readonly string[]): string | undefined => {
    const parsed = URL.parse(value);
    if (parsed !== null && protocols.includes(parsed.protocol)) return value;
    // The value itself may hold a password.
    const found = parsed === null ? 'no URL' : parsed.host === '' ? 'a URL without a host' : `a URL with ${parsed.protocol}`;
    faults.push(`${name}: found ${found}, expected a URL with ${protocols.join(' or ')}.`);
    return undefined;
  };
  return { text, matching, hidden, integer, oneOf, url, urls };
}

function quote(value: string): string {
  return JSON.stringify((value.length > 60 ? `${value.slice(0, 60)}…` : value).toWellFormed());
}

// `autofiles doctor`: tries what the engine will do in production, one step after the other, and says of each what was found and what to do.
// Nothing it makes stays; nothing of a customer's is touched.
import type { BucketAdmin, CallerIdentity } from '../clients/addon-ports.ts';
import type { CallOptions, CredentialIssuer, ObjectStore, SessionCredentials } from '../clients/ports.ts';
import type { QueueFacts } from '../clients/sqs.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { LIFE_S } from './credentials.ts';
import { examineResources, examineWorkers, type Finding, type Fleet, type Installed } from './examine-state.ts';

/** Milliseconds for one step. */
const STEP_MS = 30_000;
/** Seconds, 14 days: SQS' longest retention; what a queue drops earlier is lost when the engine is down for long. */
const FULL_RETENTION_S = 1_209_600;
/** Milliseconds by which the clocks of this machine and of Redis may differ before signatures and timers suffer. */
const CLOCK_MS = 5_000;
/** Object of the archive that shows that it can be written and read. */
const PROBE_KEY = 'doctor.json';

export interface ExamineDeps {
  readonly redis: {
    /** Throws Failure redis_unsafe; answers with warnings. */
    safety(): Promise<readonly string[]>;
    /** Redis' time, milliseconds since 1970. */
    time(): Promise<number>;
    fleet(): Promise<Fleet>;
    resources(): Promise<readonly Installed[]>;
  };
  readonly identity: (options?: CallOptions) => Promise<CallerIdentity>;
  readonly queue: (options?: CallOptions) => Promise<QueueFacts>;
  readonly store: Pick<ObjectStore, 'put' | 'text' | 'createBucket'>;
  readonly archiveBucket: string | undefined;
  readonly buckets: BucketAdmin;
  readonly issuer: CredentialIssuer;
  /** Whether a role is assumed for tenants' credentials. */
  readonly role: boolean;
  /** A store that is reached with a tenant's credentials. `close` gives up its sockets. */
  readonly tenantStore: (credentials: SessionCredentials) => Pick<ObjectStore, 'put' | 'text' | 'versions'> & { close(): void };
  /** Whose the configured Heroku token is; undefined: none is configured. */
  readonly herokuAccount: ((options?: CallOptions) => Promise<string>) | undefined;
  /** The public address answers, and takes the password of the manifest; undefined: none is configured. */
  readonly publicWeb: ((options?: CallOptions) => Promise<string>) | undefined;
  readonly id: () => string;
  readonly now: () => number;
}

type Outcome = Omit<Finding, 'step' | 'state'> & { readonly state?: Finding['state'] };

/** Makes all steps and tells `say` each as it is known. Rejects only with `signal`'s reason. */
export async function examine(deps: ExamineDeps, say: (finding: Finding) => void, signal: AbortSignal): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const note = (finding: Finding): void => {
    findings.push(finding);
    say(finding);
  };
  const good = (step: string): boolean => findings.some((one) => one.step === step && (one.state === 'ok' || one.state === 'warning'));
  const step = async (name: string, needs: readonly string[], work: (options: CallOptions) => Promise<Outcome>, fix: string) => {
    signal.throwIfAborted();
    const missing = needs.find((one) => !good(one));
    if (missing !== undefined) return note({ step: name, state: 'skipped', found: `stands on "${missing}"` });
    try {
      note({ step: name, state: 'ok', ...(await work({ signal, deadline: STEP_MS })) });
    } catch (error) {
      signal.throwIfAborted();
      note({ step: name, state: 'failed', found: messageOf(error), fix });
    }
  };

  await step('Redis', [], () => examineRedis(deps), 'Check REDIS_URL, and that this machine reaches it.');
  await step('AWS keys', [], (options) => examineIdentity(deps, options), 'Check AUTOFILES_ACCESS_KEY_ID and AUTOFILES_SECRET_ACCESS_KEY.');
  await step('event queue', ['AWS keys'], async (options) => examineQueue(await deps.queue(options)), 'Deploy deploy/aws/autofiles.yaml.');
  await step(
    'archive bucket',
    ['AWS keys'],
    (options) => examineArchive(deps, options),
    'Choose a name of your own for AUTOFILES_ARCHIVE_BUCKET.',
  );
  const bucket = `ld-private-doctor-${deps.id()}`;
  try {
    await step(
      "a tenant's bucket",
      ['AWS keys'],
      (options) => examineBucket(deps, bucket, options),
      'See TenantBuckets in deploy/aws/autofiles.yaml.',
    );
    await step(
      "a tenant's credentials",
      ["a tenant's bucket"],
      (options) => examineCredentials(deps, bucket, options),
      'See TenantRole in deploy/aws/autofiles.yaml, and AUTOFILES_TENANT_ROLE_ARN.',
    );
    await step(
      'events of a bucket',
      ["a tenant's bucket", 'event queue'],
      async (options) => {
        // S3 takes no destination that it may not send to
        await deps.buckets.notify(bucket, (await deps.queue(options)).arn, options);
        return { found: 'S3 may send to the queue' };
      },
      "The queue's policy must let s3.amazonaws.com send for arn:aws:s3:::ld-private-* of this account: EventQueuePolicy in deploy/aws/autofiles.yaml.",
    );
  } finally {
    if (good("a tenant's bucket"))
      await step(
        'removing a bucket',
        [],
        (options) => removeBucket(deps, bucket, options),
        `Remove ${bucket} by hand, and see TenantObjects.`,
      );
  }
  await step(
    'Heroku token',
    [],
    async (options) =>
      deps.herokuAccount === undefined
        ? { state: 'skipped', found: 'AUTOFILES_HEROKU_TOKEN is not set: each resource brings its own' }
        : { found: `acts for ${await deps.herokuAccount(options)}` },
    'Make a new one: heroku authorizations:create --scope write-protected.',
  );
  await step(
    'public address',
    [],
    async (options) =>
      deps.publicWeb === undefined
        ? {
            state: 'warning',
            found: 'AUTOFILES_PUBLIC_URL is not set',
            fix: 'Set it: without it Heroku tells us of no dyno, and each is polled for.',
          }
        : { found: await deps.publicWeb(options) },
    'Check AUTOFILES_PUBLIC_URL, its certificate, and that `autofiles web` runs there with the same AUTOFILES_ADDON_PASSWORD.',
  );
  await step('workers', ['Redis'], async () => examineWorkers(await deps.redis.fleet()), '');
  await step('resources', ['Redis'], async () => examineResources(await deps.redis.resources(), deps.now()), '');
  return findings;
}

async function examineRedis({ redis, now }: ExamineDeps): Promise<Outcome> {
  const [first, ...more] = await redis.safety();
  const apart = Math.abs((await redis.time()) - now());
  if (apart > CLOCK_MS)
    return { state: 'warning', found: `its clock and this machine's are ${Math.round(apart / 1000)} s apart`, fix: 'Let both follow NTP.' };
  if (first !== undefined) return { state: 'warning', found: [first, ...more].join(' ') };
  return { found: 'answers, keeps what it is told, drops nothing' };
}

async function examineIdentity(deps: ExamineDeps, options: CallOptions): Promise<Outcome> {
  const { arn, chained } = await deps.identity(options);
  if (chained && deps.role)
    return {
      state: 'failed',
      found: `${arn} is a role, and a role that is assumed from a role lives one hour at most (role chaining)`,
      fix: "Give the engine the long-term key of an IAM user: tenants' credentials must live twelve hours.",
    };
  return { found: arn };
}

function examineQueue(facts: QueueFacts): Outcome {
  const found = `${facts.arn}, ${facts.waiting} messages waiting`;
  if (facts.fifo) return { state: 'failed', found, fix: 'S3 does not send to FIFO queues: take a standard one.' };
  if (facts.retention < FULL_RETENTION_S)
    return {
      state: 'warning',
      found: `${found}, kept for ${Math.round(facts.retention / 3600)} h`,
      fix: 'Set MessageRetentionPeriod to 1209600 (14 days).',
    };
  if (!facts.setsAside)
    return {
      state: 'warning',
      found: `${found}, no dead-letter queue`,
      fix: 'Give it a RedrivePolicy, as deploy/aws/autofiles.yaml does.',
    };
  return { found };
}

async function examineArchive(deps: ExamineDeps, options: CallOptions): Promise<Outcome> {
  const { archiveBucket: bucket, store } = deps;
  if (bucket === undefined) return { state: 'skipped', found: 'AUTOFILES_ARCHIVE_BUCKET is not set' };
  await store.createBucket(bucket, options);
  const text = JSON.stringify({ examined_at: new Date(deps.now()).toISOString() });
  const { versionId } = await store.put(bucket, PROBE_KEY, text, { contentType: 'application/json', ...options });
  const read = await store.text(bucket, PROBE_KEY, versionId, 1_000, options);
  if (read !== text) throw new Failure('internal', `What was written to ${bucket}/${PROBE_KEY} was not what is read.`);
  return { found: `${bucket} is written and read` };
}

async function examineBucket({ buckets }: ExamineDeps, bucket: string, options: CallOptions): Promise<Outcome> {
  await buckets.make(bucket, options);
  return { found: `${bucket} made: private, TLS only, versioned` };
}

async function examineCredentials(deps: ExamineDeps, bucket: string, options: CallOptions): Promise<Outcome> {
  const credentials = await deps.issuer.forBucket(bucket, 'doctor', LIFE_S, options);
  const store = deps.tenantStore(credentials);
  try {
    await store.put(bucket, PROBE_KEY, '{}', options);
    await store.versions(bucket, options);
    const elsewhere = deps.archiveBucket;
    if (elsewhere !== undefined) {
      const opened = await store.text(elsewhere, PROBE_KEY, undefined, 1_000, options).then(
        (text) => text !== undefined,
        () => false,
      );
      if (opened)
        return {
          state: 'failed',
          found: `they also open ${elsewhere}`,
          fix: 'Narrow the role of the tenants: TenantRole in deploy/aws/autofiles.yaml.',
        };
    }
  } finally {
    store.close();
  }
  const hours = Math.round((credentials.expiresAt - deps.now()) / 360_000) / 10;
  return { found: `open their bucket alone, for ${hours} h` };
}

async function removeBucket({ buckets }: ExamineDeps, bucket: string, options: CallOptions): Promise<Outcome> {
  while ((await buckets.emptyPage(bucket, options)) > 0) options.signal?.throwIfAborted();
  await buckets.remove(bucket, options);
  return { found: 'nothing is left' };
}

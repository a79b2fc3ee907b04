// The shapes of a resource's record: one hash that holds what it is, where its life stands, and its sealed secrets.
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';

/**
 * The life of a resource. `provisioning`: promised to Heroku, not whole yet. `failed`: it never will be. `removed`: a tombstone, which keeps
 * its id from ever being provisioned again. A record without a state is `provisioned`.
 */
export type ResourceState = 'provisioning' | 'provisioned' | 'failed' | 'deprovisioning' | 'removed';

/** States in which a resource serves its customer. */
const ALIVE: readonly ResourceState[] = ['provisioning', 'provisioned'];

/** One installed add-on: one app, one bucket, one set of credentials, one plan. */
export const Resource = Type.Object({
  id: Type.String(),
  /** Id (or name) of the app at Heroku; empty until Heroku has told. */
  app: Type.String(),
  bucket: Type.String(),
  region: Type.String(),
  plan: Type.String(),
  /** Names the last change of the plan; one that failed is set back while it is the last. */
  plan_change: Type.Optional(Type.String()),
  state: Type.Optional(
    Type.Union([
      Type.Literal('provisioning'),
      Type.Literal('provisioned'),
      Type.Literal('failed'),
      Type.Literal('deprovisioning'),
      Type.Literal('removed'),
    ]),
  ),
  /** The add-on's name at Heroku, `line-d-clear-41822`. */
  name: Type.Optional(Type.String()),
  /** The app's name, for people. */
  app_name: Type.Optional(Type.String()),
  /** Whose token starts the dynos. */
  permission: Type.Optional(Type.Union([Type.Literal('partner'), Type.Literal('customer'), Type.Literal('static'), Type.Literal('none')])),
  /** Which commands a workflow may name: any, or a process type of the Procfile alone. */
  commands: Type.Optional(Type.Union([Type.Literal('any'), Type.Literal('procfile')])),
  /** Milliseconds since 1970, as text. */
  created: Type.Optional(Type.String()),
  /** Milliseconds since 1970, as text, when a removal had cancelled its runs and stopped its dynos. */
  quiet: Type.Optional(Type.String()),
  /** Why provisioning failed, for people. */
  error: Type.Optional(Type.String()),
});
export type Resource = Static<typeof Resource>;

const SessionCredentials = Type.Object({
  accessKeyId: Type.String(),
  secretAccessKey: Type.String(),
  sessionToken: Type.String(),
  /** Milliseconds since 1970. */
  expiresAt: Type.Number(),
  /** Milliseconds since 1970 when they were made; absent in records from before. */
  issuedAt: Type.Optional(Type.Number()),
});
export type ResourceCredentials = Static<typeof SessionCredentials>;

const Tokens = Type.Object({
  access: Type.String(),
  refresh: Type.String(),
  /** Milliseconds since 1970. */
  expiresAt: Type.Number(),
});

/**
 * The secrets of a resource by kind. `credentials`: what dynos and clients get; `pending`: made, not yet told to the app; `grant`: the code that
 * Heroku sent with the provision request; `partner`, `customer`: OAuth tokens; `hook`: what signs Heroku's webhooks to us.
 */
export const SECRETS = {
  credentials: Compile(SessionCredentials),
  pending: Compile(SessionCredentials),
  grant: Compile(Type.Object({ code: Type.String(), expiresAt: Type.Number() })),
  partner: Compile(Tokens),
  customer: Compile(Tokens),
  hook: Compile(Type.Object({ secret: Type.String() })),
} as const;
export type SecretKind = keyof typeof SECRETS;

export interface Secrets {
  readonly credentials: ResourceCredentials;
  readonly pending: ResourceCredentials;
  readonly grant: { readonly code: string; readonly expiresAt: number };
  readonly partner: Static<typeof Tokens>;
  readonly customer: Static<typeof Tokens>;
  readonly hook: { readonly secret: string };
}

/** Field of the wrapped data key. */
export const DATA_KEY = 'dk';
/** Field of a sealed secret. */
export const secretField = (kind: SecretKind) => `s:${kind}`;

const resource = Compile(Resource);
const FIELDS = Object.keys(Resource.properties);

/** undefined: no such record. Throws Failure internal for a damaged one. */
export function readResource(id: string, record: Readonly<Record<string, string>>): Resource | undefined {
  if (Object.keys(record).length === 0) return undefined;
  const plain = Object.fromEntries(FIELDS.flatMap((field) => (record[field] === undefined ? [] : [[field, record[field]]])));
  if (!resource.Check(plain)) throw new Failure('internal', `The record of resource ${id} is damaged.`);
  return plain;
}

/** What is left of a removed resource. */
export function tombstoneOf({ id, bucket, region, plan }: Resource): Resource {
  return { id, app: '', bucket, region, plan, state: 'removed' };
}

/** Whether the resource serves its customer; a record without a state does. */
export function isAlive(resource: Pick<Resource, 'state'>): boolean {
  return resource.state === undefined || ALIVE.includes(resource.state);
}

// Bodies of the Add-on Partner API v3 (heroku.md §1.2–1.4). Members that we do not know are let through: Heroku may add some.
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';

const UUID = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

const OAuthGrant = Type.Object({
  code: Type.String({ minLength: 1, maxLength: 500 }),
  /** ISO 8601, with `Z` or a numeric offset. */
  expires_at: Type.String(),
  type: Type.Optional(Type.String()),
});

const ProvisionRequest = Type.Object({
  /** Identity of the resource, for ever. */
  uuid: Type.String({ pattern: UUID }),
  /** Slug without the service's prefix. */
  plan: Type.String({ minLength: 1, maxLength: 100 }),
  /** `amazon-web-services::us-east-1` */
  region: Type.String({ minLength: 1, maxLength: 100 }),
  /** Globally unique, `line-d-clear-41822`. */
  name: Type.Optional(Type.String({ maxLength: 200 })),
  callback_url: Type.Optional(Type.String()),
  oauth_grant: Type.Optional(Type.Union([OAuthGrant, Type.Null()])),
  /** What stood behind `--` on the command line. */
  options: Type.Optional(Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()])),
});
export type ProvisionRequest = Static<typeof ProvisionRequest>;

const PlanChangeRequest = Type.Object({ plan: Type.String({ minLength: 1, maxLength: 100 }) });

export const provisionRequest = Compile(ProvisionRequest);
export const planChangeRequest = Compile(PlanChangeRequest);

/** Whether a text is a uuid in the one spelling that is hashed and stored: lower case. */
export function isUuid(text: string): boolean {
  return new RegExp(UUID).test(text);
}

// The outside services of the add-on itself, as provisioning and removing see them.
import type { CallOptions } from './ports.ts';

/** An installed add-on as Heroku tells it. */
export interface AddonInfo {
  readonly name: string;
  readonly app: { readonly id: string; readonly name: string };
  /** `provisioning`, `provisioned`, `deprovisioning`, `deprovisioned`. */
  readonly state: string;
}

/** Heroku's Platform API for Partners, on one installed add-on, with the token that its provisioning brought along. */
export interface AddonPlatform {
  info(id: string, options?: CallOptions): Promise<AddonInfo>;
  /** Sets config vars of the add-on. Repeatable; once provisioned each change makes a release and restarts the app. */
  setConfig(id: string, vars: Readonly<Record<string, string>>, options?: CallOptions): Promise<void>;
  /** Says that provisioning is complete. Repeatable. */
  provisioned(id: string, options?: CallOptions): Promise<void>;
  /** Says that provisioning has failed, or that removing is complete. An add-on that is gone already is a success. */
  deprovisioned(id: string, options?: CallOptions): Promise<void>;
  /** Asks for signed events of the app's dynos. Repeatable. */
  subscribe(id: string, hook: { readonly url: string; readonly secret: string }, options?: CallOptions): Promise<void>;
}

export interface OAuthTokens {
  readonly access: string;
  readonly refresh: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** The token endpoint of Heroku's identity service. */
export interface HerokuOAuth {
  /** A code works once, within five minutes. */
  exchange(code: string, options?: CallOptions & { readonly verifier?: string }): Promise<OAuthTokens>;
  refresh(refreshToken: string, options?: CallOptions): Promise<OAuthTokens>;
}

/** Buckets of resources from the first day to the last. Every call may be repeated. */
export interface BucketAdmin {
  /** A bucket that is private, versioned, tidies up after itself, takes no request without TLS, and upload forms from pages of any origin. */
  make(bucket: string, options?: CallOptions): Promise<void>;
  /** Sends its ObjectCreated events to the queue. */
  notify(bucket: string, queueArn: string, options?: CallOptions): Promise<void>;
  /** No events from it any more, and nobody but `keeper` (an ARN) gets in. A bucket that is gone is closed. */
  close(bucket: string, keeper: string, options?: CallOptions): Promise<void>;
  /** Removes one page of unfinished uploads and versions; answers how many went. 0: it is empty, or gone. */
  emptyPage(bucket: string, options?: CallOptions): Promise<number>;
  /** A bucket that is gone is a success. Throws Failure conflict when something is in it again. */
  remove(bucket: string, options?: CallOptions): Promise<void>;
}

/** Who the engine's own AWS keys are. */
export interface CallerIdentity {
  /** Twelve digits. */
  readonly account: string;
  /** ARN of the user or role, as bucket policies name it. */
  readonly arn: string;
  /** Whether the keys come from an assumed role: AssumeRole is then chained, and gives one hour at most. */
  readonly chained: boolean;
}

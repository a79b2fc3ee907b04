/**
 * How long a client may take to send a request, for node:http: connections are few, and a slow sender keeps one from others (slow loris). Answers,
 * such as streams, may last as long as they like.
 */
export const SERVER_LIMITS = {
  /** Milliseconds for the headers, and for the whole request; Heroku's router gives an app 30 s. */
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  /** Milliseconds between two looks at who is too slow. */
  connectionsCheckingInterval: 5_000,
  /** Bytes; the heroku CLI sends up to 7,000. */
  maxHeaderSize: 16_384,
} as const;

import type { ContentfulStatusCode } from 'hono/utils/http-status';

/** An answer that refuses a call, in Heroku's form `{id, message}` (heroku.md 2.1), with further members such as `resource` or `limit`. */
export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly id: string;
  readonly members: Readonly<Record<string, unknown>>;
  constructor(status: ContentfulStatusCode, id: string, message: string, members: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.id = id;
    this.members = members;
  }

  /** The body to answer with. */
  get body(): Record<string, unknown> {
    return { id: this.id, message: this.message, ...this.members };
  }
}

/** A body or parameter that does not fit: 422 `invalid_params`. */
export function invalidParams(message: string): ApiError {
  return new ApiError(422, 'invalid_params', message);
}

/** An unknown thing: 404 `not_found` with the `resource` that the heroku CLI looks at. */
export function notFound(resource: string): ApiError {
  return new ApiError(404, 'not_found', `Couldn't find that ${resource}.`, { resource });
}

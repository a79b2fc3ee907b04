// heroku-client 3.1.4 without its outer class: one request with its retry counter, agent and promise in reach, which is what a
// deadline needs (heroku-call.ts). @types/heroku-client describes the package's main module only.
declare module 'heroku-client/lib/request.js' {
  import type { Agent, IncomingMessage } from 'node:http';

  class Request {
    constructor(options: {
      readonly host: string;
      readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
      readonly path: string;
      readonly headers: Record<string, string>;
      readonly userAgent: string;
      readonly body?: unknown;
      readonly middleware: (response: IncomingMessage, next: () => void) => void;
    });
    readonly agent: Agent;
    /** How often it was sent again; it gives up at 4. */
    retries: number | undefined;
    request(): Promise<unknown>;
    reject(error: unknown): void;
  }
  export = Request;
}

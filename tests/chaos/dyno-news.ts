// What Heroku tells of dynos, signed and by HTTP, as badly as it may come: late, twice, in another order, not at all, and from somebody who
// is not Heroku (F13).
import { createHmac, randomUUID } from 'node:crypto';
import { createDice, seedOf } from './dice.ts';
import type { Hook } from './heroku-side.ts';
import type { Ledger } from './ledger.ts';

/** Shares of events. */
export interface NewsFaults {
  readonly late: number;
  readonly twice: number;
  readonly lost: number;
  readonly forged: number;
}

/** It is never quite right. */
export const USUAL_NEWS: NewsFaults = { late: 0.05, twice: 0.05, lost: 0.02, forged: 0.05 };

/** Milliseconds that a late event takes at most: others overtake it. */
const LATE_MS = 4_000;
/** Milliseconds after which Heroku waits no longer for an answer. */
const ANSWER_MS = 5_000;

export interface ToldDyno {
  readonly id: string;
  readonly name: string;
  readonly app: string;
  readonly command: string;
  readonly state: string;
}

/** Sends events until closed. `hooksOf`: where those of an app go. `all`: every webhook, whose secrets a forger may have. */
export function createDynoNews(deps: {
  seed: number;
  ledger: Ledger;
  hooksOf: (app: string) => readonly Hook[];
  all: () => readonly Hook[];
}) {
  const dice = createDice(seedOf(deps.seed, 'news'));
  let faults = USUAL_NEWS;
  const closed = new AbortController();
  const timers = new Set<NodeJS.Timeout>();
  const under = new Set<Promise<void>>();

  const send = async (url: string, text: string, secret: string, forged: boolean): Promise<void> => {
    const headers = {
      'content-type': 'application/json',
      'heroku-webhook-hmac-sha256': createHmac('sha256', secret).update(text).digest('base64'),
    };
    const signal = AbortSignal.any([closed.signal, AbortSignal.timeout(ANSWER_MS)]);
    try {
      const response = await fetch(url, { method: 'POST', headers, body: text, signal });
      await response.arrayBuffer();
      deps.ledger.note({ kind: 'event', forged, status: response.status });
    } catch {
      // whoever did not answer is not told again: the level is `notify`
      if (!closed.signal.aborted) deps.ledger.note({ kind: 'event', forged, status: 0 });
    }
  };
  const later = (ms: number, what: () => Promise<void>) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      const done = what().finally(() => under.delete(done));
      under.add(done);
    }, ms);
    timers.add(timer);
  };
  const textOf = (dyno: ToldDyno, action: string, id: string = randomUUID()) =>
    JSON.stringify({
      id,
      action,
      actor: { id: randomUUID(), email: 'line-d@addons.heroku.com' },
      data: { ...dyno, app: { id: dyno.app, name: dyno.app }, type: 'run', size: 'Basic', attach_url: null },
      previous_data: {},
      resource: 'dyno',
      version: 'application/vnd.heroku+json; version=3',
      webhook_metadata: { event: { include: 'api:dyno' } },
    });

  /** Says of a dyno what is not so, with a secret of the forger's own, or with one that is good for another resource. */
  const forge = (hook: Hook, dyno: ToldDyno): void => {
    const lie = { ...dyno, state: dice.pick(['crashed', 'complete', 'down', 'up']) };
    const others = deps.all().filter(({ secret }) => secret !== hook.secret);
    const secret = others.length > 0 && dice.chance(0.5) ? dice.pick(others).secret : 'guessed';
    later(dice.between(0, 300), () => send(hook.url, textOf(lie, 'destroy'), secret, true));
    // with a good signature for an app that is not its own
    const other = others.length > 0 ? dice.pick(others) : undefined;
    if (other !== undefined) later(dice.between(0, 300), () => send(other.url, textOf(lie, 'destroy'), other.secret, false));
  };

  return {
    set: (next: NewsFaults): void => {
      faults = next;
    },

    /** `create`, `update` or `destroy`, as Heroku calls them. */
    tell: (dyno: ToldDyno, action: 'create' | 'update' | 'destroy'): void => {
      for (const hook of deps.hooksOf(dyno.app)) {
        if (dice.chance(faults.forged)) forge(hook, dyno);
        if (dice.chance(faults.lost)) continue;
        const text = textOf(dyno, action);
        const times = dice.chance(faults.twice) ? dice.between(2, 4) : 1;
        for (let n = 0; n < times; n += 1) {
          const ms = dice.chance(faults.late) ? dice.between(200, LATE_MS) : dice.between(5, 60);
          later(ms, () => send(hook.url, text, hook.secret, false));
        }
      }
    },

    close: async (): Promise<void> => {
      closed.abort();
      for (const timer of timers) clearTimeout(timer);
      await Promise.allSettled(under);
    },
  };
}

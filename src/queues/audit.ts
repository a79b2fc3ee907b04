// The audit log: every administrative act on a resource, in order, readable by its owner. One stream per resource.
import type { Redis } from 'ioredis';
import type { AuditEntry } from '../schema/audit-entry.ts';
import { auditKey } from './keys.ts';
import { untilAnswered } from './redis-outage.ts';
import { run as runScript } from './scripts.ts';

/** Entries that a resource's log keeps. */
const MAX_ENTRIES = 10_000;
/** Characters of one value. */
const MAX_VALUE = 500;

/**
 * `actor`: who did it (`heroku`, `engine`, `operator`, `token <name>`, a person's address); `action`: noun and verb (`resource.provision`); `detail`:
 * what of, no secret ever; `address`: where the request came from.
 */
export interface Act {
  readonly actor: string;
  readonly action: string;
  readonly detail?: string;
  readonly address?: string;
}

export type Audit = ReturnType<typeof createAudit>;

export function createAudit(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    /** Notes an act. */
    append: async (resource: string, act: Act): Promise<void> => {
      await redis.xadd(auditKey(resource), 'MAXLEN', '~', MAX_ENTRIES, '*', ...fieldsOf(act));
    },

    /** The newest entries, newest first; `before`: the id of an entry, only older ones follow. */
    list: async (resource: string, page: { limit: number; before?: string }): Promise<readonly AuditEntry[]> => {
      const top = page.before === undefined ? '+' : `(${page.before}`;
      const rows = await redis.xrevrange(auditKey(resource), top, '-', 'COUNT', page.limit);
      return rows.map(([id, flat]) => {
        const fields: Record<string, string> = {};
        for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] ?? ''] = flat[i + 1] ?? '';
        return {
          id,
          // a stream's ids begin with Redis' time in milliseconds; `at`: it was away when the act was done
          at: new Date(Number(fields['at'] ?? id.split('-')[0])).toISOString(),
          actor: fields['actor'] ?? '',
          action: fields['action'] ?? '',
          detail: fields['detail'] ?? '',
          address: fields['address'] ?? null,
        };
      });
    },
  };
}

/**
 * The same on a connection that gives up what waits, for acts that have been done when they are noted: while Redis is away `append` goes on after its
 * caller, who could not take the act back, and notes it once, under the time of the act. `away` hears of that, since a process that ends meanwhile loses
 * the entry. `id`: a new one, as no other; `now`: milliseconds since 1970.
 */
export function createLastingAudit(deps: {
  redis: Redis;
  id: () => string;
  now: () => number;
  away: (error: unknown, resource: string, act: Act) => void;
}): Audit {
  return {
    ...createAudit(deps),
    append: async (resource, act) => {
      const mark = deps.id();
      const at = String(deps.now());
      const away = Promise.withResolvers<void>();
      let late: readonly string[] = [];
      const note = async () => {
        await runScript(deps.redis, 'note-act', [auditKey(resource)], ['', '', MAX_ENTRIES, mark, ...fieldsOf(act), ...late]);
      };
      const noted = untilAnswered((error) => {
        late = ['at', at];
        deps.away(error, resource, act);
        away.resolve();
      }, note);
      await Promise.race([noted, away.promise]);
    },
  };
}

function fieldsOf(act: Act): readonly string[] {
  return Object.entries(act).flatMap(([name, value]) => (value === '' ? [] : [name, value.slice(0, MAX_VALUE)]));
}

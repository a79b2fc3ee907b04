// The audit log: every administrative act on a resource, in order, readable by its owner. One stream per resource.
import type { Redis } from 'ioredis';
import type { AuditEntry } from '../schema/audit-entry.ts';
import { auditKey } from './keys.ts';

/** Entries that a resource's log keeps. */
const MAX_ENTRIES = 10_000;
/** Characters of one value. */
const MAX_VALUE = 500;

export type Audit = ReturnType<typeof createAudit>;

export function createAudit(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    /**
     * Notes an act. `actor`: who did it (`heroku`, `engine`, `operator`, `token <name>`, a person's address); `action`: noun and verb
     * (`resource.provision`); `detail`: what of, no secret ever; `address`: where the request came from.
     */
    append: async (resource: string, act: { actor: string; action: string; detail?: string; address?: string }): Promise<void> => {
      const fields = Object.entries(act).flatMap(([name, value]) => (value === '' ? [] : [name, value.slice(0, MAX_VALUE)]));
      await redis.xadd(auditKey(resource), 'MAXLEN', '~', MAX_ENTRIES, '*', ...fields);
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
          // a stream's ids begin with Redis' time in milliseconds
          at: new Date(Number(id.split('-')[0])).toISOString(),
          actor: fields['actor'] ?? '',
          action: fields['action'] ?? '',
          detail: fields['detail'] ?? '',
          address: fields['address'] ?? null,
        };
      });
    },
  };
}

import type { Redis } from 'ioredis';
import { resourceKey } from './keys.ts';
import { run as runScript } from './scripts.ts';

/**
 * Says before it is done that something changes which the archive keeps beside the record of a resource: its pauses, webhooks, tokens. Of two copies of a
 * record the one that was changed more often is the later one, and what comes back of it brings these along (resource-backup.ts). Does nothing for a
 * resource that does not serve its customer.
 */
export async function revise(redis: Redis, id: string): Promise<void> {
  await runScript(redis, 'resource', [resourceKey(id)], ['', '', '["provisioning","provisioned"]', '{}', '[]', '', '1']);
}

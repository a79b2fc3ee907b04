// A process that has a Redis as tests have theirs, and never stops it.
import { dirname } from 'node:path';
import { startRedis } from '../support/redis-server.ts';

const { pid, socket } = await startRedis();
process.send?.({ pid, folder: dirname(socket) });
// the test that waits for it is gone
process.on('disconnect', () => process.exit(0));

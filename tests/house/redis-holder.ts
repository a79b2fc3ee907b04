// A process that has a Redis as tests have theirs, and never stops it.
import { dirname } from 'node:path';
import { startRedis } from '../support/redis-server.ts';

const { pid, socket } = await startRedis();
process.send?.({ pid, folder: dirname(socket) });
process.on('disconnect', () => {});
setInterval(() => {}, 1_000);

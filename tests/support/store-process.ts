// The local store as a process that can be killed, with a clock that the test sets.
import { randomBytes, randomUUID } from 'node:crypto';
import { startStore } from '../../src/local/store/start-store.ts';

const env = (name: string) => process.env[name] ?? '';
const ahead = Number(env('STORE_AHEAD_MS'));

const store = await startStore({
  dir: env('STORE_DIR'),
  port: Number(env('STORE_PORT')),
  region: 'us-east-1',
  root: JSON.parse(env('STORE_KEY')),
  now: () => Date.now() + ahead,
  random: Math.random,
  randomBytes,
  id: randomUUID,
  onError: (error) => console.error('store:', error),
});
process.on('disconnect', () => process.exit(0));
process.send?.({ port: store.port });

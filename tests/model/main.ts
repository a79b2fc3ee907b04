// The comparison by itself, of so many sequences and of one seed: exit status 0 when scripts and model agree, else 1 and the difference in one
// line. Seeded bugs run it.
import { connect } from '../../src/queues/connection.ts';
import { startRedis } from '../support/redis-server.ts';
import { compareWithModel } from './compare.ts';

const server = await startRedis();
const redis = connect({ socket: server.socket }, () => {});
try {
  await compareWithModel(redis, Number(process.argv[2] ?? 300), { shrink: false, seed: Number(process.argv[3] ?? 20_261_130) });
} catch (error) {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
  console.error(cause.split('\n')[0]);
  process.exitCode = 1;
} finally {
  redis.disconnect();
  await server.stop();
}

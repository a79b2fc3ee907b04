import { defineConfig } from 'vitest/config';

// The engine's own tests once more, each on a Redis Cluster of three servers in place of one: `npm run test:cluster`.
export default defineConfig({
  test: {
    include: ['tests/engine/**/*.test.ts'],
    // these stand between the engine and one server's socket, look at BullMQ's commands on one connection, or make the one server refuse
    exclude: [
      'tests/engine/pubsub.test.ts',
      'tests/engine/bullmq-contract.test.ts',
      'tests/engine/planned-trees.test.ts',
      'tests/engine/refusing-redis.test.ts',
    ],
    env: { AUTOFILES_TEST_CLUSTER: '1' },
    testTimeout: 120_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

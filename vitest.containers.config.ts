import { defineConfig } from 'vitest/config';

// The tests that need a container engine: `npm run test:containers`.
export default defineConfig({
  test: {
    include: ['tests/containers/**/*.test.ts'],
    testTimeout: 240_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
    pool: 'forks',
    env: { TESTCONTAINERS_RYUK_DISABLED: 'true' },
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

import { defineConfig } from 'vitest/config';

// Processes that are killed or frozen at every point of their work, and a thousand real dynos: minutes, not seconds.
export default defineConfig({
  test: {
    include: ['tests/faults/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    maxWorkers: 3,
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

import { defineConfig } from 'vitest/config';

// Tests start real servers and processes on a machine that may have two cores: few workers, generous deadlines.
export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: ['tests/clients/**', 'node_modules/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

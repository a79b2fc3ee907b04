import { defineConfig } from 'vitest/config';

// Tests start real servers and processes on a machine that may have two cores: few workers, generous deadlines. What takes minutes
// has a configuration of its own: foreign clients, killed and frozen processes.
export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: ['tests/clients/**', 'tests/browser/**', 'tests/containers/**', 'tests/faults/**', 'tests/peers/**', 'node_modules/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

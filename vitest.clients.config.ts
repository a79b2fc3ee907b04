import { defineConfig } from 'vitest/config';

// The tests that need foreign clients: Debian's boto3 and aws CLI, and others as issues add them.
export default defineConfig({
  test: {
    include: ['tests/clients/**/*.test.ts'],
    globalSetup: 'tests/clients/install-heroku.ts',
    testTimeout: 180_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

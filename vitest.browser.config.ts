import { defineConfig } from 'vitest/config';

// The dashboard in a real browser: Debian's Chromium through playwright-core.
export default defineConfig({
  test: {
    include: ['tests/browser/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

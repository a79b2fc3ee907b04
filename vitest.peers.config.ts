import { defineConfig } from 'vitest/config';

// PostgreSQL and 250 MB of packages are installed where they are missing: not for everybody's `npm test`.
export default defineConfig({
  test: {
    include: ['tests/peers/**/*.test.ts'],
    testTimeout: 600_000,
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
});

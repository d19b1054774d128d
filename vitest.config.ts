import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Worker threads crash with addons that are unloaded in the middle of work; forked children do not.
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});

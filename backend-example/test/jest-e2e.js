const base = require('../jest.config');

/** The real application and a real Postgres (see postgres.ts). */
module.exports = {
  ...base,
  testRegex: 'test/.*\\.e2e-spec\\.ts$',
  globalSetup: '<rootDir>/test/global-setup.ts',
  globalTeardown: '<rootDir>/test/global-teardown.ts',
  setupFiles: ['<rootDir>/test/environment.ts'],
  testTimeout: 30_000,
};

/** Unit specs, beside the code. test/jest-e2e.js holds what differs for the end-to-end run. */
module.exports = {
  rootDir: __dirname,
  testEnvironment: 'node',
  testRegex: 'src/.*\\.spec\\.ts$',
  transform: {
    '^.+\\.(t|j)s$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: {
          target: 'es2023',
          keepClassNames: true,
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'commonjs' },
      },
    ],
  },
  // Published as ES modules, which jest can only load once they are transformed too.
  transformIgnorePatterns: ['/node_modules/(?!(@nestjs|node-pg-migrate)/)'],
};

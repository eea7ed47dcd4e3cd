import { spawnSync } from 'node:child_process';
import { MAIN, baseEnv } from './support/service';

/** Runs the built application until it ends; it is killed after 20 s. */
const run = (env: Record<string, string>, ...nodeOptions: string[]) => {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [...nodeOptions, MAIN],
    {
      env: { ...baseEnv(), OTEL_EXPORTER_PROMETHEUS_PORT: '0', ...env },
      encoding: 'utf8',
      timeout: 20_000,
      killSignal: 'SIGKILL',
    },
  );
  return { status, signal, stdout, stderr };
};

describe('a variable that cannot be used', () => {
  it.each([
    [
      { LOG_LEVEL: 'verbose' },
      'LOG_LEVEL is "verbose", but must be one of "trace", "debug", "info", "warn", "error", "fatal", "silent".\n',
    ],
    [
      { PORT: 'abc' },
      'PORT is "abc", but must be a whole number from 0 to 65535.\n',
    ],
    [
      { OTEL_BSP_SCHEDULE_DELAY: '1s' },
      'OTEL_BSP_SCHEDULE_DELAY is "1s", but must be a whole number from 1 to 2147483647.\n',
    ],
    [
      { FAULTS_ENABLED: 'yes', OTEL_EXPORTER_PROMETHEUS_PORT: '99999' },
      'FAULTS_ENABLED is "yes", but must be one of "true", "false".\nOTEL_EXPORTER_PROMETHEUS_PORT is "99999", but must be a whole number from 0 to 65535.\n',
    ],
  ])('%p ends the process with a sentence about it', (env, stderr) => {
    expect(run(env as Record<string, string>)).toEqual({
      status: 1,
      signal: null,
      stdout: '',
      stderr,
    });
  });
});

it('says why it ends even when it cannot log', () => {
  // As in an image without development dependencies, started without NODE_ENV=production.
  const withoutPinoPretty = `
    import { Module } from 'node:module';
    const resolve = Module._resolveFilename;
    Module._resolveFilename = function (name, ...more) {
      if (name === 'pino-pretty') throw new Error('there is no pino-pretty');
      return resolve.call(this, name, ...more);
    };`;
  const { status, signal, stderr } = run(
    { NODE_ENV: 'development' },
    `--import=data:text/javascript,${encodeURIComponent(withoutPinoPretty)}`,
  );
  expect([status, signal]).toEqual([1, null]);
  expect(stderr).toContain('pino-pretty');
});

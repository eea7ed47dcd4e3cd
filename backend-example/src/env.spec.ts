import { levels } from 'pino';
import { readEnv } from './env';

const problems = (env: NodeJS.ProcessEnv): string[] => {
  try {
    readEnv(env);
    return [];
  } catch (error) {
    return (error as Error).message.split('\n');
  }
};

describe(readEnv.name, () => {
  it.each([
    ['unset', undefined],
    ['empty', ''],
    ['blank', ' '],
  ])('has a default for each that is %s', (_, value) => {
    const everything = new Proxy({}, { get: () => value });

    const batches = {
      scheduledDelayMillis: 1000,
      exportTimeoutMillis: undefined,
      maxQueueSize: undefined,
      maxExportBatchSize: undefined,
    };
    expect(readEnv(everything)).toEqual({
      production: false,
      host: undefined,
      port: 5555,
      logLevel: 'info',
      databaseUrl: 'postgres://books:books@localhost:5432/books',
      faultsEnabled: false,
      corsOrigins: undefined,
      telemetryDisabled: false,
      tracesOverHttp: true,
      logsOverHttp: true,
      metricsScraped: true,
      samplesEverything: true,
      attributeLength: 16_384,
      spanBatches: batches,
      logBatches: batches,
      metricsHost: undefined,
      metricsPort: 8081,
    });
  });

  it('takes what is set', () => {
    expect(
      readEnv({
        NODE_ENV: 'production',
        HOST: '::1',
        PORT: '0',
        LOG_LEVEL: ' silent ',
        DATABASE_URL: 'postgresql://me:p%40ss@db.example:6543/library',
        FAULTS_ENABLED: 'true',
        CORS_ORIGINS: 'https://shop.example , http://[::1]:4200',
        OTEL_SDK_DISABLED: 'true',
        OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0.25',
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: '2048',
        OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
        OTEL_EXPORTER_PROMETHEUS_PORT: '9464',
        OTEL_BSP_SCHEDULE_DELAY: '10',
        OTEL_BSP_EXPORT_TIMEOUT: '20',
        OTEL_BSP_MAX_QUEUE_SIZE: '30',
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '40',
        OTEL_BLRP_SCHEDULE_DELAY: '50',
      }),
    ).toMatchObject({
      production: true,
      host: '::1',
      port: 0,
      logLevel: 'silent',
      databaseUrl: 'postgresql://me:p%40ss@db.example:6543/library',
      faultsEnabled: true,
      corsOrigins: ['https://shop.example', 'http://[::1]:4200'],
      telemetryDisabled: true,
      samplesEverything: false,
      attributeLength: 2048,
      metricsHost: '127.0.0.1',
      metricsPort: 9464,
      spanBatches: {
        scheduledDelayMillis: 10,
        exportTimeoutMillis: 20,
        maxQueueSize: 30,
        maxExportBatchSize: 40,
      },
      logBatches: { scheduledDelayMillis: 50 },
    });
  });

  it('names every bad one at once, with what is allowed', () => {
    expect(
      problems({ LOG_LEVEL: 'verbose', PORT: 'abc', FAULTS_ENABLED: 'yes' }),
    ).toEqual([
      'PORT is "abc", but must be a whole number from 0 to 65535.',
      'LOG_LEVEL is "verbose", but must be one of "trace", "debug", "info", "warn", "error", "fatal", "silent".',
      'FAULTS_ENABLED is "yes", but must be one of "true", "false".',
    ]);
  });

  it('takes every level of pino, and silence', () => {
    const all = [...Object.values(levels.labels), 'silent'];
    expect(all.flatMap((LOG_LEVEL) => problems({ LOG_LEVEL }))).toEqual([]);
  });

  it.each(['-1', '65536', '80.5', '1e3', '0x50', '5555tcp'])(
    'refuses %s as a port',
    (port) => {
      const names = ['PORT', 'OTEL_EXPORTER_PROMETHEUS_PORT'];
      for (const name of names)
        expect(problems({ [name]: port })).toHaveLength(1);
    },
  );

  // Each would be a timer of 1 ms, or a batch that never gets smaller.
  it.each([
    ...['SCHEDULE_DELAY', 'EXPORT_TIMEOUT'].flatMap((name) =>
      ['1s', '0', '-1', 'Infinity', '2147483648'].map((value) => [name, value]),
    ),
    ...['MAX_QUEUE_SIZE', 'MAX_EXPORT_BATCH_SIZE'].flatMap((name) =>
      ['many', '0', '-1', '0.5'].map((value) => [name, value]),
    ),
  ])('refuses %s=%s for spans and for log records', (name, value) => {
    expect(problems({ [`OTEL_BSP_${name}`]: value })).toHaveLength(1);
    expect(problems({ [`OTEL_BLRP_${name}`]: value })).toHaveLength(1);
  });

  it('refuses an interval of the metrics that would be a loop', () => {
    const interval = (value: string) =>
      problems({ OTEL_METRIC_EXPORT_INTERVAL: value });
    expect(interval('5000')).toEqual([]);
    expect(interval('2147483648')).toHaveLength(1);
  });

  it.each([
    ['books'],
    ['mysql://me:secret@db/books'],
    ['postgres://a:b:c:d'],
    ['postgres://me:100%@db/books'],
  ])('refuses the database %s without repeating it', (DATABASE_URL) => {
    expect(problems({ DATABASE_URL })).toEqual([
      'DATABASE_URL is not a valid address; it should look like postgres://user:password@host:5432/database.',
    ]);
  });

  it.each([
    [{ OTEL_METRICS_EXPORTER: 'prometheus' }, {}],
    [{ OTEL_METRICS_EXPORTER: 'otlp' }, { metricsScraped: false }],
    [{ OTEL_METRICS_EXPORTER: 'none' }, { metricsScraped: false }],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_LOGS_EXPORTER: 'otlp' }, {}],
    [{ OTEL_TRACES_EXPORTER: 'none' }, { tracesOverHttp: false }],
    [{ OTEL_LOGS_EXPORTER: 'console' }, { logsOverHttp: false }],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }, {}],
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      { tracesOverHttp: false, logsOverHttp: false },
    ],
    [
      {
        OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
        OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: 'http/json',
      },
      { tracesOverHttp: false },
    ],
    [{ OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc' }, { tracesOverHttp: false }],
  ])('with %p leaves to the SDK what is not ours', (env, expected) => {
    const { tracesOverHttp, logsOverHttp, metricsScraped } = readEnv(env);
    expect({ tracesOverHttp, logsOverHttp, metricsScraped }).toEqual({
      tracesOverHttp: true,
      logsOverHttp: true,
      metricsScraped: true,
      ...expected,
    });
  });

  it.each(['-0.1', '1.1', '50%', '1e-1', 'half', '.', '0x1'])(
    'refuses to sample a part of %s',
    (OTEL_TRACES_SAMPLER_ARG) => {
      expect(problems({ OTEL_TRACES_SAMPLER_ARG })).toEqual([
        `OTEL_TRACES_SAMPLER_ARG is "${OTEL_TRACES_SAMPLER_ARG}", but must be a number from 0 to 1.`,
      ]);
    },
  );

  it.each(['0', '0.5', '1', '1.0'])('samples a part of %s', (part) => {
    expect(problems({ OTEL_TRACES_SAMPLER_ARG: part })).toEqual([]);
  });

  // Each would never be equal to what a browser sends.
  it.each([
    '*',
    'null',
    'localhost:4200',
    'http://localhost:4200/',
    'https://shop.example:443',
    'HTTPS://shop.example',
    'ftp://shop.example',
    'https://shop.example,',
    'https://shop.example https://b.example',
  ])('refuses the origin %s', (CORS_ORIGINS) => {
    expect(problems({ CORS_ORIGINS })).toEqual([
      `CORS_ORIGINS is "${CORS_ORIGINS}", but must be a list such as "https://shop.example,http://pc:4200".`,
    ]);
  });

  it.each([
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote'],
    ['OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT', '16k'],
    ['OTEL_METRICS_EXPORTER', 'prometheus,otlp'], // one of the two would be left out
    ['OTEL_TRACES_EXPORTER', 'jaeger'],
    ['OTEL_LOGS_EXPORTER', 'loki'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'http'],
    ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'json'],
    ['OTEL_SDK_DISABLED', '1'],
  ])('refuses %s=%s', (name, value) => {
    expect(problems({ [name]: value })).toEqual([
      expect.stringMatching(RegExp(`^${name} is "${value}", but must be `)),
    ]);
  });
});

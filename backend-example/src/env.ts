const LEVELS = 'trace debug info warn error fatal silent'.split(' ');
const PROTOCOLS = ['http/json', 'http/protobuf', 'grpc'];
const SAMPLERS = ['always_on', 'always_off', 'traceidratio'];
const LONGEST_TIMER = 2 ** 31 - 1; // Node takes a longer delay for 1 ms, as it does NaN

/**
 * Every variable that the service reads itself, checked and with its default. An empty one counts
 * as unset, as OpenTelemetry wants it.
 *
 * A plain function, not @nestjs/config: telemetry and logger are set up before Nest is loaded.
 *
 * @throws Error with one sentence for each bad variable
 */
export function readEnv(env: NodeJS.ProcessEnv = process.env) {
  const problems: string[] = [];

  const text = (name: string) => env[name]?.trim() || undefined;

  const refuse = (name: string, what: string) =>
    problems.push(
      `${name} is ${JSON.stringify(text(name))}, but must be ${what}.`,
    );

  function choice(name: string, allowed: string[], usual: string): string {
    const value = text(name);
    if (value === undefined) return usual;
    if (!allowed.includes(value))
      refuse(name, `one of ${allowed.map((one) => `"${one}"`).join(', ')}`);
    return value;
  }

  const flag = (name: string) =>
    choice(name, ['true', 'false'], 'false') === 'true';

  function integer(name: string, min: number, max: number): number | undefined {
    const value = text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max)
      refuse(name, `a whole number from ${min} to ${max}`);
    return number;
  }

  function ratio(name: string): void {
    const value = text(name);
    if (value !== undefined && !/^(0(\.\d+)?|1(\.0+)?)$/.test(value))
      refuse(name, 'a number from 0 to 1');
  }

  function origins(name: string): string[] | undefined {
    const values = text(name)?.split(/\s*,\s*/);
    if (values?.every(isOrigin) === false)
      refuse(name, 'a list such as "https://shop.example,http://pc:4200"');
    return values;
  }

  const port = (name: string) => integer(name, 0, 65_535);
  const size = (name: string) => integer(name, 1, 1_000_000);
  const milliseconds = (name: string) => integer(name, 1, LONGEST_TIMER);

  const batches = (prefix: string) => ({
    scheduledDelayMillis: milliseconds(`${prefix}_SCHEDULE_DELAY`) ?? 1000,
    exportTimeoutMillis: milliseconds(`${prefix}_EXPORT_TIMEOUT`),
    maxQueueSize: size(`${prefix}_MAX_QUEUE_SIZE`),
    maxExportBatchSize: size(`${prefix}_MAX_EXPORT_BATCH_SIZE`),
  });

  const anyProtocol = choice(
    'OTEL_EXPORTER_OTLP_PROTOCOL',
    PROTOCOLS,
    'http/json',
  );
  const overHttp = (signal: string, others: string[]) => {
    const exporter = `OTEL_${signal}_EXPORTER`;
    const protocol = `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`;
    // both, also when the first has decided: a bad value is refused in any case
    const isOtlp = choice(exporter, ['otlp', ...others], 'otlp') === 'otlp';
    const isGrpc = choice(protocol, PROTOCOLS, anyProtocol) === 'grpc';
    return isOtlp && !isGrpc;
  };

  function databaseUrl(): string {
    const value =
      text('DATABASE_URL') ?? 'postgres://books:books@localhost:5432/books';
    // Not repeated: it holds a password.
    if (!isDatabaseUrl(value))
      problems.push(
        'DATABASE_URL is not a valid address; it should look like postgres://user:password@host:5432/database.',
      );
    return value;
  }

  const values = {
    production: env.NODE_ENV === 'production',
    host: text('HOST'), // without: all interfaces
    port: port('PORT') ?? 5555,
    logLevel: choice('LOG_LEVEL', LEVELS, 'info'),
    databaseUrl: databaseUrl(),
    faultsEnabled: flag('FAULTS_ENABLED'),
    corsOrigins: origins('CORS_ORIGINS'), // without: localhost, on any port

    telemetryDisabled: flag('OTEL_SDK_DISABLED'),
    // True: as instrumentation.ts has it. False: as the SDK makes it from the standard variables.
    tracesOverHttp: overHttp('TRACES', ['console', 'zipkin', 'none']),
    logsOverHttp: overHttp('LOGS', ['console', 'none']),
    metricsScraped:
      choice(
        'OTEL_METRICS_EXPORTER',
        ['prometheus', 'otlp', 'console', 'none'],
        'prometheus',
      ) === 'prometheus',
    samplesEverything:
      choice(
        'OTEL_TRACES_SAMPLER',
        [...SAMPLERS, ...SAMPLERS.map((name) => `parentbased_${name}`)],
        '',
      ) === '',
    attributeLength:
      integer('OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT', 1, 1_000_000) ?? 16_384,
    spanBatches: batches('OTEL_BSP'),
    logBatches: batches('OTEL_BLRP'),
    metricsHost: text('OTEL_EXPORTER_PROMETHEUS_HOST'),
    metricsPort: port('OTEL_EXPORTER_PROMETHEUS_PORT') ?? 8081,
  };
  // Read by the SDK, which takes what it does not understand for its default.
  ratio('OTEL_TRACES_SAMPLER_ARG');
  milliseconds('OTEL_METRIC_EXPORT_INTERVAL'); // too long a one is a loop, too
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return values;
}

/** As a browser writes it: scheme, host, and a port unless it is the usual one. */
function isOrigin(value: string): boolean {
  return (
    /^https?:/.test(value) &&
    URL.canParse(value) &&
    new URL(value).origin === value
  );
}

/** As pg reads it, which takes any other text for the name of a local database. */
function isDatabaseUrl(value: string): boolean {
  try {
    decodeURIComponent(value);
  } catch {
    return false;
  }
  return /^postgres(ql)?:\/\//.test(value) && URL.canParse(value);
}

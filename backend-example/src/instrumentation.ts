import { ServerResponse } from 'node:http';
import { TraceFlags, type SpanContext } from '@opentelemetry/api';
import { getNodeAutoInstrumentations } from '@opentelemetry/auto-instrumentations-node';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  envDetector,
  hostDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  BatchLogRecordProcessor,
  type LogRecordProcessor,
} from '@opentelemetry/sdk-logs';
import { AggregationType } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { AlwaysOnSampler, BatchSpanProcessor } from '@opentelemetry/sdk-trace';
import {
  ATTR_DEPLOYMENT_ENVIRONMENT_NAME,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_NAMESPACE,
  ATTR_SERVICE_VERSION,
} from '@opentelemetry/semantic-conventions';
import { version } from '../package.json';
import { readEnv } from './env';
import { isQuietPath } from './quiet-paths';

const env = readEnv();

// In characters, for spans and log records: enough for a stack trace of Nest with its causes. The
// SDK has no limit of its own. It takes that of log records from the environment only.
process.env.OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT = String(env.attributeLength);

// Without a url the exporters follow OTEL_EXPORTER_OTLP_*; the default is http://localhost:4318.
const traceExporter = new OTLPTraceExporter();
const spanProcessor = new BatchSpanProcessor({
  exporter: traceExporter,
  ...env.spanBatches,
});

const logExporter = new OTLPLogExporter();
const logProcessor = new BatchLogRecordProcessor({
  exporter: logExporter,
  ...env.logBatches,
});

const isSampled = (context?: SpanContext) =>
  context !== undefined && (context.traceFlags & TraceFlags.SAMPLED) !== 0;

// A log record links to its trace. Where that was not sampled, the link would lead nowhere.
const withoutDeadLinks: LogRecordProcessor = {
  onEmit(record) {
    if (!isSampled(record.spanContext)) record.spanContext = undefined;
  },
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};

// In seconds. 0.25 is the objective of the SLO. The library's own buckets have none between 1 s and
// 2.5 s: a quantile there is anybody's guess. The same as those of the span metrics in the collector.
const LATENCY_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1,
  1.25, 1.5, 2, 2.5, 3.5, 5, 10,
];

// Served on http://localhost:8081/metrics, for a Prometheus-style scraper to pull.
const metricReader = new PrometheusExporter(
  {
    // The library's default, localhost, is out of reach from another container.
    host: env.metricsHost ?? '0.0.0.0',
    port: env.metricsPort,
    withoutScopeInfo: true,
    withResourceConstantLabels: /^service\.name$/,
    // The port is opened right here, not by `start()`.
    preventServerStart: env.telemetryDisabled || !env.metricsScraped,
  },
  (error) => {
    if (error) console.error(`No metrics are served: ${error.message}`);
  },
);

/**
 * Traces and logs go out over OTLP/HTTP, metrics are scraped. Where OTEL_TRACES_EXPORTER,
 * OTEL_LOGS_EXPORTER, OTEL_METRICS_EXPORTER or a protocol of "grpc" ask for something else, the SDK
 * follows them instead: it looks at them only where it is given nothing.
 *
 * Importing this file installs the hooks that patch http, express, pg and pino, so import it
 * before anything that loads them; nothing is recorded until `otelSDK.start()`.
 */
export const otelSDK = new NodeSDK({
  // Defaults: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over them.
  resource: defaultResource().merge(
    resourceFromAttributes({
      [ATTR_SERVICE_NAME]: 'backend-example',
      [ATTR_SERVICE_NAMESPACE]: 'lgtm-stack',
      [ATTR_SERVICE_VERSION]: version,
      [ATTR_DEPLOYMENT_ENVIRONMENT_NAME]: env.production
        ? 'production'
        : 'development',
    }),
  ),
  // Not the process detector: it would attach the whole command line to every record.
  resourceDetectors: [envDetector, hostDetector],
  // Anybody may call this service, and send "not sampled" or "sampled" in `traceparent`. It keeps
  // the caller's trace id, but decides by itself. The SDK's default, parentbased_always_on, does as
  // the caller says, and is for services that are called by your own ones only.
  sampler: env.samplesEverything ? new AlwaysOnSampler() : undefined,
  spanProcessors: env.tracesOverHttp ? [spanProcessor] : undefined,
  logRecordProcessors: env.logsOverHttp
    ? [withoutDeadLinks, logProcessor]
    : undefined,
  metricReaders: env.metricsScraped ? [metricReader] : undefined,
  views: [
    {
      instrumentName: 'http.server.request.duration',
      aggregation: {
        type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM,
        options: { boundaries: LATENCY_BUCKETS },
      },
    },
  ],
  instrumentations: [
    getNodeAutoInstrumentations({
      // A span per file, lookup or socket says little and costs a lot.
      '@opentelemetry/instrumentation-fs': { enabled: false },
      '@opentelemetry/instrumentation-dns': { enabled: false },
      '@opentelemetry/instrumentation-net': { enabled: false },
      // Express 5 is built on `router`: every layer would be traced twice.
      '@opentelemetry/instrumentation-router': { enabled: false },
      // No span per middleware. The route is still written to the server span and metrics.
      '@opentelemetry/instrumentation-express': { ignoreLayers: [() => true] },
      '@opentelemetry/instrumentation-http': {
        ignoreIncomingRequestHook: ({ url, socket }) =>
          isQuietPath(url) || socket.destroyed,
        // Every answer names its trace: the thread to follow from Postman or curl into Grafana.
        responseHook: (span, response) => {
          // Not sampled, or not sent anywhere: there is no trace to name.
          if (response instanceof ServerResponse && span.isRecording())
            response.setHeader('X-Trace-Id', span.spanContext().traceId);
        },
      },
      '@opentelemetry/instrumentation-pino': {
        // As withoutDeadLinks, for stdout. The id still ties the lines of a request together.
        logHook: (span, line) => {
          if (isSampled(span.spanContext())) return;
          line.unsampled_trace_id = line.trace_id as string;
          delete line.trace_id;
          delete line.span_id;
          delete line.trace_flags;
        },
      },
      // SQL is traced only as part of a request: no root spans from start-up or health checks.
      '@opentelemetry/instrumentation-pg': {
        requireParentSpan: true,
        ignoreConnectSpans: true,
      },
    }),
  ],
});

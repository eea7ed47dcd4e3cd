import { ServerResponse } from 'node:http';
import { isSpanContextValid } from '@opentelemetry/api';
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
import { BatchLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace';
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
  spanProcessors: env.tracesOverHttp ? [spanProcessor] : undefined,
  logRecordProcessors: env.logsOverHttp ? [logProcessor] : undefined,
  metricReaders: env.metricsScraped ? [metricReader] : undefined,
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
        ignoreIncomingRequestHook: (request) => isQuietPath(request.url),
        // Every answer names its trace: the thread to follow from Postman or curl into Grafana.
        responseHook: (span, response) => {
          const context = span.spanContext();
          // Without the SDK there is no trace to name.
          if (response instanceof ServerResponse && isSpanContextValid(context))
            response.setHeader('X-Trace-Id', context.traceId);
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

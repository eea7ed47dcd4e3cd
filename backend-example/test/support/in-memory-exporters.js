// Preloaded into the service (node --require): its exporters keep everything in memory, and hand
// it to the test when asked.
const traces = require('@opentelemetry/exporter-trace-otlp-http');
const logs = require('@opentelemetry/exporter-logs-otlp-http');
const { InMemorySpanExporter } = require('@opentelemetry/sdk-trace');
const { InMemoryLogRecordExporter } = require('@opentelemetry/sdk-logs');

const spanExporter = new InMemorySpanExporter();
const logExporter = new InMemoryLogRecordExporter();

traces.OTLPTraceExporter.prototype.export = (spans, done) =>
  spanExporter.export(spans, done);
logs.OTLPLogExporter.prototype.export = (records, done) =>
  logExporter.export(records, done);

process.on('message', () => {
  process.send({
    spans: spanExporter.getFinishedSpans().map((span) => ({
      name: span.name,
      kind: span.kind,
      status: span.status,
      events: span.events.map(({ name }) => name),
      eventAttributes: span.events.map(({ attributes }) => attributes),
      attributes: span.attributes,
      traceId: span.spanContext().traceId,
      spanId: span.spanContext().spanId,
      parentSpanId: span.parentSpanContext?.spanId,
    })),
    logs: logExporter.getFinishedLogRecords().map((record) => ({
      body: record.body,
      severityNumber: record.severityNumber,
      severityText: record.severityText,
      attributes: record.attributes,
      traceId: record.spanContext?.traceId,
      spanId: record.spanContext?.spanId,
    })),
  });
});

import type { Component } from './component.ts';

export const collector: Component = {
  name: 'otel-collector',
  title: 'OpenTelemetry Collector',
  version: ({ OTELCOL_VERSION }) => OTELCOL_VERSION,
  ports: [
    { inside: 4317, setting: 'OTLP_GRPC_PORT' },
    { inside: 4318, setting: 'OTLP_HTTP_PORT' },
    { inside: 4319 },
    { inside: 8088 },
    { inside: 8888 },
    { inside: 13133 },
  ],
  readiness: { port: 13133, path: '/' },
  // Docker does not publish the port of its health: it is given nothing to do.
  probe: (stores) =>
    stores.sendOtlp('traces', 'nobody', []).then(
      () => undefined,
      (error: Error) => error.message,
    ),
  stops: 2,
  program: {
    name: 'otelcol-contrib',
    setting: 'OTELCOL_BINARY',
    release: ({ version, os, arch }) => ({
      url: `https://github.com/open-telemetry/opentelemetry-collector-releases/releases/download/v${version}/otelcol-contrib_${version}_${os}_${arch}.tar.gz`,
      checksums: 'opentelemetry-collector-releases_otelcol-contrib_checksums.txt',
      path: 'otelcol-contrib',
    }),
  },
  folders: { '/etc/otelcol-contrib': 'config', '/var/lib/otelcol': 'data' },
  prepare: async ({ config, moreConfigs, port }) => ({
    args: [
      ...[
        `${config}/otel-collector-config.yaml`,
        `${config}/limits-config.yaml`,
        `${config}/own.yaml`, // the user's additions
        ...moreConfigs,
        ...ownMetrics(port('otel-collector', 8888)),
      ].flatMap((file) => ['--config', file]),
      '--feature-gates=exporter.prometheusremotewritexporter.RetryOn429', // as in its Dockerfile
    ],
  }),
};

/** Where its own metrics are, if not at the usual port. The rest is what the collector has without it. */
function ownMetrics(port: number): string[] {
  if (port === 8888) return [];
  const prometheus = `{host: localhost, port: ${port}, without_scope_info: true, without_type_suffix: true, without_units: true, with_resource_constant_labels: {included: []}}`;
  return [
    `yaml:service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: ${prometheus}}}}]`,
  ];
}

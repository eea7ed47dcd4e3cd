import * as units from '@grafana/grafana-foundation-sdk/units';
import {
  NOTIFICATIONS,
  alertList,
  bars,
  dashboard,
  graph,
  logLines,
  logList,
  metric,
  metricNow,
  onRightAxis,
  prose,
  stackedGraph,
  upOrDown,
} from './panels.ts';

const HOW = `Telemetry goes from left to right: **the service** → **collector receives** → **collector sends** → **Loki, Tempo, Mimir store**. Find the first panel in that order that shows nothing: what is before it works, and the data stops there. *Lost* must stay at 0 everywhere.`;

const rate = (counter: string) => `sum (rate(${counter}[$__rate_interval]))`;

/** 0 instead of nothing: Prometheus has no series of what never happened. */
const orZero = (expr: string) => `${expr} or vector(0)`;

/** What a store took per second, and what of it was lost. */
const ingest = (title: string, received: string, discarded: string) =>
  graph(
    {
      title,
      description: 'Per second, and how many of them were discarded.',
      width: 8,
    },
    units.CountsPerSecond,
    metric(rate(received), 'received'),
    metric(orZero(rate(discarded)), 'lost'),
  );

/** 99 of 100 requests over HTTP to these routes of a store were faster. */
const latency = (store: string, histogram: string, routes: string) =>
  graph(
    {
      title: 'Latency, 99th percentile',
      description: `Of what ${store} is asked over HTTP, by route.`,
      width: 8,
    },
    units.Seconds,
    metric(
      `histogram_quantile(0.99, sum by (le, route) (rate(${histogram}_bucket{route=~"${routes}"}[$__rate_interval])))`,
      '{{route}}',
    ),
  );

const SIGNALS = {
  spans: 'traces',
  log_records: 'logs',
  metric_points: 'metrics',
};

/** A query for each signal, of a counter of the collector whose name ends with the signal. */
const perSignal = (expr: (suffix: string) => string) =>
  Object.entries(SIGNALS).map(([suffix, signal]) =>
    metric(expr(suffix), signal),
  );

/** Whether data reaches the stores, and where it is lost if not. */
export default dashboard(
  {
    uid: 'stack',
    title: 'The stack itself',
    description: 'Collector, Loki, Tempo and Mimir: where data stops',
  },
  {
    '': [
      prose(HOW, 24, 2),
      upOrDown(
        {
          title: 'Can be scraped',
          description:
            'up: whether the collector could fetch /metrics of each component at the last try.',
          width: 24,
        },
        metricNow('max by (job) (up)', '{{job}}'),
      ),
    ],
    'OpenTelemetry Collector': [
      graph(
        {
          title: 'Received',
          description:
            'Records per second that its receivers took: pushed over OTLP, or scraped.',
          width: 6,
        },
        units.CountsPerSecond,
        ...perSignal((s) => rate(`otelcol_receiver_accepted_${s}_total`)),
      ),
      graph(
        {
          title: 'Sent',
          description:
            'Records per second that its exporters delivered to Tempo, Loki and Mimir.',
          width: 6,
        },
        units.CountsPerSecond,
        ...perSignal((s) =>
          rate(`otelcol_exporter_sent_${s}_total{exporter=~".*/.*"}`),
        ),
      ),
      graph(
        {
          title: 'Lost',
          description:
            'Records per second that it refused (memory_limiter), that a full queue dropped, or that a store did not take.',
          width: 6,
        },
        units.CountsPerSecond,
        ...perSignal((s) =>
          orZero(
            rate(
              `{__name__=~"otelcol_(receiver_refused|exporter_enqueue_failed|exporter_send_failed)_${s}_total"}`,
            ),
          ),
        ),
      ),
      graph(
        {
          title: 'Queues',
          description:
            'How full the queue of each exporter is. It fills while a store does not answer.',
          width: 6,
        },
        units.PercentUnit,
        metric(
          'max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)',
          '{{exporter}}',
        ),
      ).max(1),
    ],
    Loki: [
      ingest(
        'Lines received',
        'loki_distributor_lines_received_total',
        'loki_discarded_samples_total',
      ),
      graph(
        {
          title: 'Streams',
          description:
            'Distinct sets of labels in memory. If it grows with traffic, a label has too many values.',
          width: 8,
        },
        units.Short,
        metric('sum(loki_ingester_memory_streams)', 'streams'),
      ),
      latency(
        'Loki',
        'loki_request_duration_seconds',
        'otlp_v1_logs|loki_api_v1_query_range|loki_api_v1_query',
      ),
    ],
    Tempo: [
      ingest(
        'Spans received',
        'tempo_distributor_spans_received_total',
        'tempo_discarded_spans_total',
      ),
      graph(
        {
          title: 'Live traces',
          description:
            'Traces that may still get spans; a moment later they are written down.',
          width: 8,
        },
        units.Short,
        metric('sum(tempo_live_store_live_traces)', 'traces'),
      ),
      latency('Tempo', 'tempo_request_duration_seconds', 'api_.*'),
    ],
    Mimir: [
      ingest(
        'Samples received',
        'cortex_distributor_received_samples_total',
        'cortex_discarded_samples_total',
      ),
      onRightAxis(
        'of the limit',
        units.PercentUnit,
        graph(
          {
            title: 'Active series',
            description:
              'Series in memory, and on the right their share of what Mimir allows. If they grow with traffic, a label has too many values.',
            width: 8,
          },
          units.Short,
          metric('sum(cortex_ingester_memory_series)', 'series'),
          metric(
            'sum(cortex_ingester_memory_series) / max(cortex_ingester_local_limits{limit="max_global_series_per_user"})',
            'of the limit',
          ),
        ),
      ),
      latency(
        'Mimir',
        'cortex_request_duration_seconds',
        'api_v1_push|prometheus_api_v1_query_range|prometheus_api_v1_query',
      ),
    ],
    'Every component': [
      graph(
        {
          title: 'Scrape duration',
          description:
            'How long the collector waits for /metrics of each component.',
          width: 8,
        },
        units.Seconds,
        metric('max by (job) (scrape_duration_seconds)', '{{job}}'),
      ),
      bars(
        {
          title: 'Samples per scrape',
          description: 'What each component adds to Mimir at every scrape.',
          width: 8,
        },
        units.Short,
        metric('max by (job) (scrape_samples_scraped)', '{{job}}'),
      ),
      stackedGraph(
        {
          title: 'Memory',
          description: 'Resident memory of each process.',
          width: 8,
        },
        units.BytesIEC,
        metric(
          'max by (service) ({__name__=~"process_resident_memory_bytes|otelcol_process_memory_rss|process_memory_usage"})',
          '{{service}}',
        ),
      ),
    ],
    Alerts: [
      alertList({
        title: 'Alerts',
        description:
          'Of the rules in mimir/rules and loki/rules. What to do about each is in docs/runbooks.md.',
        width: 8,
      }),
      logList(
        {
          title: 'Notifications',
          description:
            'What Alertmanager sent, as it came back through the collector into Loki.',
          width: 16,
        },
        logLines(NOTIFICATIONS),
      ),
    ],
  },
);

import * as units from '@grafana/grafana-foundation-sdk/units';
import {
  NOTIFICATIONS,
  alertList,
  allBad,
  bars,
  dashboard,
  graph,
  logLines,
  logList,
  logMetric,
  metric,
  metricNow,
  number,
  onRightAxis,
  prose,
  stackedGraph,
  upOrDown,
} from './panels.ts';

const HOW = `Telemetry goes from left to right: **the service** → **collector receives** → **collector sends** → **Loki, Tempo, Mimir store**. Find the first panel in that order that shows nothing: what is before it works, and the data stops there. *Lost* must stay at 0.`;

const rate = (counter: string) => `sum (rate(${counter}[$__rate_interval]))`;

/** 0 instead of nothing: Prometheus has no series of what never happened. */
const orZero = (expr: string) => `${expr} or vector(0)`;

/** What a store took per second. */
const ingest = (title: string, received: string, width = 8) =>
  graph(
    {
      title,
      description:
        'Per second. What it discarded of them is in *Lost within a minute*.',
      width,
    },
    units.CountsPerSecond,
    metric(rate(received), 'received'),
  );

/** 99 of 100 requests over HTTP to these routes of a store were faster. */
const latency = (store: string, histogram: string, routes: string, width = 8) =>
  graph(
    {
      title: 'Latency, 99th percentile',
      description: `Of what ${store} is asked over HTTP, by route.`,
      width,
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
          width: 8,
        },
        units.CountsPerSecond,
        ...perSignal((s) =>
          rate(
            `otelcol_receiver_accepted_${s}_total{receiver!="otlp/metrics_queue"}`,
          ),
        ),
      ),
      graph(
        {
          title: 'Sent',
          description:
            'Records per second that its exporters delivered to Tempo, Loki and Mimir.',
          width: 8,
        },
        units.CountsPerSecond,
        ...perSignal((s) =>
          rate(
            `otelcol_exporter_sent_${s}_total{exporter!="otlp_http/metrics_queue"}`,
          ),
        ),
      ),
      allBad(
        bars(
          {
            title: 'Lost within a minute',
            description:
              'Given up by the collector because a store refused it, refused by the collector because a queue is full or memory is short, or discarded by a store, with its reason.',
            width: 8,
          },
          units.Short,
          metric(
            'sum by (what) (label_join(telemetry:lost:increase1m, "what", " ", "how", "signal", "reason"))',
            '{{what}}',
          ),
        ),
      ),
      graph(
        {
          title: 'Queues',
          description:
            'How full the queue of each exporter is, on disk. It fills while a store does not answer.',
          width: 8,
        },
        units.PercentUnit,
        metric(
          'max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)',
          '{{exporter}}',
        ),
      ).max(1),
      number(
        {
          title: 'Until the queue is full',
          description:
            'At the rate of the last minute. Years: it does not fill. From then on the collector refuses new data.',
          width: 8,
        },
        units.Seconds,
        metricNow('exporter:otelcol_queue_left:seconds', '{{exporter}}'),
        { yellow: 86_400, red: 3_600 },
      ).height(8),
      allBad(
        bars(
          {
            title: 'Counted too little',
            description:
              'Spans per second that the metrics made of them cannot tell apart (a service has too many kinds), or that found no room in the service graph. The traces are complete.',
            width: 8,
          },
          units.CountsPerSecond,
          metric(
            orZero(
              rate(
                'traces_spanmetrics_calls_total{otel_metric_overflow="true"}',
              ),
            ),
            'without a series of their own',
          ),
          metric(
            orZero(rate('otelcol_connector_servicegraph_dropped_spans_total')),
            'not in the service graph',
          ),
        ),
      ),
    ],
    Loki: [
      ingest('Lines received', 'loki_distributor_lines_received_total', 6),
      bars(
        {
          title: 'Lines with a wrong time, or cut',
          description:
            'Stored at their arrival, because their time is older than Loki keeps lines or ahead of the clock (claimed_timestamp has it); and those that were longer than Loki takes (truncated).',
          width: 6,
        },
        units.Short,
        logMetric(
          'sum(count_over_time({service_name=~".+"} | claimed_timestamp!="" [$__auto])) or vector(0)',
          'wrong time',
        ),
        logMetric(
          'sum(count_over_time({service_name=~".+"} | truncated!="" or resource_truncated!="" or scope_truncated!="" [$__auto])) or vector(0)',
          'cut',
        ),
      ),
      graph(
        {
          title: 'Streams',
          description:
            'Distinct sets of labels in memory. If it grows with traffic, a label has too many values.',
          width: 6,
        },
        units.Short,
        metric('sum(loki_ingester_memory_streams)', 'streams'),
      ),
      latency(
        'Loki',
        'loki_request_duration_seconds',
        'otlp_v1_logs|loki_api_v1_query_range|loki_api_v1_query',
        6,
      ),
    ],
    Tempo: [
      ingest('Spans received', 'tempo_distributor_spans_received_total'),
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
        6,
      ),
      onRightAxis(
        'of the limit',
        units.PercentUnit,
        graph(
          {
            title: 'Active series',
            description:
              'Series in memory, and on the right their share of what Mimir allows. If they grow with traffic, a label has too many values.',
            width: 6,
          },
          units.Short,
          metric('sum(cortex_ingester_memory_series)', 'series'),
          metric(
            'sum(cortex_ingester_memory_series) / max(cortex_ingester_local_limits{limit="max_global_series_per_user"})',
            'of the limit',
          ),
        ),
      ),
      stackedGraph(
        {
          title: 'Series by service',
          description:
            'Who has them, counted once a minute: what the component or service says about itself, and what is made of its spans.',
          width: 6,
        },
        units.Short,
        metric('service_name:series:count', '{{service_name}}'),
      ),
      latency(
        'Mimir',
        'cortex_request_duration_seconds',
        'api_v1_push|prometheus_api_v1_query_range|prometheus_api_v1_query',
        6,
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

import * as units from '@grafana/grafana-foundation-sdk/units';
import {
  bars,
  dashboard,
  graph,
  labelVariable,
  logLines,
  logList,
  logMetric,
  metric,
  metricWithExemplars,
  onRightAxis,
  stackedGraph,
} from './panels.ts';
import {
  BY_ROUTE,
  LOGS,
  chosenRequests,
  databaseCalls,
  duration,
  errorRatio,
  own,
  requestRate,
  requestSpans,
  requests,
  spanDuration,
} from './queries.ts';

const chosenSpans = `${requestSpans}, http_route=~"$route"`;

/** Rate, errors and duration of each route, what the database does, and the process below. */
export default dashboard(
  {
    uid: 'books-service',
    title: 'Books service',
    description:
      'Rate, errors and duration per route, logs, database, Node.js and host',
  },
  {
    'Requests, as the service counts them; only the 95th percentile is from spans':
      [
        graph(
          {
            title: 'Rate',
            description:
              'Requests per second, by route. "(no route)" was refused before it reached one.',
            width: 8,
          },
          units.RequestsPerSecond,
          metric(
            requestRate(chosenRequests, BY_ROUTE),
            '{{http_request_method}} {{http_route}}',
          ),
        ),
        graph(
          {
            title: 'Errors',
            description:
              'The share of requests answered with 5xx, by route: what the service is to blame for.',
            width: 8,
          },
          units.PercentUnit,
          metric(
            errorRatio(chosenRequests, BY_ROUTE),
            '{{http_request_method}} {{http_route}}',
          ),
        ).axisSoftMax(0.05), // an axis for nothing but 0 would go up to 10000 %
        graph(
          {
            title: 'Duration, 95th percentile',
            description:
              '95 of 100 requests of the route were faster. From spans, so only of requests whose trace is kept. A dot is an exemplar: click it for its trace.',
            width: 8,
          },
          units.Seconds,
          metricWithExemplars(
            spanDuration(0.95, chosenSpans, BY_ROUTE),
            '{{http_request_method}} {{http_route}}',
          ),
        ),
        bars(
          {
            title: 'Answers by status code',
            description:
              '4xx are the mistakes of clients, 5xx those of the service.',
            width: 12,
          },
          units.RequestsPerSecond,
          metric(
            requestRate(chosenRequests, ['http_response_status_code']),
            '{{http_response_status_code}}',
          ),
        ),
        graph(
          {
            title: 'Duration of all chosen routes',
            description:
              'Of every request, as the service times it. Half were faster than p50, 99 of 100 faster than p99.',
            width: 12,
          },
          units.Seconds,
          metric(duration(0.5, chosenRequests), 'p50'),
          metric(duration(0.95, chosenRequests), 'p95'),
          metric(duration(0.99, chosenRequests), 'p99'),
        ),
      ],
    'Books and database': [
      bars(
        {
          title: 'Books created per minute',
          description:
            'The business metric books_created_total. BooksService counts it with a meter of its own.',
          width: 8,
        },
        units.Short,
        metric(`sum(increase(${own('books_created_total')}[1m]))`, 'books'),
      ),
      graph(
        {
          title: 'Duration of SQL statements, 95th percentile',
          description:
            'From the spans of kind client, one name per statement and table. A dot leads to a trace.',
          width: 8,
        },
        units.Seconds,
        metricWithExemplars(
          spanDuration(0.95, databaseCalls, ['span_name']),
          '{{span_name}}',
        ),
      ),
      stackedGraph(
        {
          title: 'Connections to the database',
          description:
            'Of the pool in pg: used, idle, and requests that wait for one.',
          width: 8,
        },
        units.Short,
        metric(
          `sum by (db_client_connection_state) (${own('db_client_connection_count')})`,
          '{{db_client_connection_state}}',
        ),
        metric(
          `sum(${own('db_client_connection_pending_requests')})`,
          'requests that wait',
        ),
      ),
    ],
    Logs: [
      bars(
        {
          title: 'Log lines by level',
          description:
            'detected_level is what Loki makes of the severity that OTLP carries.',
          width: 8,
        },
        units.Short,
        logMetric(
          `sum by (detected_level) (count_over_time(${LOGS} [$__auto]))`,
          '{{detected_level}}',
        ),
      ).height(9),
      logList(
        {
          title: 'Latest warnings and errors',
          description:
            'Open a line to see its fields; View trace is beside trace_id.',
          width: 16,
        },
        logLines(`${LOGS} | detected_level=~"warn|error|fatal"`),
      ),
    ],
    'Node.js': [
      graph(
        {
          title: 'Event loop delay',
          description:
            'How much later than planned timers run. While it is high, every request waits.',
          width: 8,
        },
        units.Seconds,
        metric(own('nodejs_eventloop_delay_p50'), 'p50'),
        metric(own('nodejs_eventloop_delay_p99'), 'p99'),
      ),
      graph(
        {
          title: 'Event loop utilization',
          description:
            'The share of time in which JavaScript ran. Near 100 % one process can do no more.',
          width: 8,
        },
        units.PercentUnit,
        metric(own('nodejs_eventloop_utilization'), 'utilization'),
      ),
      stackedGraph(
        {
          title: 'Garbage collection',
          description:
            'The share of time that V8 spent on it, by kind. Minor ones are short and frequent.',
          width: 8,
        },
        units.PercentUnit,
        metric(
          `sum by (v8js_gc_type) (rate(${own('v8js_gc_duration_sum')}[$__rate_interval]))`,
          '{{v8js_gc_type}}',
        ),
      ),
      stackedGraph(
        {
          title: 'Heap in use',
          description:
            'By space of V8. Old space that only grows is a memory leak.',
          width: 12,
        },
        units.BytesIEC,
        metric(
          `sum by (v8js_heap_space_name) (${own('v8js_memory_heap_used', ', v8js_heap_space_name=~"new_space|old_space|code_space|large_object_space|trusted_space"')})`,
          '{{v8js_heap_space_name}}',
        ),
      ),
      onRightAxis(
        'processor',
        units.PercentUnit,
        graph(
          {
            title: 'Memory and processor of the process',
            description:
              'Resident memory, and on the right the share of the processors that it used.',
            width: 12,
          },
          units.BytesIEC,
          metric(own('process_memory_usage'), 'memory'),
          metric(`sum(${own('process_cpu_utilization')})`, 'processor'),
        ),
      ),
    ],
    'Host, as the service sees it (hostMetrics of nestjs-otel)': [
      stackedGraph(
        {
          title: 'Processors',
          description: 'The share of time of all processors by what they did.',
          width: 8,
        },
        units.PercentUnit,
        metric(
          `avg by (system_cpu_state) (${own('system_cpu_utilization', ', system_cpu_state!="idle"')})`,
          '{{system_cpu_state}}',
        ),
      ),
      stackedGraph(
        {
          title: 'Memory',
          description: 'Used and free.',
          width: 8,
        },
        units.BytesIEC,
        metric(own('system_memory_usage'), '{{system_memory_state}}'),
      ),
      graph(
        {
          title: 'Network',
          description: 'Of all interfaces.',
          width: 8,
        },
        units.BytesPerSecondIEC,
        metric(
          `sum by (network_io_direction) (rate(${own('system_network_io_total')}[$__rate_interval]))`,
          '{{network_io_direction}}',
        ),
      ),
    ],
  },
  [
    labelVariable(
      'route',
      'Route',
      `http_server_request_duration_count{${requests}}`,
      'http_route',
    ),
  ],
);

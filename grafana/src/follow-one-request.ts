import * as units from '@grafana/grafana-foundation-sdk/units';
import { exploreUrl } from './explore-url.ts';
import {
  dashboard,
  graph,
  logLines,
  logList,
  metricNow,
  metricWithExemplars,
  number,
  prose,
  serviceGraph,
  traceSearch,
  traceTable,
  upOrDown,
} from './panels.ts';
import {
  LOGS,
  SERVICE,
  duration,
  errorRatio,
  own,
  requestRate,
  requestSpans,
  requests,
  spanDuration,
} from './queries.ts';

const HOW = `## Follow one request

1. **Send one**: \`npm run tour\`, or \`curl -i http://localhost:5555/books/find\`. The answer's \`X-Trace-Id\` header names its trace.
2. **Trace**: click the newest row of *Recent traces*. Each bar is a span; the last one is the SQL statement.
3. **Logs**: in the trace, the icon beside a span opens the log lines of this very request. In a log line, *View trace* leads back.
4. **Metrics**: in the trace, the same icon leads to the rate and the duration of its kind of request. On *Request duration* each dot is an exemplar: a request that was measured there. Click it for its trace.`;

const ASK = `## Ask yourself

| question | opens Explore with the query filled in |
|---|---|
| Which requests took longest? | [TraceQL: the service's traces over 20 ms](${exploreUrl({ datasource: 'tempo', query: `{ resource.service.name = "${SERVICE}" && kind = server && duration > 20ms }` })}) |
| Which requests reached the database? | [TraceQL: traces with an SQL statement](${exploreUrl({ datasource: 'tempo', query: `{ resource.service.name = "${SERVICE}" && span.db.system.name = "postgresql" }` })}) |
| What did it log? | [LogQL: every line](${exploreUrl({ datasource: 'loki', expr: LOGS })}) |
| What went wrong? | [LogQL: warnings and errors](${exploreUrl({ datasource: 'loki', expr: `${LOGS} | detected_level=~"warn|error|fatal"` })}) |
| How many requests, of which kind? | [PromQL: requests per route](${exploreUrl({ datasource: 'mimir', expr: `sum by (http_route) (http_server_request_duration_count{${requests}})` })}) |
| How long did they take? | [PromQL: the 95th percentile, with exemplars](${exploreUrl({ datasource: 'mimir', expr: spanDuration(0.95, requestSpans).replace('$__rate_interval', '1m'), exemplar: true })}) |`;

/** Grafana's first page. */
export default dashboard(
  {
    uid: 'follow-one-request',
    title: 'Follow one request',
    description: 'The way of a request through logs, trace and metrics',
  },
  {
    '': [
      prose(HOW, 24, 5),
      upOrDown(
        {
          title: 'Service',
          description:
            'up: whether the collector could fetch the metrics of the service at the last try.',
          width: 4,
        },
        metricNow(own('up'), ''),
      ),
      number(
        {
          title: 'Requests',
          description: 'Requests per second over the last minute.',
          width: 5,
        },
        units.RequestsPerSecond,
        metricNow(requestRate(requests), ''),
      ),
      number(
        {
          title: 'Server errors',
          description:
            'The share of requests that were answered with 5xx over the last minute.',
          width: 5,
        },
        units.PercentUnit,
        metricNow(errorRatio(requests), ''),
        { yellow: 0.001, red: 0.01 },
      ),
      number(
        {
          title: 'Duration, 95th percentile',
          description: '95 of 100 requests of the last minute took less.',
          width: 5,
        },
        units.Seconds,
        metricNow(duration(0.95, requests), ''),
        { yellow: 0.25, red: 1 },
      ),
      number(
        {
          title: 'Books created',
          description:
            'Since the service started: the business metric books_created_total, which BooksService counts.',
          width: 5,
        },
        units.Short,
        metricNow(`sum(${own('books_created_total')})`, ''),
      ),
      traceTable(
        {
          title: 'Recent traces',
          description:
            'The newest in Tempo, by TraceQL. A trace is found some ten seconds after it ended.',
          width: 12,
        },
        traceSearch(
          `{ resource.service.name = "${SERVICE}" && kind = server }`,
        ),
      ),
      logList(
        {
          title: 'Logs',
          description:
            'From Loki. Open a line to see its fields; View trace is beside trace_id.',
          width: 12,
        },
        logLines(LOGS),
      ),
      serviceGraph({
        title: 'Who calls whom',
        description:
          'Drawn from traces_service_graph_* in Mimir, which the collector makes of traces.',
        width: 12,
      }),
      graph(
        {
          title: 'Request duration, 95th percentile',
          description:
            'Measured by the collector from spans, so only of requests whose trace is kept; the numbers at the top are of all. A dot is an exemplar: click it for its trace.',
          width: 12,
        },
        units.Seconds,
        metricWithExemplars(
          spanDuration(0.95, requestSpans, ['http_route']),
          '{{http_route}}',
        ),
      ).height(9),
      prose(ASK, 24, 9),
    ],
  },
);

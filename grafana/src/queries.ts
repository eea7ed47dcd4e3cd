// What the dashboards ask about the books service. To show a service of your own, change its name here.

export const SERVICE = 'backend-example';

/** Its spans, as the collector's span_metrics connector labels them. */
const spans = (kind: string, more = '') =>
  `service_name="${SERVICE}", span_kind="SPAN_KIND_${kind}"${more}`;

/** A request is a span of kind server, … */
export const requests = spans('SERVER');
/** … of the routes chosen at the top of the dashboard, … */
export const chosenRequests = spans('SERVER', ', http_route=~"$route"');
/** … or one that the service could not answer. */
export const failed = ', http_response_status_code=~"5.."';
/** A call to the database is a span of kind client. */
export const databaseCalls = spans('CLIENT');

/** Spans per second. */
export const spanRate = (selector: string, by: string) =>
  `sum${by} (rate(traces_spanmetrics_calls_total{${selector}}[$__rate_interval]))`;

/** The share of requests that ended with a server error: 0 where none did. */
export const errorRatio = (selector: string) =>
  `(${spanRate(selector + failed, '')} or vector(0)) / ${spanRate(selector, '')}`;

/** The duration in seconds that this share of the spans did not exceed. */
export const duration = (
  quantile: number,
  selector: string,
  by: string[] = [],
) =>
  `histogram_quantile(${quantile}, sum by (${['le', ...by].join(', ')}) (rate(traces_spanmetrics_latency_bucket{${selector}}[$__rate_interval])))`;

/** Its log lines. */
export const LOGS = `{service_name="${SERVICE}"}`;
/** A metric that the service serves itself, on :8081/metrics. */
export const own = (metric: string, more = '') =>
  `${metric}{service="${SERVICE}"${more}}`;

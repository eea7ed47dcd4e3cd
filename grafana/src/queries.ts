// What the dashboards ask about the books service. To show a service of your own, change its name here.

export const SERVICE = 'backend-example';

// ---- Requests, as the service counts and times them in http_server_request_duration: every one.

/** Every request, … */
export const requests = `service_name="${SERVICE}"`;
/** … those of the routes chosen at the top of the dashboard, … */
export const chosenRequests = `${requests}, http_route=~"$route"`;
/** … or those that the service could not answer. */
export const failed = ', http_response_status_code=~"5.."';
/** A method and a route. What was refused before it reached a route has none. */
export const BY_ROUTE = ['http_request_method', 'http_route'];

const sumBy = (labels: string[], expr: string) =>
  labels.length > 0
    ? `sum by (${labels.join(', ')}) (${expr})`
    : `sum(${expr})`;

/** Names what has no route: a series without the label would have half a name. */
const named = (by: string[], expr: string) =>
  by.includes('http_route')
    ? `label_replace(${expr}, "http_route", "(no route)", "http_route", "")`
    : expr;

const perSecond = (selector: string, by: string[]) =>
  sumBy(
    by,
    `rate(http_server_request_duration_count{${selector}}[$__rate_interval])`,
  );

/** Requests per second. */
export const requestRate = (selector: string, by: string[] = []) =>
  named(by, perSecond(selector, by));

/** The share of requests that ended with a server error: 0 where none did. */
export const errorRatio = (selector: string, by: string[] = []) =>
  named(
    by,
    `(${perSecond(selector + failed, by)} or 0 * ${perSecond(selector, by)}) / ${perSecond(selector, by)}`,
  );

/** The duration in seconds that this share of the observations in a histogram did not exceed. */
const quantileOf = (
  histogram: string,
  quantile: number,
  selector: string,
  by: string[] = [],
) =>
  `histogram_quantile(${quantile}, ${sumBy(['le', ...by], `rate(${histogram}_bucket{${selector}}[$__rate_interval])`)})`;

/** The duration in seconds that this share of the requests did not exceed. */
export const duration = (quantile: number, selector: string) =>
  quantileOf('http_server_request_duration', quantile, selector);

// ---- Spans, as the collector's span_metrics connector counts and times them: those of the traces that are
// ---- kept. They have what the service's own metrics have not: exemplars, and what is not a request.

const spans = (kind: string) =>
  `service_name="${SERVICE}", span_kind="SPAN_KIND_${kind}"`;

/** A request is a span of kind server. */
export const requestSpans = spans('SERVER');
/** A call to the database is a span of kind client. */
export const databaseCalls = spans('CLIENT');

/** The duration in seconds that this share of the spans did not exceed. */
export const spanDuration = (
  quantile: number,
  selector: string,
  by: string[] = [],
) =>
  named(by, quantileOf('traces_spanmetrics_latency', quantile, selector, by));

/** Its log lines. */
export const LOGS = `{service_name="${SERVICE}"}`;
/** A metric that the service serves itself, on :8081/metrics. */
export const own = (metric: string, more = '') =>
  `${metric}{service="${SERVICE}"${more}}`;

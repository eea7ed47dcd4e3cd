import { setTimeout as sleep } from 'node:timers/promises';
import { component, published } from './components.ts';
import { httpReady, reasonOf } from './processes.ts';

/** The addresses that are the same with Docker and without. */
const originOf = (name: string) => new URL(component(name).readyUrl!).origin;
export const LOKI = originOf('loki');
export const TEMPO = originOf('tempo');
export const MIMIR = originOf('mimir');
export const ALERTMANAGER = originOf('alertmanager');
export const BOOKS = originOf('backend-example');
export const GRAFANA = component('grafana').address!;

export interface LogLine {
  /** Nanoseconds since 1970, too large for a number. */
  timeNs: bigint;
  line: string;
  /** Labels of the stream and structured metadata in one, as Loki returns them. */
  labels: Record<string, string>;
}

export interface Span {
  name: string;
  kind: string;
  spanId: string;
  /** Empty for the root. */
  parentSpanId: string;
  startNs: bigint;
  endNs: bigint;
  failed: boolean;
  attributes: Record<string, string | number | boolean>;
  service: string;
}

interface Alert {
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

/**
 * Asks Loki for the log lines of the last hour, oldest first.
 * @see https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time
 */
export async function queryLogs(logql: string): Promise<LogLine[]> {
  const url = new URL('/loki/api/v1/query_range', LOKI);
  url.search = new URLSearchParams({
    query: logql,
    since: '1h',
    limit: '1000',
    direction: 'forward',
  }).toString();
  const answer = await json<{
    data: {
      result: { stream: Record<string, string>; values: [string, string][] }[];
    };
  }>(url);
  return answer.data.result
    .flatMap(({ stream, values }) =>
      values.map(([timeNs, line]) => ({
        timeNs: BigInt(timeNs),
        line,
        labels: stream,
      })),
    )
    .sort((a, b) => Number(a.timeNs - b.timeNs));
}

/**
 * Asks Tempo for one trace; an empty list when it does not know it (yet).
 * @see https://grafana.com/docs/tempo/latest/api_docs/#query-v2
 */
export async function queryTrace(traceId: string): Promise<Span[]> {
  const response = await fetch(`${TEMPO}/api/v2/traces/${traceId}`, {
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(10_000),
  });
  if (response.status === 404) return [];
  if (!response.ok)
    throw new Error(`${response.url} answered ${response.status}`);
  const { trace } = (await response.json()) as { trace?: OtlpTrace };
  return (trace?.resourceSpans ?? []).flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        name: span.name,
        kind: span.kind.replace('SPAN_KIND_', ''),
        spanId: hexId(span.spanId),
        parentSpanId: hexId(span.parentSpanId ?? ''),
        startNs: BigInt(span.startTimeUnixNano),
        endNs: BigInt(span.endTimeUnixNano),
        failed: span.status?.code === 'STATUS_CODE_ERROR',
        attributes: plainAttributes(span.attributes),
        service: String(
          plainAttributes(resource.attributes)['service.name'] ?? '',
        ),
      })),
    ),
  );
}

/** Asks Tempo which traces a TraceQL query finds; answers their ids. */
export async function searchTraces(traceql: string): Promise<string[]> {
  const url = new URL('/api/search', TEMPO);
  const now = Math.floor(Date.now() / 1000);
  url.search = new URLSearchParams({
    q: traceql,
    start: String(now - 3600),
    end: String(now + 60),
    limit: '100',
  }).toString();
  const { traces = [] } = await json<{ traces?: { traceID: string }[] }>(url);
  return traces.map(({ traceID }) => traceID.padStart(32, '0'));
}

/** Asks Mimir for the newest value of each series of a PromQL expression. */
export const queryMetrics = (promql: string): Promise<Sample[]> =>
  instantQuery(`${MIMIR}/prometheus/api/v1/query`, { query: promql });

/**
 * Asks Loki for the value of each series of a LogQL expression that counts or computes, at `timeNs`
 * (nanoseconds since 1970; without it, now).
 */
export const queryLogMetrics = (
  logql: string,
  timeNs?: bigint,
): Promise<Sample[]> =>
  instantQuery(`${LOKI}/loki/api/v1/query`, {
    query: logql,
    ...(timeNs && { time: String(timeNs) }),
  });

/** @see https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries */
async function instantQuery(
  address: string,
  parameters: Record<string, string>,
): Promise<Sample[]> {
  const url = new URL(address);
  url.search = new URLSearchParams(parameters).toString();
  const answer = await json<{
    data: {
      result: { metric: Record<string, string>; value: [number, string] }[];
    };
  }>(url);
  return answer.data.result.map(({ metric, value }) => ({
    labels: metric,
    value: Number(value[1]),
  }));
}

/** The value of an expression that yields one series, undefined when it yields none. */
export async function queryNumber(promql: string): Promise<number | undefined> {
  return (await queryMetrics(promql))[0]?.value;
}

/** Asks Alertmanager which alerts of this name are firing now; not those that another one holds back. */
export async function queryAlerts(name: string): Promise<Alert[]> {
  const url = new URL('/api/v2/alerts', ALERTMANAGER);
  url.search = new URLSearchParams({
    filter: `alertname="${name}"`,
    inhibited: 'false',
  }).toString();
  return json<Alert[]>(url);
}

/**
 * Hands an alert to Alertmanager, as a ruler does.
 * @throws Error saying that it does not answer or does not take it
 */
export async function sendAlert(alert: {
  labels: Record<string, string>;
  annotations?: Record<string, string>;
  endsAt?: Date;
}): Promise<void> {
  const response = await fetch(`${ALERTMANAGER}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([alert]),
    signal: AbortSignal.timeout(3_000),
  });
  if (!response.ok)
    throw new Error(
      `Alertmanager answers an alert with ${response.status} ${await response.text()}`,
    );
}

/** The exemplars of the last hour of a metric, oldest first: each remembers one request's trace id. */
export async function queryExemplars(selector: string): Promise<Sample[]> {
  const url = new URL('/prometheus/api/v1/query_exemplars', MIMIR);
  const now = Date.now() / 1000;
  url.search = new URLSearchParams({
    query: selector,
    start: String(now - 3600),
    end: String(now + 60),
  }).toString();
  const { data } = await json<{
    data: {
      exemplars: {
        labels: Record<string, string>;
        value: string;
        timestamp: number;
      }[];
    }[];
  }>(url);
  return data
    .flatMap(({ exemplars }) => exemplars)
    .sort((a, b) => a.timestamp - b.timestamp)
    .map(({ labels, value }) => ({ labels, value: Number(value) }));
}

const OTLP = {
  logs: ['resourceLogs', 'scopeLogs', 'logRecords'],
  traces: ['resourceSpans', 'scopeSpans', 'spans'],
  metrics: ['resourceMetrics', 'scopeMetrics', 'metrics'],
} as const;

/**
 * A request that hands over records of a service, as OTLP/HTTP with JSON.
 * @see https://opentelemetry.io/docs/specs/otlp/#otlphttp
 */
export function otlpRequest(
  signal: keyof typeof OTLP,
  service: string,
  records: object[],
): RequestInit {
  const [resources, scopes, items] = OTLP[signal];
  const attributes = [{ key: 'service.name', value: { stringValue: service } }];
  const scope = { [items]: records };
  const resource = { resource: { attributes }, [scopes]: [scope] };
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ [resources]: [resource] }),
    signal: AbortSignal.timeout(3_000),
  };
}

/**
 * Sends records of a service to the collector.
 * @throws Error saying that the collector does not answer or does not take them
 */
export async function sendOtlp(
  signal: keyof typeof OTLP,
  service: string,
  records: object[],
): Promise<void> {
  const port = published('OTLP_HTTP_PORT', 4318);
  const response = await fetch(
    `http://127.0.0.1:${port}/v1/${signal}`,
    otlpRequest(signal, service, records),
  ).catch((error: unknown) => {
    throw new Error(
      `The collector does not answer on port ${port} (${reasonOf(error)})`,
    );
  });
  if (!response.ok)
    throw new Error(
      `The collector answers ${signal} with ${response.status} ${await response.text()}`,
    );
}

/** Why a component does not answer as it should; undefined when it does. */
export async function whyDown(name: string): Promise<string | undefined> {
  if (name !== 'otel-collector')
    return httpReady(component(name).readyUrl!)(AbortSignal.timeout(3_000));
  // With Docker the port of its health is not published: it is given nothing to do.
  return sendOtlp('traces', 'nobody', []).then(
    () => undefined,
    (error: Error) => error.message,
  );
}

/**
 * Calls `ask` until it answers something, and returns that; undefined when
 * `deadlineMs` passes first. An error counts as "not yet" until then.
 */
export async function poll<T>(
  ask: () => Promise<T | undefined | false>,
  deadlineMs: number,
): Promise<T | undefined> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (error) {
      if (Date.now() >= deadline) throw error;
    }
    if (Date.now() >= deadline) return undefined;
    await sleep(250);
  }
}

async function json<T>(url: URL): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  const text = await response.text();
  if (!response.ok)
    throw new Error(`${url.href} answered ${response.status} ${text.trim()}`);
  return JSON.parse(text) as T;
}

interface OtlpAttribute {
  key: string;
  value: {
    stringValue?: string;
    intValue?: string | number;
    doubleValue?: number;
    boolValue?: boolean;
  };
}

interface OtlpTrace {
  resourceSpans: {
    resource: { attributes: OtlpAttribute[] };
    scopeSpans: {
      spans: {
        name: string;
        kind: string;
        spanId: string;
        parentSpanId?: string;
        startTimeUnixNano: string;
        endTimeUnixNano: string;
        status?: { code?: string };
        attributes?: OtlpAttribute[];
      }[];
    }[];
  }[];
}

function plainAttributes(
  list: OtlpAttribute[] = [],
): Record<string, string | number | boolean> {
  return Object.fromEntries(
    list.map(({ key, value }) => [
      key,
      value.stringValue ??
        value.boolValue ??
        value.doubleValue ??
        Number(value.intValue),
    ]),
  );
}

/** Tempo's JSON has ids in base64; people and Loki use hex. */
function hexId(id: string): string {
  return /^[0-9a-f]{16}$/.test(id)
    ? id
    : Buffer.from(id, 'base64').toString('hex');
}

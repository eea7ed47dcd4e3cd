import { notReady, reasonOf } from './checks.ts';
import { component, origin } from './components/index.ts';
import type { Context } from './context.ts';

type Labels = Record<string, string>;

export interface LogLine {
  /** Nanoseconds since 1970, too large for a number. */
  timeNs: bigint;
  line: string;
  /** Labels of the stream and structured metadata in one, as Loki returns them. */
  labels: Labels;
}

export interface Sample {
  labels: Labels;
  value: number;
}

/** What Loki and Mimir answer alike. */
type Results<T> = { data: { result: T[] } };

/** Asks the stores and the service of a running stack, at the ports that it publishes. */
export class Stores {
  readonly books: string;
  readonly loki: string;
  readonly tempo: string;
  readonly mimir: string;
  readonly alertmanager: string;
  readonly grafana: string;
  private readonly collector: string;
  private readonly context: Context;

  constructor(context: Context) {
    this.context = context;
    const at = (name: string, inside?: number) =>
      origin(component(name), context.settings, inside)!;
    this.books = at('backend-example');
    this.loki = at('loki');
    this.tempo = at('tempo');
    this.mimir = at('mimir');
    this.alertmanager = at('alertmanager');
    this.grafana = at('grafana');
    this.collector = at('otel-collector', 4318);
  }

  /**
   * Asks Loki for log lines, oldest first.
   * @param range without it, the first 1000 of the last hour
   * @see https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time
   */
  async queryLogs(
    logql: string,
    range: Labels = { since: '1h', limit: '1000', direction: 'forward' },
  ): Promise<LogLine[]> {
    const url = `${this.loki}/loki/api/v1/query_range`;
    type Stream = { stream: Labels; values: [string, string][] };
    const { data } = await this.ask<Results<Stream>>(url, { query: logql, ...range });
    return data.result
      .flatMap(({ stream, values }) =>
        values.map(([timeNs, line]) => ({ timeNs: BigInt(timeNs), line, labels: stream })),
      )
      .sort((a, b) => Number(a.timeNs - b.timeNs));
  }

  /**
   * Asks Tempo for one trace; an empty list when it does not know it (yet).
   * @see https://grafana.com/docs/tempo/latest/api_docs/#query-v2
   */
  async queryTrace(traceId: string): Promise<Span[]> {
    const url = `${this.tempo}/api/v2/traces/${traceId}`;
    const { trace } = await this.ask<{ trace?: OtlpTrace }>(url, {}, {});
    return spansOf(trace);
  }

  /** Asks Mimir for the newest value of each series of a PromQL expression. */
  queryMetrics(promql: string): Promise<Sample[]> {
    return this.querySamples(`${this.mimir}/prometheus/api/v1/query`, { query: promql });
  }

  /** The value of an expression that yields one series, undefined when it yields none. */
  async queryNumber(promql: string): Promise<number | undefined> {
    return (await this.queryMetrics(promql))[0]?.value;
  }

  /** The exemplars of the last hour of a metric, oldest first: each remembers one request's trace id. */
  async queryExemplars(selector: string): Promise<Sample[]> {
    const url = `${this.mimir}/prometheus/api/v1/query_exemplars`;
    type Exemplar = { labels: Labels; value: string; timestamp: number };
    const question = { query: selector, ...lastHour() };
    const { data } = await this.ask<{ data: { exemplars: Exemplar[] }[] }>(url, question);
    return data
      .flatMap(({ exemplars }) => exemplars)
      .sort((a, b) => a.timestamp - b.timestamp)
      .map(({ labels, value }) => ({ labels, value: Number(value) }));
  }

  /** Asks Alertmanager which alerts of this name are firing now; not those that another one holds back. */
  queryAlerts(name: string): Promise<{ labels: Labels; annotations: Labels }[]> {
    const filter = `alertname="${name}"`;
    return this.ask(`${this.alertmanager}/api/v2/alerts`, { filter, inhibited: 'false' });
  }

  /**
   * The notifications that came back from Alertmanager to Loki, oldest first.
   * @param alert its name, or a regular expression for it; `status` likewise: firing or resolved
   * @param since milliseconds since 1970
   */
  async notifications(alert: string, since: number, status = '.+'): Promise<LogLine[]> {
    const lines = await this.queryLogs(
      `{service_name="alertmanager"} | alertname=~"${alert}" | status=~"${status}"`,
    );
    return lines.filter(({ timeNs }) => timeNs > BigInt(since) * 1_000_000n);
  }

  /** Hands an alert to Alertmanager, as a ruler does. */
  sendAlert(alert: { labels: Labels; annotations?: Labels; endsAt?: Date }): Promise<void> {
    const url = `${this.alertmanager}/api/v2/alerts`;
    return this.send(url, jsonPost([alert]), 'Alertmanager', 'an alert');
  }

  /** Sends records of a service to the collector. */
  sendOtlp(signal: OtlpSignal, service: string, records: object[]): Promise<void> {
    const url = `${this.collector}/v1/${signal}`;
    return this.send(url, otlpRequest(signal, service, records), 'The collector', signal);
  }

  /** Why a component does not answer as it should; undefined when it does. */
  async whyDown(name: string): Promise<string | undefined> {
    const part = component(name);
    if (part.probe) return part.probe(this);
    const url = origin(part, this.context.settings)! + part.readiness!.path;
    return notReady({ url }, undefined, this.context.fetch);
  }

  /** @see https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries */
  protected async querySamples(url: string, parameters: Labels): Promise<Sample[]> {
    type Series = { metric: Labels; value: [number, string] };
    const { data } = await this.ask<Results<Series>>(url, parameters);
    return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /**
   * Asks for JSON.
   * @param missing what a 404 means, if that is no error
   * @throws Error with the question and the answer when this is an error
   */
  protected async ask<T>(url: string, parameters: Labels, missing?: T): Promise<T> {
    const question = `${url}?${new URLSearchParams(parameters).toString()}`;
    const response = await this.context.fetch(question, { signal: AbortSignal.timeout(10_000) });
    const text = await response.text();
    if (response.ok) return JSON.parse(text) as T;
    if (response.status === 404 && missing) return missing;
    throw new Error(`${question} answered ${response.status} ${text.trim()}`);
  }

  /** @throws Error saying who does not answer, or does not take what */
  private async send(url: string, request: RequestInit, whom: string, what: string): Promise<void> {
    const response = await this.context.fetch(url, request).catch((error: unknown) => {
      throw new Error(`${whom} does not answer on port ${new URL(url).port} (${reasonOf(error)})`);
    });
    if (!response.ok)
      throw new Error(`${whom} answers ${what} with ${response.status} ${await response.text()}`);
  }
}

/** In seconds since 1970, and a minute more: other clocks may be ahead of this one. */
export function lastHour(): { start: string; end: string } {
  const now = Math.floor(Date.now() / 1000);
  return { start: String(now - 3600), end: String(now + 60) };
}

const OTLP = {
  logs: ['resourceLogs', 'scopeLogs', 'logRecords'],
  traces: ['resourceSpans', 'scopeSpans', 'spans'],
  metrics: ['resourceMetrics', 'scopeMetrics', 'metrics'],
} as const;

export type OtlpSignal = keyof typeof OTLP;

/**
 * A request that hands over records of a service, as OTLP/HTTP with JSON.
 * @see https://opentelemetry.io/docs/specs/otlp/#otlphttp
 */
export function otlpRequest(signal: OtlpSignal, service: string, records: object[]): RequestInit {
  const [resources, scopes, items] = OTLP[signal];
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: service } }] };
  return jsonPost({ [resources]: [{ resource, [scopes]: [{ [items]: records }] }] });
}

/** A request that hands over something as JSON. */
const jsonPost = (body: object): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
  signal: AbortSignal.timeout(3_000),
});

/** A trace in OTLP/JSON, as Tempo answers it: enums are by name, and ids in base64. */
interface OtlpTrace {
  resourceSpans: { resource: { attributes?: Attribute[] }; scopeSpans: { spans: OtlpSpan[] }[] }[];
}

type Attribute = { key: string; value: { stringValue?: string } };

interface OtlpSpan {
  name: string;
  kind: string;
  spanId: string;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status?: { code?: string };
  attributes?: Attribute[];
}

export type Span = ReturnType<typeof readable>;

const spansOf = (trace?: OtlpTrace): Span[] =>
  (trace?.resourceSpans ?? []).flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => readable(span, text(resource.attributes, 'service.name')!)),
    ),
  );

const text = (attributes: Attribute[] | undefined, name: string): string | undefined =>
  attributes?.find(({ key }) => key === name)?.value.stringValue;

/** A span, as people read it. */
const readable = (span: OtlpSpan, service: string) => ({
  service,
  name: span.name,
  kind: span.kind.replace('SPAN_KIND_', ''),
  spanId: hexId(span.spanId),
  /** Empty for the root. */
  parentSpanId: hexId(span.parentSpanId),
  startNs: BigInt(span.startTimeUnixNano),
  endNs: BigInt(span.endTimeUnixNano),
  failed: span.status?.code === 'STATUS_CODE_ERROR',
  sql: text(span.attributes, 'db.query.text'),
});

/** People and Loki use hex. */
const hexId = (id = ''): string =>
  /^[0-9a-f]{16}$/.test(id) ? id : Buffer.from(id, 'base64').toString('hex');

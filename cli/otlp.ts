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
export const jsonPost = (body: object): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
  signal: AbortSignal.timeout(3_000),
});

/** A trace in OTLP/JSON, as Tempo answers it: enums are by name, and ids in base64. */
export interface OtlpTrace {
  resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[];
}

interface OtlpSpan {
  name: string;
  kind: string;
  spanId: string;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status?: { code?: string };
  attributes?: { key: string; value: { stringValue?: string } }[];
}

export type Span = ReturnType<typeof readable>;

export const spansOf = (trace?: OtlpTrace): Span[] =>
  (trace?.resourceSpans ?? [])
    .flatMap(({ scopeSpans }) => scopeSpans)
    .flatMap(({ spans }) => spans.map(readable));

/** A span, as people read it. */
const readable = (span: OtlpSpan) => ({
  name: span.name,
  kind: span.kind.replace('SPAN_KIND_', ''),
  spanId: hexId(span.spanId),
  /** Empty for the root. */
  parentSpanId: hexId(span.parentSpanId),
  startNs: BigInt(span.startTimeUnixNano),
  endNs: BigInt(span.endTimeUnixNano),
  failed: span.status?.code === 'STATUS_CODE_ERROR',
  sql: span.attributes?.find(({ key }) => key === 'db.query.text')?.value.stringValue,
});

/** People and Loki use hex. */
const hexId = (id = ''): string =>
  /^[0-9a-f]{16}$/.test(id) ? id : Buffer.from(id, 'base64').toString('hex');

/**
 * A stand-in for Tempo where Tempo cannot be had: it keeps traces in memory
 * and answers `/api/v2/traces/{id}` and `/api/search` of Tempo's HTTP API.
 *
 *     node offline/tempo-stand-in.ts --port 3200 --otlp-port 55681
 *
 * test/unit/tempo-stand-in.test.ts compares it with a real Tempo (3.0.3). What differs:
 * - OTLP comes over HTTP as JSON only. Nothing is on disk. Both ports answer all.
 * - It cuts attributes and pads ids as tempo-config.yaml says. It proves nothing about
 *   the other limits there: it takes 20 MB at once, any trace, and keeps 5,000 of them.
 * - A span is found at once: Tempo's query_end_cutoff hides the newest ones.
 * - TraceQL is one `{ }` of comparisons with && || ( ). The rest is refused.
 *   Patterns are JavaScript's; an attribute that is an array matches nothing.
 * - A search shows no `serviceStats`, and of three spans id, start and duration.
 * - `metrics` in an answer is empty, attributes keep their order, ids in span
 *   links stay hexadecimal, one span may be in another `resourceSpans`.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { parser } from '@grafana/lezer-traceql';

const MAX_TRACES = 5_000;
const MAX_BODY_BYTES = 20 * 1024 * 1024;
/** As max_attribute_bytes in tempo-config.yaml. */
const MAX_ATTRIBUTE_BYTES = 16_384;

/** The message is the body of the answer, in plain text as in Tempo. */
const httpError = (status: number, message: string): Error =>
  Object.assign(new Error(message), { status });

// --- Traces, as OTLP/JSON brings them ---------------------------------------
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are
// hex, enums numbers, times nanoseconds since 1970 in a string.

type Scalar = string | number | boolean;
/** A value has one property, say intValue or stringValue. */
type Attributes = { key: string; value?: Record<string, Scalar> }[];
type Resource = { attributes?: Attributes };
interface Span extends Resource {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name?: string;
  kind?: number;
  /** Left out when it is 0. */
  startTimeUnixNano?: string;
  endTimeUnixNano?: string;
  status?: { code?: number };
  events?: Resource[];
  links?: Resource[];
}
interface OtlpTraces {
  resourceSpans?: { resource?: Resource; scopeSpans?: { scope?: Resource; spans?: Span[] }[] }[];
}
/** Values by the name that TraceQL has for them. */
type Fields = Record<string, Scalar | undefined>;
type StoredSpan = ReturnType<typeof toStored>;
/** By id, the oldest first; the spans, too, so that one sent twice is kept once. */
type Traces = Map<string, Map<string, StoredSpan>>;

const KINDS = 'unspecified internal server client producer consumer'.split(' ');
const STATUSES = ['unset', 'ok', 'error'];

function attributeFields(scope: string, list: Attributes = []): Fields {
  const scalar = ({ intValue, ...other }: Record<string, Scalar>) =>
    intValue === undefined ? Object.values(other)[0] : Number(intValue);
  return Object.fromEntries(list.map(({ key, value = {} }) => [`${scope}.${key}`, scalar(value)]));
}

/** Cuts texts that are too long, as Tempo does. */
function cutAttributes({ attributes = [] }: Resource): void {
  for (const { value } of attributes)
    if (value && Buffer.byteLength(String(value.stringValue)) > MAX_ATTRIBUTE_BYTES)
      value.stringValue = Buffer.from(String(value.stringValue))
        .subarray(0, MAX_ATTRIBUTE_BYTES)
        .toString();
}

/** @throws when an id or a time is malformed */
function toStored(span: Span, scope: Resource, resource: Resource) {
  const ids = `${span.traceId} ${span.spanId}`;
  if (!/^[\da-f]{32} [\da-f]{16}$/i.test(ids)) throw new Error(`ids ${ids}`);
  const start = BigInt(span.startTimeUnixNano ?? 0);
  const end = BigInt(span.endTimeUnixNano ?? 0);
  for (const part of [resource, scope, span, ...(span.events ?? []), ...(span.links ?? [])])
    cutAttributes(part);
  const fields: Fields = {
    ...attributeFields('resource', resource.attributes),
    ...attributeFields('span', span.attributes),
    name: span.name ?? '',
    kind: KINDS[span.kind ?? 0],
    status: STATUSES[span.status?.code ?? 0],
    duration: Number(end - start),
  };
  return { span, scope, resource, start, end, fields };
}

/** Takes all spans or, when one is malformed, throws and takes none. */
function add(traces: Traces, { resourceSpans = [] }: OtlpTraces): void {
  const received = resourceSpans.flatMap(({ resource = {}, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ scope = {}, spans = [] }) =>
      spans.map((span) => toStored(span, scope, resource)),
    ),
  );
  for (const stored of received) {
    const id = stored.span.traceId.toLowerCase();
    const trace = traces.get(id) ?? new Map<string, StoredSpan>();
    traces.set(id, trace.set(stored.span.spanId.toLowerCase(), stored));
    const [oldest = ''] = traces.keys();
    if (traces.size > MAX_TRACES) traces.delete(oldest);
  }
}

// --- TraceQL: a field, an operator, a literal -------------------------------
// https://grafana.com/docs/tempo/latest/traceql/construct-traceql-queries/

type SyntaxNode = ReturnType<typeof parser.parse>['topNode'];
type Condition = (fields: Fields) => boolean;

const STRING = /^\S+ ["`]/;
const NUMBER = /^[^~]+ \d/;
/** Which operators and literals a field takes. */
const TAKES: Record<string, RegExp> = {
  name: STRING,
  kind: RegExp(`^!?= (${KINDS.join('|')})$`),
  status: RegExp(`^!?= (${STATUSES.join('|')})$`),
  duration: NUMBER,
  traceDuration: NUMBER,
  rootName: STRING,
  rootServiceName: STRING,
};
const ATTRIBUTE_TAKES = /^\S+ ["`]|^[^~]+ \d|^!?= (true|false)$/;
/** Both sides have the same JavaScript type; a pattern matches all or nothing. */
const OPERATORS: Record<string, (a: Scalar, b: Scalar) => boolean> = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '=~': (a, b) => new RegExp(`^(?:${b})$`).test(String(a)),
};
const UNITS: Record<string, number> = { us: 1e3, ms: 1e6, s: 1e9, m: 6e10 };

function unknown(source: string): never {
  throw httpError(400, `the stand-in for Tempo does not know: ${source}`);
}

/** @throws {SyntaxError} for an escape that JSON does not have */
function literal(source: string): Scalar {
  const [, amount, unit = ''] = source.match(/^([\d.]+)([a-z]+)$/) ?? [];
  if (UNITS[unit]) return Number(amount) * UNITS[unit];
  if (/^`[^`]*`$/.test(source)) return source.slice(1, -1);
  if ([...KINDS, ...STATUSES].includes(source)) return source;
  return JSON.parse(source) as Scalar;
}

function comparison(left: string, operator: string, right: string): Condition {
  const field = left.replace(/^span:/, '');
  const isAttribute = /^(span|resource)\.[\w./-]+$/.test(field);
  const takes = isAttribute ? ATTRIBUTE_TAKES : TAKES[field];
  const test = OPERATORS[operator] ?? unknown(operator);
  const clause = `${operator} ${right}`;
  if (!takes?.test(clause)) return unknown(`${left} ${clause}`);
  const wanted = literal(right);
  test('', wanted); // throws already here when the pattern is malformed
  return ({ [field]: value }) => typeof value === typeof wanted && test(value!, wanted);
}

/** @throws 400: a syntax error, or more than the subset above */
function compile(query: string): Condition {
  const { topNode } = parser.parse(query);
  topNode.cursor().iterate(({ type, from }) => {
    if (!type.isError) return;
    const lines = query.slice(0, from).split('\n');
    const at = `line ${lines.length}, col ${lines.at(-1)!.length + 1}`;
    throw httpError(400, `invalid TraceQL query: parse error at ${at}`);
  });
  const source = (node: SyntaxNode): string => query.slice(node.from, node.to);
  function condition(node: SyntaxNode): Condition {
    const left = node.firstChild;
    const operator = left?.nextSibling;
    const right = operator?.nextSibling;
    const inParentheses = !operator && source(node).startsWith('(');
    if (left && inParentheses) return condition(left);
    if (!left || !operator || !right) return unknown(source(node));
    if (operator.name === 'FieldOp')
      return comparison(source(left), source(operator), source(right));
    const [a, b] = [condition(left), condition(right)];
    return operator.name === 'And'
      ? (fields) => a(fields) && b(fields)
      : (fields) => a(fields) || b(fields);
  }
  const filter = topNode.firstChild?.firstChild?.firstChild;
  const hint = topNode.firstChild?.nextSibling;
  // The newest are first here in any case.
  const knowsHint = !hint || source(hint) === 'with (most_recent=true)';
  if (filter?.name !== 'SpansetFilter' || !knowsHint) return unknown(query);
  return filter.firstChild ? condition(filter.firstChild) : () => true;
}

// --- The HTTP API: https://grafana.com/docs/tempo/latest/api_docs/ -----------

const base64 = (hex = ''): string => Buffer.from(hex, 'hex').toString('base64');

/** Protobuf's JSON leaves out every field that has its default value. */
function withoutDefaults(message: object): object {
  const fields = Object.entries(message);
  return Object.fromEntries(fields.filter(([, v]) => v && v.length !== 0));
}

/** OTLP's JSON, but ids are in base64 and enums by name. */
function toJson({ span, fields: { kind, status } }: StoredSpan): object {
  const code = span.status?.code && `STATUS_CODE_${status}`.toUpperCase();
  return withoutDefaults({
    ...span,
    flags: null,
    traceId: base64(span.traceId),
    spanId: base64(span.spanId),
    parentSpanId: base64(span.parentSpanId),
    kind: span.kind && `SPAN_KIND_${kind}`.toUpperCase(),
    status: withoutDefaults({ ...span.status, code }),
  });
}

function traceById(traces: Traces, id: string): object {
  if (!/^[\da-f]{1,32}$/i.test(id))
    throw httpError(400, 'trace IDs can only contain hex characters');
  const spans = traces.get(id.toLowerCase().padStart(32, '0'))?.values() ?? [];
  const byResource = Map.groupBy(spans, ({ resource }) => resource);
  const resourceSpans = [...byResource].map(([resource, stored]) => {
    const byScope = [...Map.groupBy(stored, ({ scope }) => scope)];
    const scopeSpans = byScope.map(([scope, spans]) => {
      return { scope, spans: spans.map(toJson) };
    });
    return { resource, scopeSpans };
  });
  return { trace: withoutDefaults({ resourceSpans }), metrics: {} };
}

/** The traces in which `q` finds spans, the newest first. */
function search(traces: Traces, parameters: URLSearchParams): object {
  const given = Object.fromEntries(parameters);
  const { q = '{}', start: from = 0, end: to = Infinity, limit = 20 } = given;
  const matches = compile(q);
  if (!(Number(from) >= 0 && Number(from) < Number(to) && Number(limit) > 0))
    throw httpError(400, 'start must be before end, and limit positive');
  const found = [];
  for (const [id, trace] of traces) {
    const stored = [...trace.values()];
    const start = stored.map((s) => s.start).reduce((a, b) => (a < b ? a : b));
    const end = stored.map((s) => s.end).reduce((a, b) => (a > b ? a : b));
    const root = stored.find(({ span }) => !span.parentSpanId)?.fields ?? {};
    const { name: rootName, 'resource.service.name': rootServiceName } = root;
    const traceDuration = Number(end - start);
    const ofTrace = { rootName, rootServiceName, traceDuration };
    const fits = stored.filter((s) => matches({ ...s.fields, ...ofTrace }));
    const isInWindow = start <= Number(to) * 1e9 && end >= Number(from) * 1e9;
    if (fits.length === 0 || !isInWindow) continue;
    const spans = fits
      .slice(0, 3)
      .map(({ span, fields }) => ({
        spanID: span.spanId.toLowerCase(),
        startTimeUnixNano: span.startTimeUnixNano,
        durationNanos: String(fields.duration),
      }));
    const spanSet = { spans, matched: fits.length };
    const answer = withoutDefaults({
      traceID: id,
      rootServiceName: rootServiceName || '<root span not yet received>',
      rootTraceName: rootName,
      startTimeUnixNano: String(start),
      durationMs: Math.floor(traceDuration / 1e6),
      spanSet,
      spanSets: [spanSet],
    });
    found.push({ start, answer });
  }
  found.sort((a, b) => Number(b.start - a.start)).splice(Number(limit));
  return { traces: found.map(({ answer }) => answer), metrics: {} };
}

/** OTLP over HTTP. */
async function receive(traces: Traces, request: IncomingMessage) {
  const type = request.headers['content-type'] ?? '';
  const encoding = request.headers['content-encoding'] ?? '';
  if (!/^application\/json *(;|$)/.test(type) || !/^(gzip)?$/.test(encoding))
    throw httpError(415, `not JSON, plain or gzip: ${type} ${encoding}\n`);
  if (!(Number(request.headers['content-length']) <= MAX_BODY_BYTES))
    throw httpError(413, `no content-length of at most ${MAX_BODY_BYTES}\n`);
  const body = await buffer(request);
  try {
    const limit = { maxOutputLength: MAX_BODY_BYTES };
    const json = encoding ? gunzipSync(body, limit) : body;
    add(traces, JSON.parse(json.toString()) as OtlpTraces);
  } catch (error) {
    const status = error instanceof RangeError ? 413 : 400; // maxOutputLength
    throw httpError(status, `not OTLP/JSON: ${String(error)}\n`);
  }
  return { partialSuccess: {} };
}

/** A string is for text/plain, an object for JSON. */
async function answer(traces: Traces, request: IncomingMessage) {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://any');
  const [, id] = pathname.match(/^\/api\/v2\/traces\/([^/]+)$/) ?? [];
  if (id) return traceById(traces, id);
  if (pathname === '/ready') return 'ready\n';
  if (pathname === '/api/echo') return 'echo'; // how Grafana checks its data source
  if (pathname === '/metrics') return `tempo_stand_in_traces ${traces.size}\n`;
  if (pathname === '/api/search') return search(traces, searchParams);
  if (pathname === '/v1/traces') return receive(traces, request);
  throw httpError(404, '404 page not found\n');
}

/** Port 0 takes a free one. */
export async function startTempoStandIn(port = 0, traces: Traces = new Map(), host = '127.0.0.1') {
  const server = createServer(async (request, response) => {
    let status = 200;
    const body = await answer(traces, request).catch((error) => {
      status = error.status ?? (error instanceof SyntaxError ? 400 : 500);
      return String(error.message);
    });
    const json = typeof body === 'object';
    const type = json ? 'application/json' : 'text/plain; charset=utf-8';
    response.writeHead(status, { 'content-type': type });
    response.end(json ? JSON.stringify(body) : body);
  });
  await once(server.listen(port, host), 'listening');
  const url = `http://${host}:${(server.address() as AddressInfo).port}`;
  return { url, stop: () => server.close().closeAllConnections() };
}

if (import.meta.main) {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { host: text, port: text, 'otlp-port': text } });
  const traces: Traces = new Map();
  for (const each of [values.port ?? 3200, values['otlp-port'] ?? 55681]) {
    const { url, stop } = await startTempoStandIn(Number(each), traces, values.host);
    process.once('SIGTERM', stop).once('SIGINT', stop);
    console.log(`stand-in for Tempo at ${url}`);
  }
}

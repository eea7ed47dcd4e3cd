import { styleText } from 'node:util';
import { exploreUrl, type ExploreQuery } from '../grafana/src/explore-url.ts';
import { poll } from './checks.ts';
import { address, component } from './components/index.ts';
import type { Context } from './context.ts';
import { requireService, whatIsWrong } from './diagnosis/diagnosis.ts';
import type { Span } from './stores.ts';
import { Stores, type LogLine } from './stores.ts';

/** How long the signals may take to their stores before the tour says what is missing. */
const DEADLINE_MS = 30_000;

const ROUTE = '/books/create';
const SPAN = `service_name="backend-example", span_name="POST ${ROUTE}"`;
const LATENCY = `traces_spanmetrics_latency_bucket{${SPAN}}`;
const p95 = (buckets: string) => `histogram_quantile(0.95, sum by (le) (${buckets}))`;
const SPAN_COUNT = `sum(traces_spanmetrics_calls_total{${SPAN}})`;
/** Counters of the service that this request moves. */
const COUNTERS = {
  'books created': `books_created_total{service="backend-example"}`,
  'requests, counted by the service': `http_server_request_duration_count{service="backend-example", http_route="${ROUTE}"}`,
};

/** `npm run tour`: follows one request through logs, trace and metrics; 1 when something of it is missing. */
export async function tour(context: Context): Promise<number> {
  await requireService(context);
  const stores = new Stores(context);
  const { print } = context;
  const grafana = address(component('grafana'), context.settings);
  const where = `in Grafana${(await stores.whyDown('grafana')) ? ', which does not run here' : ''}`;
  const tempo = await tempoTitle(context);
  const heading = (text: string) => print(`\n${styleText('bold', text)}`);
  const link = (query: ExploreQuery) => print(`\n   ${where}: ${grafana}${exploreUrl(query)}`);
  const metric = (name: string, value: string, promql: string) =>
    print(`  ${name.padEnd(34)} ${value.padStart(8)}\n     PromQL: ${promql}`);

  heading('1. Three requests');
  const book = { title: 'Observability Engineering', author: 'Charity Majors' };
  const { traceId, answeredAt, text } = await send(context, 'POST', ROUTE, book);
  const { id } = JSON.parse(text) as { id: number };
  await send(context, 'GET', `/books/find/${id}`);
  await send(context, 'GET', '/books/find/2147483647');
  print(
    `\nThe tour follows the first one. Its trace id is the answer's X-Trace-Id header:\n  ${traceId}`,
  );

  const missing: Record<'loki' | 'tempo' | 'mimir', string[]> = { loki: [], tempo: [], mimir: [] };
  const deadline = Date.now() + DEADLINE_MS;
  const within = <T>(ask: () => Promise<T | undefined | false>) =>
    poll(ask, deadline - Date.now()).catch(() => undefined);

  heading('2. Its log lines, from Loki');
  const logql = `{service_name="backend-example"} | trace_id="${traceId}"`;
  print(`   LogQL: ${logql}\n`);
  const logs = await within(async () => {
    const lines = await stores.queryLogs(logql);
    // the line that sums up the request comes last: then all are there
    return lines.some(({ labels }) => labels.http_response_status_code) && lines;
  });
  if (logs) logs.forEach((line) => print(formatLog(line)));
  else missing.loki.push('log line');
  link({ datasource: 'loki', expr: logql });

  heading(`3. Its trace, from ${tempo}`);
  print(`   TraceQL: ${traceId}\n`);
  const spans = await within(async () => {
    const found = await stores.queryTrace(traceId);
    return isComplete(found) && found;
  });
  if (spans) waterfall(spans).forEach((line) => print(line));
  else missing.tempo.push('complete trace');
  link({ datasource: 'tempo', query: traceId });

  heading('4. The metrics it is part of, from Mimir');
  for (const [name, selector] of Object.entries(COUNTERS)) {
    // A scrape that began a second after the answer has this request in it.
    const fresh = await within(async () => {
      const scraped = await stores.queryNumber(`max(timestamp(${selector}))`);
      return (scraped ?? 0) > answeredAt / 1000 + 1;
    });
    const value = fresh && (await stores.queryNumber(`sum(${selector})`));
    if (value) metric(name, String(value), `sum(${selector})`);
    else missing.mimir.push(`metric "${name}"`);
  }
  // Span metrics come at every flush of the collector; the exemplar proves that this request is in them.
  const exemplar = await within(async () =>
    (await stores.queryExemplars(LATENCY)).find(({ labels }) => labels.trace_id === traceId),
  );
  // A new series begins with a 0, so that rate() sees its first step: wait for the flush after that.
  const count = exemplar && (await within(() => stores.queryNumber(SPAN_COUNT)));
  if (count) {
    metric('requests, counted from spans', String(count), SPAN_COUNT);
    const seconds = (await stores.queryNumber(p95(LATENCY))) ?? NaN;
    metric('95 % were faster than', milliseconds(seconds * 1000), p95(LATENCY));
  } else missing.mimir.push('span metrics');
  link({ datasource: 'mimir', expr: SPAN_COUNT });

  heading('5. The way back: from the metric to this trace');
  if (exemplar)
    print(
      `  The latency histogram has an exemplar of ${milliseconds(exemplar.value * 1000)} with trace_id ${traceId}`,
    );
  else missing.mimir.push('exemplar');
  link({ datasource: 'mimir', expr: p95(`rate(${LATENCY}[1m])`), exemplar: true });

  const gaps = Object.entries(missing)
    .filter(([, list]) => list.length > 0)
    .map(
      ([store, list]) => `${component(store).title} has no ${list.join(', no ')} of this request.`,
    );
  if (gaps.length > 0)
    throw new Error(
      `Not everything arrived within ${DEADLINE_MS / 1000} s.\n${gaps.join('\n')}\nThe doctor says:\n${await whatIsWrong(context)}`,
    );
  print('\nLogs, trace and metrics of this one request were found. That is the whole idea.');
  return 0;
}

async function send(context: Context, method: string, path: string, body?: object) {
  const response = await context.fetch(new Stores(context).books + path, {
    method,
    headers: body && { 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  const answeredAt = Date.now();
  context.print(`  ${method.padEnd(4)} ${path}\n       → ${response.status} ${text}`);
  const traceId = response.headers.get('x-trace-id');
  if (!traceId)
    throw new Error(
      'The answer has no X-Trace-Id header: the service runs without telemetry (is OTEL_SDK_DISABLED set?)',
    );
  if (response.status >= 500 || (method === 'POST' && !response.ok))
    throw new Error(`The service could not do that: ${text}`);
  return { text, traceId, answeredAt };
}

/** "Tempo", or the name of what takes its place and says so in its metrics. */
async function tempoTitle(context: Context): Promise<string> {
  const page = `${new Stores(context).tempo}/metrics`;
  const metrics = await context
    .fetch(page, { signal: AbortSignal.timeout(3_000) })
    .then((response) => response.text())
    .catch(() => '');
  return metrics.includes('tempo_stand_in') ? 'Tempo stand-in' : component('tempo').title;
}

const milliseconds = (ms: number): string => `${ms.toFixed(1)} ms`;

function isComplete(spans: Span[]): boolean {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  return (
    spans.some(({ parentSpanId }) => parentSpanId === '') &&
    spans.every(({ parentSpanId: p }) => p === '' || ids.has(p)) &&
    spans.some(({ kind }) => kind === 'CLIENT')
  );
}

/** One line a span: children below their parent, a bar that shows when, and how long it took. */
function waterfall(spans: Span[]): string[] {
  const WIDTH = 32;
  const root = spans.find(({ parentSpanId }) => parentSpanId === '')!;
  const total = Number(root.endNs - root.startNs) || 1;
  const column = (ns: bigint) => Math.round((Number(ns - root.startNs) / total) * WIDTH);
  const lines = (span: Span, depth: number): string[] => {
    const from = Math.min(Math.max(column(span.startNs), 0), WIDTH - 1);
    const to = Math.min(Math.max(column(span.endNs), from + 1), WIDTH);
    const bar = '·'.repeat(from) + '█'.repeat(to - from) + '·'.repeat(WIDTH - to);
    const duration = milliseconds(Number(span.endNs - span.startNs) / 1e6);
    const label = `${'  '.repeat(depth)}${span.name}${span.failed ? ' ✗' : ''}`;
    return [
      `  ${label.padEnd(38)} ${bar} ${duration.padStart(10)}  ${span.kind}`,
      ...(span.sql ? [`  ${'  '.repeat(depth + 1)}${span.sql.replace(/\s+/g, ' ')}`] : []),
      ...spans
        .filter(({ parentSpanId }) => parentSpanId === span.spanId)
        .sort((a, b) => Number(a.startNs - b.startNs))
        .flatMap((child) => lines(child, depth + 1)),
    ];
  };
  return lines(root, 0);
}

function formatLog({ timeNs, line, labels }: LogLine): string {
  const time = new Date(Number(timeNs / 1_000_000n)).toISOString().slice(11, 23);
  return `  ${time}  ${(labels.detected_level ?? '?').padEnd(5)}  ${line}   span_id=${labels.span_id}`;
}

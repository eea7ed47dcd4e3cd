import { styleText } from 'node:util';
import {
  BOOKS,
  GRAFANA,
  poll,
  queryExemplars,
  queryLogs,
  queryMetrics,
  queryNumber,
  queryTrace,
  type LogLine,
  type Span,
} from './backends.ts';
import { httpReady, reasonOf } from './processes.ts';
import { component } from './components.ts';
import { readRecord, runningNow } from './run-folder.ts';
import { fail } from './terminal.ts';

/** How long the signals may take to their stores before the tour says what is missing. */
const DEADLINE_MS = 30_000;

const ROUTE = '/books/create';
const LATENCY = `traces_spanmetrics_latency_bucket{service_name="backend-example", span_name="POST ${ROUTE}"}`;
const COUNTS = {
  'requests (span metrics)': `sum(traces_spanmetrics_calls_total{service_name="backend-example", span_name="POST ${ROUTE}"})`,
  'requests (the service itself)': `sum(http_server_request_duration_count{service="backend-example", http_route="${ROUTE}"})`,
  'books created': `sum(books_created_total{service="backend-example"})`,
};
const P95 = `histogram_quantile(0.95, sum by (le) (${LATENCY}))`;

try {
  await tour();
} catch (error) {
  fail(error);
}

async function tour(): Promise<void> {
  await requireService();
  const before = await readCounts();

  heading('1. Three requests');
  const created = await send('POST', ROUTE, {
    title: 'Observability Engineering',
    author: 'Charity Majors',
  });
  const { id } = JSON.parse(created.body) as { id: number };
  await send('GET', `/books/find/${id}`);
  await send('GET', '/books/find/2147483647');
  const { traceId } = created;
  console.log(
    `\nThe tour follows the first one. Its trace id is the answer's X-Trace-Id header:\n  ${traceId}`,
  );

  const missing: string[] = [];
  const deadline = Date.now() + DEADLINE_MS;
  const within = <T>(ask: () => Promise<T | undefined | false>) =>
    poll(ask, deadline - Date.now()).catch(() => undefined);

  const logql = `{service_name="backend-example"} | trace_id="${traceId}"`;
  heading('2. Its log lines, from Loki');
  console.log(`   LogQL: ${logql}\n`);
  const logs = await within(async () => {
    const lines = await queryLogs(logql);
    // the line that sums up the request comes last: then all are there
    return (
      lines.some(({ labels }) => labels.http_response_status_code) && lines
    );
  });
  if (logs) for (const line of logs) console.log(formatLog(line));
  else missing.push(await explain('log line', 'loki'));
  console.log(`\n   in Grafana: ${exploreLink('loki', { expr: logql })}`);

  heading('3. Its trace, from Tempo');
  console.log(`   TraceQL: ${traceId}\n`);
  const spans = await within(async () => {
    const found = await queryTrace(traceId);
    return isComplete(found) && found;
  });
  if (spans) for (const line of waterfall(spans)) console.log(line);
  else missing.push(await explain('complete trace', 'tempo'));
  console.log(
    `\n   in Grafana: ${exploreLink('tempo', { query: traceId, queryType: 'traceql' })}`,
  );

  heading('4. What it added to the metrics, from Mimir');
  const counted = await within(async () => {
    const now = await readCounts();
    return now.every(({ value }, i) => value > before[i]!.value) && now;
  });
  for (const [i, { name, promql, value }] of (
    counted ?? (await readCounts())
  ).entries())
    console.log(
      `  ${name.padEnd(30)} ${String(before[i]!.value).padStart(6)} → ${value}\n     PromQL: ${promql}`,
    );
  if (counted) {
    const p95 = await queryNumber(P95);
    console.log(
      `  ${'95 % of them were faster than'.padEnd(30)} ${((p95 ?? NaN) * 1000).toFixed(1).padStart(6)} ms\n     PromQL: ${P95}`,
    );
  } else missing.push(await explain('metric point', 'mimir'));
  console.log(
    `\n   in Grafana: ${exploreLink('mimir', { expr: COUNTS['requests (span metrics)'] })}`,
  );

  heading('5. The way back: from the metric to this trace');
  const exemplar = await within(async () =>
    (await queryExemplars(LATENCY)).find(
      ({ labels }) => labels.trace_id === traceId,
    ),
  );
  if (exemplar)
    console.log(
      `  The histogram keeps an exemplar of ${(exemplar.value * 1000).toFixed(1)} ms with trace_id ${exemplar.labels.trace_id}\n     ${LATENCY}`,
    );
  else missing.push(await explain('exemplar', 'mimir'));
  console.log(
    `\n   in Grafana: ${exploreLink('mimir', { expr: `histogram_quantile(0.95, sum by (le) (rate(${LATENCY}[1m])))`, exemplar: true })}`,
  );

  if (missing.length > 0)
    throw new Error(`Not everything arrived:\n${missing.join('\n')}`);
  console.log(
    '\nLogs, trace and metrics of this one request were found. That is the whole idea.',
  );
}

async function requireService(): Promise<void> {
  const problem = await httpReady(`${BOOKS}/health/ready`)(
    AbortSignal.timeout(5_000),
  );
  if (!problem) return;
  const last = (await runningNow()) ? undefined : await readRecord();
  throw new Error(
    `The books service is not ready: ${problem}.\nStart the stack with: npm start${last?.ended ? `\nThe last run ended ${last.ended}` : ''}`,
  );
}

async function send(
  method: string,
  path: string,
  body?: object,
): Promise<{ body: string; traceId: string }> {
  const response = await fetch(BOOKS + path, {
    method,
    headers: body && { 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  console.log(
    `  ${method.padEnd(4)} ${path}\n       → ${response.status} ${text}`,
  );
  const traceId = response.headers.get('x-trace-id');
  if (!traceId)
    throw new Error(
      'The answer has no X-Trace-Id header: the service runs without telemetry (is OTEL_SDK_DISABLED set?)',
    );
  if (response.status >= 500 || (method === 'POST' && !response.ok))
    throw new Error(`The service could not do that: ${text}`);
  return { body: text, traceId };
}

async function readCounts(): Promise<
  { name: string; promql: string; value: number }[]
> {
  return Promise.all(
    Object.entries(COUNTS).map(async ([name, promql]) => ({
      name,
      promql,
      value: (await queryMetrics(promql).catch(() => []))[0]?.value ?? 0,
    })),
  );
}

/** Which hop a missing signal was lost at, as far as it can be seen from outside. */
async function explain(what: string, store: string): Promise<string> {
  const { title, readyUrl } = component(store);
  const down = await httpReady(readyUrl!)(AbortSignal.timeout(3_000));
  const lost = `No ${what} of this request reached ${title} within ${DEADLINE_MS / 1000} s.`;
  if (down) return `${lost} ${down}`;
  const collector = await fetch('http://127.0.0.1:4318/v1/traces', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
    signal: AbortSignal.timeout(3_000),
  }).catch((error: Error) => error);
  return collector instanceof Error
    ? `${lost} The collector does not answer on port 4318 (${reasonOf(collector)}).`
    : `${lost} Both answer; so it was lost in the service, or between the collector and ${title}: see the collector's log.`;
}

function isComplete(spans: Span[]): boolean {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  return (
    spans.some(({ parentSpanId }) => parentSpanId === '') &&
    spans.every(({ parentSpanId: p }) => p === '' || ids.has(p)) &&
    spans.some(({ kind }) => kind === 'CLIENT')
  );
}

/** One line a span: children below their parent, a bar that shows when, and how long it took. */
export function waterfall(spans: Span[]): string[] {
  const WIDTH = 32;
  const root = spans.find(({ parentSpanId }) => parentSpanId === '')!;
  const total = Number(root.endNs - root.startNs) || 1;
  const column = (ns: bigint) =>
    Math.round((Number(ns - root.startNs) / total) * WIDTH);
  const lines = (span: Span, depth: number): string[] => {
    const from = Math.min(Math.max(column(span.startNs), 0), WIDTH - 1);
    const to = Math.min(Math.max(column(span.endNs), from + 1), WIDTH);
    const bar =
      '·'.repeat(from) + '█'.repeat(to - from) + '·'.repeat(WIDTH - to);
    const ms = (Number(span.endNs - span.startNs) / 1e6).toFixed(1);
    const label = `${'  '.repeat(depth)}${span.name}${span.failed ? ' ✗' : ''}`;
    const sql = span.attributes['db.query.text'];
    return [
      `  ${label.padEnd(38)} ${bar} ${ms.padStart(7)} ms  ${span.kind}`,
      ...(sql
        ? [`  ${'  '.repeat(depth + 1)}${String(sql).replace(/\s+/g, ' ')}`]
        : []),
      ...spans
        .filter(({ parentSpanId }) => parentSpanId === span.spanId)
        .sort((a, b) => Number(a.startNs - b.startNs))
        .flatMap((child) => lines(child, depth + 1)),
    ];
  };
  return lines(root, 0);
}

function formatLog({ timeNs, line, labels }: LogLine): string {
  const time = new Date(Number(timeNs / 1_000_000n))
    .toISOString()
    .slice(11, 23);
  return `  ${time}  ${(labels.detected_level ?? '?').padEnd(5)}  ${line}   span_id=${labels.span_id}`;
}

/** A link that opens Grafana's Explore with this query filled in. */
export function exploreLink(
  datasource: 'loki' | 'tempo' | 'mimir',
  query: Record<string, unknown>,
): string {
  const type = datasource === 'mimir' ? 'prometheus' : datasource;
  const panes = {
    tour: {
      datasource,
      queries: [
        { refId: 'A', datasource: { type, uid: datasource }, ...query },
      ],
      range: { from: 'now-1h', to: 'now' },
    },
  };
  return `${GRAFANA}/explore?schemaVersion=1&orgId=1&panes=${encodeURIComponent(JSON.stringify(panes))}`;
}

function heading(text: string): void {
  console.log(`\n${styleText('bold', text)}`);
}

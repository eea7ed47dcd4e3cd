import {
  BOOKS,
  GRAFANA,
  TEMPO,
  poll,
  queryExemplars,
  queryLogs,
  queryNumber,
  queryTrace,
  whyDown,
  type LogLine,
  type Span,
} from './backends.ts';
import { exploreUrl, type ExploreQuery } from '../grafana/src/explore-url.ts';
import { component, tempoStandIn } from './components.ts';
import { requireService } from './run-folder.ts';
import { fail, heading } from './terminal.ts';

/** How long the signals may take to their stores before the tour says what is missing. */
const DEADLINE_MS = 30_000;

interface Missing {
  what: string;
  store: string;
}

const ROUTE = '/books/create';
const SPAN = `service_name="backend-example", span_name="POST ${ROUTE}"`;
const LATENCY = `traces_spanmetrics_latency_bucket{${SPAN}}`;
const P95 = `histogram_quantile(0.95, sum by (le) (${LATENCY}))`;
const SPAN_COUNT = `sum(traces_spanmetrics_calls_total{${SPAN}})`;
/** Counters of the service that this request moves. */
const COUNTERS = {
  'books created': `books_created_total{service="backend-example"}`,
  'requests, counted by the service': `http_server_request_duration_count{service="backend-example", http_route="${ROUTE}"}`,
};

try {
  await tour();
} catch (error) {
  fail(error);
}

async function tour(): Promise<void> {
  await requireService();
  const grafana = (await whyDown('grafana'))
    ? 'in Grafana, which does not run here'
    : 'in Grafana';
  const link = (query: ExploreQuery) => `${GRAFANA}${exploreUrl(query)}`;
  const tempo = await tempoTitle();

  heading('1. Three requests');
  const created = await send('POST', ROUTE, {
    title: 'Observability Engineering',
    author: 'Charity Majors',
  });
  const { id } = JSON.parse(created.body) as { id: number };
  await send('GET', `/books/find/${id}`);
  await send('GET', '/books/find/2147483647');
  const { traceId, answeredAt } = created;
  console.log(
    `\nThe tour follows the first one. Its trace id is the answer's X-Trace-Id header:\n  ${traceId}`,
  );

  const missing: Missing[] = [];
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
  else missing.push({ what: 'log line', store: 'loki' });
  console.log(`\n   ${grafana}: ${link({ datasource: 'loki', expr: logql })}`);

  heading(`3. Its trace, from ${tempo}`);
  console.log(`   TraceQL: ${traceId}\n`);
  const spans = await within(async () => {
    const found = await queryTrace(traceId);
    return isComplete(found) && found;
  });
  if (spans) for (const line of waterfall(spans)) console.log(line);
  else missing.push({ what: 'complete trace', store: 'tempo' });
  console.log(
    `\n   ${grafana}: ${link({ datasource: 'tempo', query: traceId })}`,
  );

  heading('4. The metrics it is part of, from Mimir');
  for (const [name, selector] of Object.entries(COUNTERS)) {
    // A scrape that began a second after the answer has this request in it.
    const fresh = await within(
      async () =>
        ((await queryNumber(`max(timestamp(${selector}))`)) ?? 0) >
        answeredAt / 1000 + 1,
    );
    const value = fresh && (await queryNumber(`sum(${selector})`));
    if (value) print(name, String(value), `sum(${selector})`);
    else missing.push({ what: `metric "${name}"`, store: 'mimir' });
  }
  // Span metrics come at every flush of the collector; the exemplar proves that this request is in them.
  const exemplar = await within(async () =>
    (await queryExemplars(LATENCY)).find(
      ({ labels }) => labels.trace_id === traceId,
    ),
  );
  // A new series begins with a 0, so that rate() sees its first step: wait for the flush after that.
  const count = exemplar && (await within(() => queryNumber(SPAN_COUNT)));
  if (count) {
    print('requests, counted from spans', String(count), SPAN_COUNT);
    const p95 = (await queryNumber(P95)) ?? NaN;
    print('95 % were faster than', `${(p95 * 1000).toFixed(1)} ms`, P95);
  } else missing.push({ what: 'span metrics', store: 'mimir' });
  console.log(
    `\n   ${grafana}: ${link({ datasource: 'mimir', expr: SPAN_COUNT })}`,
  );

  heading('5. The way back: from the metric to this trace');
  if (exemplar)
    console.log(
      `  The latency histogram has an exemplar of ${(exemplar.value * 1000).toFixed(1)} ms with trace_id ${exemplar.labels.trace_id}`,
    );
  else missing.push({ what: 'exemplar', store: 'mimir' });
  console.log(
    `\n   ${grafana}: ${link({ datasource: 'mimir', expr: `histogram_quantile(0.95, sum by (le) (rate(${LATENCY}[1m])))`, exemplar: true })}`,
  );

  if (missing.length > 0) throw new Error(await explain(missing));
  console.log(
    '\nLogs, trace and metrics of this one request were found. That is the whole idea.',
  );
}

async function send(
  method: string,
  path: string,
  body?: object,
): Promise<{ body: string; traceId: string; answeredAt: number }> {
  const response = await fetch(BOOKS + path, {
    method,
    headers: body && { 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  const answeredAt = Date.now();
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
  return { body: text, traceId, answeredAt };
}

function print(name: string, value: string, promql: string): void {
  console.log(
    `  ${name.padEnd(34)} ${value.padStart(8)}\n     PromQL: ${promql}`,
  );
}

/** "Tempo", or the name of what takes its place and says so in its metrics. */
async function tempoTitle(): Promise<string> {
  const metrics = await fetch(`${TEMPO}/metrics`, {
    signal: AbortSignal.timeout(3_000),
  }).then(
    (response) => response.text(),
    () => '',
  );
  return metrics.includes('tempo_stand_in')
    ? tempoStandIn.title
    : component('tempo').title;
}

/** What did not arrive, and at which hop it was lost, as far as that can be seen from outside. */
async function explain(missing: Missing[]): Promise<string> {
  const lines = [...Map.groupBy(missing, ({ store }) => store)].map(
    async ([store, list]) => {
      const { title } = component(store);
      const why =
        (await whyDown(store)) ??
        (await whyDown('otel-collector')) ??
        `The collector and ${title} both answer: see the logs of the service and of the collector.`;
      return `${title} has no ${list.map(({ what }) => what).join(', no ')} of this request. ${why.replace(/\.?$/, '.')}`;
    },
  );
  return `Not everything arrived within ${DEADLINE_MS / 1000} s.\n${(await Promise.all(lines)).join('\n')}`;
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
function waterfall(spans: Span[]): string[] {
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

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { poll } from '../../cli/checks.ts';
import type { Span } from '../../cli/stores.ts';
import type { Settings } from '../../cli/settings.ts';
import type { LogLine, Stores } from '../../cli/stores.ts';
import type { Outcome } from './run.ts';
import type { TestedStores } from './stores.ts';

// What a running stack must show, however it was started: natively or in containers.

/** A stack that runs. */
export interface TestedStack {
  settings: Settings;
  /** See RunRecord. */
  ports: () => Record<string, number>;
  stores: TestedStores;
  command(verb: string, ...args: string[]): Promise<Outcome>;
  run(file: string, ...args: string[]): Promise<Outcome>;
  /** The components that run: all, or all but Grafana. */
  running: () => string[];
  /** Whether Tempo itself runs, and not its stand-in. */
  hasTempo: () => boolean;
}

const DEADLINE_MS = 60_000;

/** Asks until the answer is there; fails with `what` otherwise. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
): Promise<T> {
  const answer = await poll(ask, DEADLINE_MS);
  assert.ok(answer, `${what}: not seen within ${DEADLINE_MS / 1000} s`);
  return answer;
}

const byText = (a: unknown, b: unknown) => String(a).localeCompare(String(b));

async function call(
  { books }: Stores,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; traceId: string; body: any }> {
  const response = await fetch(books + path, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    traceId: response.headers.get('x-trace-id') ?? '',
    body: text ? JSON.parse(text) : undefined,
  };
}

/** One call of each kind; answers their trace ids by "METHOD route status". */
export async function traffic(stores: Stores): Promise<Record<string, string>> {
  const created = await call(stores, 'POST', '/books/create', {
    title: 'Distributed Systems Observability',
    author: 'Cindy Sridharan',
  });
  const { id } = created.body;
  const calls = {
    'POST /books/create 201': created,
    'GET /books/find 200': await call(stores, 'GET', '/books/find?limit=5'),
    'GET /books/find/:id 200': await call(stores, 'GET', `/books/find/${id}`),
    'GET /books/find/:id 404': await call(stores, 'GET', '/books/find/2147483647'),
    'POST /books/create 400': await call(stores, 'POST', '/books/create', { title: 7 }),
    'PATCH /books/update/:id 200': await call(stores, 'PATCH', `/books/update/${id}`, {
      title: 'Observability',
    }),
    'DELETE /books/remove/:id 204': await call(stores, 'DELETE', `/books/remove/${id}`),
  };
  for (const [name, { status }] of Object.entries(calls))
    assert.equal(`${status}`, name.split(' ')[2], name);
  return Object.fromEntries(Object.entries(calls).map(([name, { traceId }]) => [name, traceId]));
}

/** A request that ends with 500 and one that takes 50 ms; needs a service with FAULTS_ENABLED. */
export async function faultyRequests({ books }: Stores): Promise<void> {
  for (const [fault, expected] of [
    ['errorRatio=1', 500],
    ['latencyMs=50', 200],
  ] as const) {
    const { status } = await fetch(`${books}/books/find`, { headers: { 'x-fault': fault } });
    assert.equal(status, expected);
  }
}

/** The spans of a trace, once there are this many. */
export const traceOf = (stores: Stores, traceId: string, count: number): Promise<Span[]> =>
  eventually(`the ${count} spans of trace ${traceId}`, async () => {
    const found = await stores.queryTrace(traceId);
    return found.length >= count && found;
  });

/** The log lines of a trace, once the one that sums up the request is there. */
export const logsOf = (stores: Stores, traceId: string): Promise<LogLine[]> =>
  eventually(`the log lines of trace ${traceId}`, async () => {
    const lines = await stores.queryLogs(
      `{service_name="backend-example"} | trace_id="${traceId}"`,
    );
    return lines.some((l) => l.labels.http_response_status_code) && lines;
  });

/** How many books the service has counted, by the newest sample in Mimir. */
export const booksCreated = async (stores: Stores): Promise<number> =>
  (await stores.queryNumber('sum(books_created_total)')) ?? 0;

/**
 * Makes a book and waits until it is in the metrics, and until Loki has the lines of a trace. Answers a
 * check that book, metrics and lines are still there.
 */
export async function makeData(stores: Stores, traceId: string): Promise<() => Promise<void>> {
  const { body: book } = await call(stores, 'POST', '/books/create', {
    title: 'Site Reliability Engineering',
    author: 'Betsy Beyer',
  });
  const made = Date.now() / 1000;
  await eventually('a scrape that began after it', async () => {
    const newest = await stores.queryNumber('max(timestamp(books_created_total))');
    return newest && newest > made + 1;
  });
  const counted = await booksCreated(stores);
  await logsOf(stores, traceId);
  return async () => {
    const { body } = await call(stores, 'GET', `/books/find/${book.id}`);
    assert.deepEqual(body, book);
    assert.ok((await logsOf(stores, traceId)).length > 0);
    const most = await eventually('metrics from before the stop', () =>
      stores.queryNumber('max(max_over_time(books_created_total[15m]))'),
    );
    assert.equal(most, counted);
  };
}

/** Creates, reads and removes this many books, each with a title of its own, and one that is not there for each. */
export async function manyBooks(stores: Stores, count: number): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const title = `Book ${next++}`;
      const { body } = await call(stores, 'POST', '/books/create', { title, author: title });
      await call(stores, 'GET', `/books/find/${body.id}`);
      await call(stores, 'GET', `/books/find/${1_000_000_000 + body.id}`);
      await call(stores, 'DELETE', `/books/remove/${body.id}`);
    }
  };
  await Promise.all(Array.from({ length: 10 }, worker));
  // until the last of them is in the span metrics
  await eventually('every book in the metrics', async () => {
    const [found] = await stores.queryMetrics(
      'sum(traces_spanmetrics_calls_total{span_name="DELETE /books/remove/:id", span_kind="SPAN_KIND_SERVER"})',
    );
    return found!.value >= count;
  });
}

/**
 * The series that the service has in Mimir now, and its streams in Loki, each by its labels. Without
 * what rules make of them, and v8js_resource_active, whose label is a kind of handle of Node.js.
 */
export async function seriesAndStreams(stores: Stores): Promise<string[]> {
  const series = await stores.queryMetrics(
    '{__name__!~"v8js_resource_active|slo:.*|ALERTS.*", service_name="backend-example"}',
  );
  const url = new URL('/loki/api/v1/series', stores.loki);
  url.searchParams.set('match[]', '{service_name="backend-example"}');
  const { data } = (await (await fetch(url)).json()) as { data: Record<string, string>[] };
  const text = (labels: Record<string, string>) =>
    JSON.stringify(Object.entries(labels).toSorted(byText));
  return [...series.map(({ labels }) => labels), ...data].map(text).toSorted();
}

/** Checks what the tour printed, and that its counters moved by so much since `before`. */
export function assertTour(output: string, before: Counters = { books: 0, requests: 0 }): Counters {
  const traceId = /^ {2}([0-9a-f]{32})$/m.exec(output)?.[1];
  assert.ok(traceId, output);
  assert.ok(output.includes(`| trace_id="${traceId}"`));
  assert.match(output, /^ {2}POST \/books\/create +█+ +\d+\.\d ms  SERVER$/m);
  assert.match(output, /^ {8}pg\.query:INSERT books +·*█+·* +\d+\.\d ms  CLIENT$/m);
  assert.match(output, /^ {2}95 % were faster than +\d+\.\d ms$/m);
  assert.ok(output.includes(`with trace_id ${traceId}`));
  const count = (what: string) =>
    Number(new RegExp(`^ {2}${what} +(\\d+)$`, 'm').exec(output)?.[1]);
  const [books, requests] = [count('books created'), count('requests, counted by the service')];
  assert.equal(books, before.books + 1, output);
  assert.equal(requests, before.requests + 1, output);
  assert.equal(count('requests, counted from spans'), requests, output);
  return { books, requests };
}

/** What the tour counts: books made, and requests to make one. */
interface Counters {
  books: number;
  requests: number;
}

/**
 * The service × signal matrix and the shape of each signal.
 * @param stack a stack that has had two rounds of `traffic()`, with a flush of the connectors in between
 * @param run the trace ids of the second round, and `booksCreated()` before the first
 */
export function itSendsSignals(
  stack: () => TestedStack,
  run: () => { traces: Record<string, string>; before: number },
): void {
  const CREATED = 'POST /books/create 201';

  // ---- which part must emit which signal, with which labels

  const EMITS = {
    'backend-example': ['traces', 'logs', 'metrics'],
    'otel-collector': ['metrics'],
    loki: ['metrics'],
    tempo: ['metrics'],
    mimir: ['metrics'],
    alertmanager: ['metrics'],
    grafana: ['metrics'],
  };
  const arrived: Record<string, (stores: TestedStores, service: string) => Promise<unknown>> = {
    traces: (stores, service) =>
      eventually(`traces of ${service}`, async () => {
        const found = await stores.search(
          `{ resource.service.name = "${service}" && name = "POST /books/create" }`,
        );
        return found.some(({ id }) => id === run().traces[CREATED]);
      }),
    logs: (stores, service) =>
      eventually(`logs of ${service}`, async () => {
        const lines = await stores.queryLogs(
          `{service_name="${service}", service_namespace="lgtm-stack", deployment_environment_name="production"} | trace_id="${run().traces[CREATED]}"`,
        );
        return lines.length === 2;
      }),
    metrics: async (stores, service) => {
      const [target] = await eventually(`up of ${service}`, async () => {
        const samples = await stores.queryMetrics(`up{job="${service}"}`);
        return samples[0]?.value === 1 && samples;
      });
      const { service: name, group } = target!.labels;
      assert.deepEqual(
        [name, group],
        [service, service === 'backend-example' ? undefined : 'infrastructure'],
      );
    },
  };
  for (const [service, signals] of Object.entries(EMITS))
    for (const signal of signals)
      it(`${service} sends ${signal}`, async (t) => {
        if (!stack().running().includes(service)) return t.skip(`${service} cannot be had here`);
        await arrived[signal]!(stack().stores, service);
      });

  // ---- one trace and one log line; the service's own tests have the others

  const CHAIN = [
    'SERVER POST /books/create',
    'INTERNAL BooksController.create',
    'INTERNAL BooksService.create',
    'CLIENT pg.query:INSERT books',
  ];
  it(`${CREATED} is the trace ${CHAIN.join(' → ')}`, async () => {
    const spans = await traceOf(stack().stores, run().traces[CREATED]!, CHAIN.length);
    const label = (span?: Span) => (span ? `${span.kind} ${span.name}` : '');
    const edges = spans.map((span) => [
      label(spans.find(({ spanId }) => spanId === span.parentSpanId)),
      label(span),
    ]);
    assert.deepEqual(
      edges.sort((a, b) => CHAIN.indexOf(a[1]!) - CHAIN.indexOf(b[1]!)),
      CHAIN.map((child, i) => [CHAIN[i - 1] ?? '', child]),
    );
  });

  it('the log line of a 404 is a warning and belongs to a span of its trace', async () => {
    const { stores } = stack();
    const id = run().traces['GET /books/find/:id 404']!;
    const { labels } = (await logsOf(stores, id)).find(
      (line: LogLine) => line.labels.http_response_status_code,
    )!;
    assert.equal(labels.detected_level, 'warn');
    assert.equal(labels.http_response_status_code, '404');
    assert.equal(labels.http_route, '/books/find/:id');
    const spans = await traceOf(stores, id, 4);
    assert.ok(spans.some(({ spanId }) => spanId === labels.span_id));
  });

  it('Loki indexes these labels and no others', async () => {
    const response = await fetch(`${stack().stores.loki}/loki/api/v1/labels?since=1h`);
    const { data } = (await response.json()) as { data: string[] };
    assert.deepEqual(data.filter((label) => label !== '__stream_shard__').sort(), [
      'deployment_environment_name',
      'service_name',
      'service_namespace',
    ]);
  });

  // ---- metrics

  it('counts each created book once, in one series', async () => {
    const { stores } = stack();
    const samples = await eventually('books_created_total', async () => {
      const found = await stores.queryMetrics('books_created_total');
      return found[0]?.value === run().before + 2 && found;
    });
    assert.equal(samples.length, 1);
    assert.equal(samples[0]!.labels.service, 'backend-example');
  });

  it('span metrics count what the service counts, in seconds, with the names that Grafana looks for', async () => {
    const { stores } = stack();
    const selector =
      '{service_name="backend-example", span_name="POST /books/create", span_kind="SPAN_KIND_SERVER"}';
    const byStatus = async (metric: string) =>
      Object.fromEntries(
        (await stores.queryMetrics(`sum by (http_response_status_code) (${metric})`)).map(
          ({ labels, value }) => [labels.http_response_status_code, value],
        ),
      );
    await eventually('the same counts', async () => {
      const spans = await byStatus(`traces_spanmetrics_calls_total${selector}`);
      const service = await byStatus(
        'http_server_request_duration_count{http_route="/books/create"}',
      );
      assert.ok(service['201']! >= 2 && service['400']! >= 2);
      assert.deepEqual(spans, service);
      return true;
    });
    const p95 = await eventually('a rate', () =>
      stores.queryNumber(
        `histogram_quantile(0.95, sum by (le) (rate(traces_spanmetrics_latency_bucket${selector}[5m]))) > 0`,
      ),
    );
    assert.ok(p95 < 10, `p95 is ${p95} s`);
  });

  it('the service graph is user → backend-example → books', async () => {
    const { stores } = stack();
    const edges = await eventually('both edges', async () => {
      const samples = await stores.queryMetrics('traces_service_graph_request_total');
      return samples.length >= 2 && samples;
    });
    assert.deepEqual(
      edges.map(({ labels: l }) => [l.client, l.server, l.connection_type]).toSorted(byText),
      [
        ['backend-example', 'books', 'database'],
        ['user', 'backend-example', 'virtual_node'],
      ],
    );
    for (const end of ['server', 'client'])
      assert.ok(
        (await stores.queryNumber(
          `traces_service_graph_request_${end}_seconds_bucket{le="+Inf", server="books"}`,
        ))! > 0,
      );
  });

  it('an exemplar of the span metrics leads to the trace it was measured in', async () => {
    const { stores } = stack();
    const wanted = run().traces[CREATED]!;
    const exemplar = await eventually('the exemplar', async () =>
      (
        await stores.queryExemplars(
          'traces_spanmetrics_latency_bucket{span_name="POST /books/create"}',
        )
      ).find(({ labels }) => labels.trace_id === wanted),
    );
    const root = (await stores.queryTrace(wanted)).find(({ parentSpanId }) => parentSpanId === '')!;
    assert.ok(Math.abs(exemplar.value - Number(root.endNs - root.startNs) / 1e9) < 1e-6);
  });

  // ---- Grafana, where it can be had

  it('Grafana reaches its three data sources and shows its home dashboard', async (t) => {
    if (!stack().running().includes('grafana')) return t.skip('Grafana cannot be had here');
    const { grafana } = stack().stores;
    const headers = { authorization: `Basic ${Buffer.from('admin1:admin1').toString('base64')}` };
    for (const uid of ['loki', 'tempo', 'mimir']) {
      const response = await fetch(`${grafana}/api/datasources/uid/${uid}/health`, { headers });
      const { status } = (await response.json()) as { status: string };
      assert.equal(status, 'OK', uid);
    }
    const home = await fetch(`${grafana}/api/dashboards/home`, { headers });
    const { dashboard } = (await home.json()) as any;
    assert.equal(dashboard.title, 'Follow one request');
  });
}

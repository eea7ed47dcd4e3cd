import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  BOOKS,
  GRAFANA,
  LOKI,
  poll,
  queryExemplars,
  queryLogs,
  queryMetrics,
  queryTrace,
  searchTraces,
  type LogLine,
  type Span,
} from '../stack/backends.ts';

// What a running stack must show, however it was started: natively or in containers.

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
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; traceId: string; body: any }> {
  const response = await fetch(BOOKS + path, {
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
export async function traffic(): Promise<Record<string, string>> {
  const created = await call('POST', '/books/create', {
    title: 'Distributed Systems Observability',
    author: 'Cindy Sridharan',
  });
  const { id } = created.body;
  const calls = {
    'POST /books/create 201': created,
    'GET /books/find 200': await call('GET', '/books/find?limit=5'),
    'GET /books/find/:id 200': await call('GET', `/books/find/${id}`),
    'GET /books/find/:id 404': await call('GET', '/books/find/2147483647'),
    'POST /books/create 400': await call('POST', '/books/create', { title: 7 }),
    'PATCH /books/update/:id 200': await call('PATCH', `/books/update/${id}`, {
      title: 'Observability',
    }),
    'DELETE /books/remove/:id 204': await call('DELETE', `/books/remove/${id}`),
  };
  for (const [name, { status }] of Object.entries(calls))
    assert.equal(`${status}`, name.split(' ')[2], name);
  return Object.fromEntries(
    Object.entries(calls).map(([name, { traceId }]) => [name, traceId]),
  );
}

/** A request that ends with 500 and one that takes 50 ms; needs a service with FAULTS_ENABLED. */
export async function faultyRequests(): Promise<void> {
  for (const [fault, expected] of [
    ['errorRatio=1', 500],
    ['latencyMs=50', 200],
  ] as const) {
    const { status } = await fetch(`${BOOKS}/books/find`, {
      headers: { 'x-fault': fault },
    });
    assert.equal(status, expected);
  }
}

/** The spans of a trace, once there are this many. */
export const traceOf = (traceId: string, count: number): Promise<Span[]> =>
  eventually(`the ${count} spans of trace ${traceId}`, async () => {
    const found = await queryTrace(traceId);
    return found.length >= count && found;
  });

/** The log lines of a trace, once the one that sums up the request is there. */
export const logsOf = (traceId: string): Promise<LogLine[]> =>
  eventually(`the log lines of trace ${traceId}`, async () => {
    const lines = await queryLogs(
      `{service_name="backend-example"} | trace_id="${traceId}"`,
    );
    return lines.some((l) => l.labels.http_response_status_code) && lines;
  });

/**
 * Makes a book and waits until it is in the metrics as the last of so many, and until Loki has the
 * lines of a trace. Answers a check that book, metrics and lines are still there.
 */
export async function makeData(
  books: number,
  traceId: string,
): Promise<() => Promise<void>> {
  const { body: book } = await call('POST', '/books/create', {
    title: 'Site Reliability Engineering',
    author: 'Betsy Beyer',
  });
  await eventually('its counter', async () => {
    const [sample] = await queryMetrics('books_created_total');
    return sample?.value === books;
  });
  await logsOf(traceId);
  return async () => {
    assert.deepEqual((await call('GET', `/books/find/${book.id}`)).body, book);
    assert.ok((await logsOf(traceId)).length > 0);
    const [max] = await eventually('metrics from before the stop', async () => {
      const samples = await queryMetrics(
        'max_over_time(books_created_total[15m])',
      );
      return samples.length > 0 && samples;
    });
    assert.equal(max!.value, books);
  };
}

/** Creates, reads and removes this many books, each with a title of its own, and one that is not there for each. */
export async function manyBooks(count: number): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const title = `Book ${next++}`;
      const { body } = await call('POST', '/books/create', {
        title,
        author: title,
      });
      await call('GET', `/books/find/${body.id}`);
      await call('GET', `/books/find/${1_000_000_000 + body.id}`);
      await call('DELETE', `/books/remove/${body.id}`);
    }
  };
  await Promise.all(Array.from({ length: 10 }, worker));
  // until the last of them is in the span metrics
  await eventually('every book in the metrics', async () => {
    const [found] = await queryMetrics(
      'sum(traces_spanmetrics_calls_total{span_name="DELETE /books/remove/:id", span_kind="SPAN_KIND_SERVER"})',
    );
    return found!.value >= count;
  });
}

/**
 * The series that the service has in Mimir now, and its streams in Loki, each by its labels. Without
 * what rules make of them, and v8js_resource_active, whose label is a kind of handle of Node.js.
 */
export async function seriesAndStreams(): Promise<string[]> {
  const series = await queryMetrics(
    '{__name__!~"v8js_resource_active|slo:.*|ALERTS.*", service_name="backend-example"}',
  );
  const url = new URL('/loki/api/v1/series', LOKI);
  url.searchParams.set('match[]', '{service_name="backend-example"}');
  const { data } = (await (await fetch(url)).json()) as {
    data: Record<string, string>[];
  };
  const text = (labels: Record<string, string>) =>
    JSON.stringify(Object.entries(labels).toSorted(byText));
  return [...series.map(({ labels }) => labels), ...data].map(text).toSorted();
}

/** Checks what the tour printed, as the third book of a new stack. */
export function assertTour(output: string): void {
  const traceId = /^ {2}([0-9a-f]{32})$/m.exec(output)?.[1];
  assert.ok(traceId, output);
  assert.ok(output.includes(`| trace_id="${traceId}"`));
  assert.match(output, /^ {2}POST \/books\/create +█+ +\d+\.\d ms  SERVER$/m);
  assert.match(
    output,
    /^ {8}pg\.query:INSERT books +·*█+·* +\d+\.\d ms  CLIENT$/m,
  );
  assert.match(output, /^ {2}books created +3$/m);
  assert.match(output, /^ {2}requests, counted by the service +5$/m);
  assert.match(output, /^ {2}requests, counted from spans +5$/m);
  assert.match(output, /^ {2}95 % were faster than +\d+\.\d ms$/m);
  assert.ok(output.includes(`with trace_id ${traceId}`));
}

/**
 * The service × signal matrix and the shape of each signal.
 * @param run the trace ids of the second of two rounds of `traffic()`, and the parts that run
 */
export function itSendsSignals(
  run: () => { traces: Record<string, string>; running: string[] },
): void {
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
  const arrived: Record<string, (service: string) => Promise<unknown>> = {
    traces: (service) =>
      eventually(`traces of ${service}`, async () => {
        const ids = await searchTraces(
          `{ resource.service.name = "${service}" && name = "POST /books/create" }`,
        );
        return ids.includes(run().traces['POST /books/create 201']!);
      }),
    logs: (service) =>
      eventually(`logs of ${service}`, async () => {
        const lines = await queryLogs(
          `{service_name="${service}", service_namespace="lgtm-stack", deployment_environment_name="production"}`,
        );
        return lines.length >= 14;
      }),
    metrics: async (service) => {
      const [target] = await eventually(`up of ${service}`, async () => {
        const samples = await queryMetrics(`up{job="${service}"}`);
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
        if (!run().running.includes(service))
          return t.skip(`${service} cannot be had here`);
        await arrived[signal]!(service);
      });

  // ---- traces

  const TREES: Record<string, string[]> = {
    'POST /books/create 201': [
      'SERVER POST /books/create',
      'INTERNAL BooksController.create',
      'INTERNAL BooksService.create',
      'CLIENT pg.query:INSERT books',
    ],
    'GET /books/find/:id 404': [
      'SERVER GET /books/find/:id',
      'INTERNAL BooksController.findOne',
      'INTERNAL BooksService.findOne',
      'CLIENT pg.query:SELECT books',
    ],
    'DELETE /books/remove/:id 204': [
      'SERVER DELETE /books/remove/:id',
      'INTERNAL BooksController.remove',
      'INTERNAL BooksService.remove',
      'CLIENT pg.query:DELETE books',
    ],
  };
  for (const [name, chain] of Object.entries(TREES))
    it(`${name} is the trace ${chain.join(' → ')}`, async () => {
      const spans = await traceOf(run().traces[name]!, chain.length);
      const byId = new Map(spans.map((span) => [span.spanId, span]));
      const edges = spans.map((span) => {
        const parent = byId.get(span.parentSpanId);
        const label = (s: Span) => `${s.kind} ${s.name}`;
        return [parent ? label(parent) : '', label(span)];
      });
      assert.deepEqual(
        edges.sort((a, b) => chain.indexOf(a[1]!) - chain.indexOf(b[1]!)),
        chain.map((child, i) => [chain[i - 1] ?? '', child]),
      );
    });

  it('the SQL span names the database and the statement, without its values', async () => {
    const { attributes } = (
      await traceOf(run().traces['POST /books/create 201']!, 4)
    ).find(({ kind }) => kind === 'CLIENT')!;
    assert.equal(attributes['db.system.name'], 'postgresql');
    assert.equal(attributes['db.namespace'], 'books');
    assert.match(String(attributes['db.query.text']), /^INSERT INTO books/i);
    assert.doesNotMatch(String(attributes['db.query.text']), /Sridharan/);
  });

  // ---- logs

  const requestLine = (lines: LogLine[]) =>
    lines.find(({ labels }) => labels.http_response_status_code)!;

  for (const [name, level] of [
    ['POST /books/create 201', 'info'],
    ['GET /books/find/:id 404', 'warn'],
    ['POST /books/create 400', 'warn'],
  ] as const)
    it(`the log line of ${name} has level ${level} and belongs to a span of its trace`, async () => {
      const { labels } = requestLine(await logsOf(run().traces[name]!));
      assert.equal(labels.detected_level, level);
      assert.equal(labels.http_response_status_code, name.split(' ')[2]);
      assert.equal(labels.http_route, name.split(' ')[1]);
      const ids = (await queryTrace(run().traces[name]!)).map(
        (span) => span.spanId,
      );
      assert.ok(ids.includes(labels.span_id!));
    });

  it('Loki indexes these labels and no others', async () => {
    const response = await fetch(`${LOKI}/loki/api/v1/labels?since=1h`);
    const { data } = (await response.json()) as { data: string[] };
    assert.deepEqual(
      data.filter((label) => label !== '__stream_shard__').sort(),
      ['deployment_environment_name', 'service_name', 'service_namespace'],
    );
  });

  // ---- metrics

  it('HTTP metrics carry the route, never the URL', async () => {
    const routes = await eventually('all routes', async () => {
      const samples = await queryMetrics(
        'sum by (http_route) (http_server_request_duration_count{service="backend-example"})',
      );
      return samples.length >= 5 && samples.map((s) => s.labels.http_route);
    });
    assert.deepEqual(routes.toSorted(byText), [
      '/books/create',
      '/books/find',
      '/books/find/:id',
      '/books/remove/:id',
      '/books/update/:id',
    ]);
  });

  it('counts each created book once, in one series', async () => {
    const samples = await eventually('books_created_total', async () => {
      const found = await queryMetrics('books_created_total');
      return found[0]?.value === 2 && found;
    });
    assert.equal(samples.length, 1);
    assert.equal(samples[0]!.labels.service, 'backend-example');
  });

  it('span metrics have the names and labels that Grafana looks for, in seconds', async () => {
    const selector =
      '{service_name="backend-example", span_name="POST /books/create", span_kind="SPAN_KIND_SERVER"}';
    await eventually('span metrics', async () => {
      const samples = await queryMetrics(
        `sum by (http_response_status_code) (traces_spanmetrics_calls_total${selector})`,
      );
      const counts = Object.fromEntries(
        samples.map((s) => [s.labels.http_response_status_code, s.value]),
      );
      return counts['201'] === 2 && counts['400'] === 2;
    });
    const [p95] = await eventually('a rate', async () => {
      const samples = await queryMetrics(
        `histogram_quantile(0.95, sum by (le) (rate(traces_spanmetrics_latency_bucket${selector}[5m])))`,
      );
      return (samples[0]?.value ?? 0) > 0 && samples;
    });
    assert.ok(p95!.value < 10, `p95 is ${p95!.value} s`);
  });

  it('the service graph is user → backend-example → books', async () => {
    const edges = await eventually('both edges', async () => {
      const samples = await queryMetrics('traces_service_graph_request_total');
      return samples.length >= 2 && samples;
    });
    assert.deepEqual(
      edges
        .map(({ labels: l }) => [l.client, l.server, l.connection_type])
        .toSorted(byText),
      [
        ['backend-example', 'books', 'database'],
        ['user', 'backend-example', 'virtual_node'],
      ],
    );
    for (const metric of ['server', 'client'])
      assert.ok(
        (
          await queryMetrics(
            `traces_service_graph_request_${metric}_seconds_bucket{le="+Inf", server="books"}`,
          )
        )[0]!.value > 0,
      );
  });

  it('an exemplar of the span metrics leads to the trace it was measured in', async () => {
    const wanted = run().traces['POST /books/create 201'];
    const exemplar = await eventually('the exemplar', async () =>
      (
        await queryExemplars(
          'traces_spanmetrics_latency_bucket{span_name="POST /books/create"}',
        )
      ).find(({ labels }) => labels.trace_id === wanted),
    );
    const [root] = (await queryTrace(wanted!)).filter(
      ({ parentSpanId }) => parentSpanId === '',
    );
    const seconds = Number(root!.endNs - root!.startNs) / 1e9;
    assert.ok(Math.abs(exemplar.value - seconds) < 1e-6);
  });

  it('every scrape target of a running part is up', async () => {
    await eventually('every target', async () => {
      const samples = await queryMetrics('up');
      const up = samples.filter(({ value }) => value === 1).length;
      return up === run().running.filter((name) => name !== 'postgres').length;
    });
  });

  // ---- Grafana, where it can be had

  it('Grafana reaches its three data sources and shows its home dashboard', async (t) => {
    if (!run().running.includes('grafana'))
      return t.skip('Grafana cannot be had here');
    const headers = {
      authorization: `Basic ${Buffer.from('admin1:admin1').toString('base64')}`,
    };
    for (const uid of ['loki', 'tempo', 'mimir']) {
      const response = await fetch(
        `${GRAFANA}/api/datasources/uid/${uid}/health`,
        { headers },
      );
      const { status } = (await response.json()) as { status: string };
      assert.equal(status, 'OK', uid);
    }
    const home = await fetch(`${GRAFANA}/api/dashboards/home`, { headers });
    const { dashboard } = (await home.json()) as any;
    assert.equal(dashboard.title, 'Follow one request');
  });
}

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { NativeStack } from '../support/native-stack.ts';
import { eventually } from '../support/signals.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { startWebhook } from '../support/webhook.ts';

// What is too long, too late, too early or too much, sent to the collector as OTLP: is all of it in the
// stores, cut with a mark where it had to be cut? With the stand-in for Tempo, what is said about spans proves
// that the collector sends them, and nothing about how much Tempo takes.

type Value = string | number | boolean | Value[] | { [key: string]: Value };
type Values = Record<string, Value>;

/** OTLP/JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding */
function value(v: Value): object {
  if (typeof v === 'string') return { stringValue: v };
  if (typeof v === 'boolean') return { boolValue: v };
  if (typeof v === 'number') return Number.isInteger(v) ? { intValue: v } : { doubleValue: `${v}` };
  if (Array.isArray(v)) return { arrayValue: { values: v.map(value) } };
  return { kvlistValue: { values: attributes(v) } };
}

const attributes = (values: Values) =>
  Object.entries(values).map(([key, v]) => ({ key, value: value(v) }));

/** So many attributes or entries, of which each key and value begins with this. */
const many = (count: number, prefix = 'a'): Values =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${prefix}${i}`, `${prefix}${i}`]));

const SECOND = 1_000_000_000n;
const HOUR = 3600n * SECOND;
const DAY = 24n * HOUR;
/** Nanoseconds since 1970. */
const now = () => BigInt(Date.now()) * 1_000_000n;
const seconds = (ns: bigint) => Number(ns / SECOND);

const line = (body: Value, values: Values = {}, rest = {}) => ({
  timeUnixNano: String(now()),
  body: value(body),
  attributes: attributes(values),
  ...rest,
});

/** A span, by its number in a trace. */
const span = (traceId: string, number: number, name: string, values: Values = {}, rest = {}) => ({
  traceId,
  spanId: number.toString(16).padStart(16, '0'),
  name,
  kind: 2,
  startTimeUnixNano: String(now() - 5_000_000n),
  endTimeUnixNano: String(now()),
  attributes: attributes(values),
  ...rest,
});

const byText = (a: unknown, b: unknown) => String(a).localeCompare(String(b));

const newTrace = () => `0${randomBytes(16).toString('hex').slice(1)}`;

const point = (asDouble: number, values: Values = {}, time = now()) => ({
  asDouble,
  timeUnixNano: String(time),
  attributes: attributes(values),
});

const gauge = (name: string, dataPoints: object[], rest = {}) => ({
  name,
  gauge: { dataPoints },
  ...rest,
});

/** What the books service says about itself is about as long. */
const RESOURCE = Object.fromEntries(
  Array.from({ length: 14 }, (_, i) => [`process.detail.${i}`, `${i} `.padEnd(60, '.')]),
);

describe('limits', { concurrency: 1 }, () => {
  let stack: NativeStack;
  let slack: Awaited<ReturnType<typeof startWebhook<{ attachments: { text: string }[] }>>>;
  before(async () => {
    slack = await startWebhook();
    const urlFile = join(temporaryFolder(), 'slack-webhook-url');
    writeFileSync(urlFile, slack.url);
    stack = await NativeStack.create({ SLACK_WEBHOOK_URL_FILE: urlFile });
    await stack.start();
    await sendOldSpans(); // a search finds them after a minute
    requests = sendRequests();
  });
  after(async () => {
    slack.close();
    await stack.stop();
  });
  /** Lost by the tests so far, as they have said. */
  let expectedLosses = {};
  afterEach(async () => assert.deepEqual(await losses(), expectedLosses));

  async function push(signal: 'logs' | 'traces' | 'metrics', body: object): Promise<void> {
    const url = `http://127.0.0.1:${stack.settings.OTLP_HTTP_PORT}/v1/${signal}`;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    assert.equal(`${response.status} ${await response.text()}`, '200 {"partialSuccess":{}}');
  }

  const resource = (service: string, values: Values = {}) => ({
    attributes: attributes({ 'service.name': service, ...values }),
  });
  const pushLogs = (service: string, logRecords: object[], values: Values = {}, scope = {}) =>
    push('logs', {
      resourceLogs: [{ resource: resource(service, values), scopeLogs: [{ scope, logRecords }] }],
    });
  const pushSpans = (service: string, spans: object[], values: Values = {}) =>
    push('traces', {
      resourceSpans: [{ resource: resource(service, values), scopeSpans: [{ spans }] }],
    });
  const pushMetrics = (service: string, metrics: object[], values: Values = {}) =>
    push('metrics', {
      resourceMetrics: [{ resource: resource(service, values), scopeMetrics: [{ metrics }] }],
    });

  /** Lines, oldest first, once there are so many. */
  const lines = (selector: string, count: number, since = '1h') =>
    eventually(`${count} lines of ${selector}`, async () => {
      const found = await ask<{ stream: Record<string, string>; values: [string, string][] }>(
        `${stack.stores.loki}/loki/api/v1/query_range`,
        { query: selector, since, limit: '1000' },
      );
      const all = found.flatMap(({ stream, values }) =>
        values.map(([time, text]) => ({ time: BigInt(time), text, ...stream })),
      );
      return all.length >= count && all.sort((a, b) => Number(a.time - b.time));
    });

  async function ask<T>(url: string, parameters: Record<string, string>): Promise<T[]> {
    const response = await fetch(`${url}?${new URLSearchParams(parameters).toString()}`);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return (JSON.parse(text) as { data: { result: T[] } }).data.result;
  }

  const search = async (traceql: string, days: number) => {
    const end = Math.floor(Date.now() / 1000) + 60;
    const start = String(end - days * 86_400);
    const url = `${stack.stores.tempo}/api/search?`;
    const question = new URLSearchParams({ q: traceql, start, end: String(end), limit: '100' });
    const response = await fetch(url + question.toString());
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return (JSON.parse(text) as { traces: { traceID: string; rootTraceName: string }[] }).traces;
  };

  /** The spans of a trace as OTLP/JSON, by name, once there are so many. */
  const trace = (id: string, count: number) =>
    eventually(`${count} spans of trace ${id}`, async () => {
      const response = await fetch(`${stack.stores.tempo}/api/v2/traces/${id}`);
      const { trace } = (await response.json()) as any;
      const spans = (trace?.resourceSpans ?? [])
        .flatMap(({ scopeSpans }: any) => scopeSpans)
        .flatMap(({ spans }: any) => spans) as any[];
      return spans.length >= count && spans;
    });

  const text = (list: any[] | undefined, key: string): string | undefined =>
    list?.find((attribute) => attribute.key === key)?.value.stringValue;

  const number = (promql: string) => stack.stores.queryNumber(promql);

  /** What collector and stores say that they have dropped, by the reason; not what Grafana's absence costs. */
  async function losses(): Promise<Record<string, number>> {
    const { stores } = stack;
    const collector = `http://127.0.0.1:${stack.ports()['otel-collector:8888']}`;
    const lost =
      /^(otelcol_exporter_(?:send|enqueue)_failed|otelcol_exporter_\w+_failed_translations|otelcol_connector_servicegraph_dropped|otelcol_deltatocumulative_datapoints\S+error=|loki_discarded_samples_total|cortex_discarded_samples_total|tempo_discarded_spans_total)(\S*) (\S+)$/gm;
    const found: Record<string, number> = {};
    for (const url of [collector, stores.loki, stores.mimir, stores.tempo]) {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      for (const [, metric, labels, count] of metrics.matchAll(lost)) {
        const reason = /(?:reason|exporter)="([^"]*)"/.exec(labels!)?.[1] ?? '';
        if (Number(count) > 0) found[`${metric} ${reason}`.trim()] = Number(count);
      }
    }
    return found;
  }

  const OLD = 'old-spans';
  const AGES = {
    'of an hour ago': HOUR,
    'of two days ago': 2n * DAY,
    'of eight days ago': 8n * DAY,
  };
  const sendOldSpans = () =>
    pushSpans(
      OLD,
      Object.entries(AGES).map(([name, age]) => {
        const time = String(now() - age);
        return span(newTrace(), 1, name, {}, { startTimeUnixNano: time, endTimeUnixNano: time });
      }),
    );

  /** 1,000 requests per second with one query each, for five seconds. */
  async function sendRequests(): Promise<void> {
    for (let second = 0; second < 5; second++) {
      const ends = Date.now() + 1_000;
      const spans = Array.from({ length: 1_000 }, () => {
        const id = newTrace();
        const query = { kind: 3, parentSpanId: '1'.padStart(16, '0') };
        return [
          span(id, 1, 'GET /'),
          span(id, 2, 'pg.query:SELECT', { 'db.namespace': 'edges' }, query),
        ];
      });
      await pushSpans('busy', spans.flat());
      await new Promise((resolve) => setTimeout(resolve, ends - Date.now()));
    }
  }
  let requests: Promise<void>;

  // ---- logs

  it('one line of 300,000 characters among 100: all are stored, and that one is cut and marked', async () => {
    const short = Array.from({ length: 99 }, (_, i) => line(`line ${i}`));
    await pushLogs('long-line', [...short, line('x'.repeat(300_000))]);
    const stored = await lines('{service_name="long-line"}', 100);
    assert.equal(stored.length, 100);
    const [cut, ...others] = await lines('{service_name="long-line"} | truncated != ""', 1);
    assert.deepEqual(others, []);
    assert.equal((cut as any).truncated, 'body of 300000 bytes');
    assert.equal(Buffer.byteLength(cut!.text), 262_144);
    assert.equal(cut!.text, `${'x'.repeat(262_141)}…`);
  });

  it('whatever is too long of a line or its attributes is cut, and the line is stored', async () => {
    const nested = (depth: number): Value => (depth > 0 ? { k: nested(depth - 1) } : 'leaf');
    const notANumber = [{ key: 'n', value: { doubleValue: 'NaN' } }];
    // what is sent; `truncated`, how many attributes are stored, the length of the longest and of the line
    const cases: Record<string, [object, string, number, number, number]> = {
      'attribute-70k': [line('a', { big: 'y'.repeat(70_000), b: '1' }), 'attributes', 2, 16_384, 1],
      'attributes-130': [line('a', many(130)), 'attributes', 100, 3, 1],
      'attributes-100': [line('a', many(100)), '', 100, 3, 1],
      'map-in-map': [line('a', { n: nested(20) }), '', 1, 4, 1],
      'map-of-5000': [line('a', { n: many(5_000), b: '1' }), 'attributes', 2, 16_384, 1],
      'list-of-9000': [line('a', { n: Object.keys(many(9_000)) }), 'attributes', 1, 16_384, 1],
      'long-key': [line('a', { ['k'.repeat(70_000)]: 'v' }), 'attributes', 1, 1, 1],
      'keys-without-letters': [line('a', { '': 'v', 日本: 'w', '???': 'x', b: '1' }), '', 4, 1, 1],
      'not-a-number': [line('a', {}, { attributes: notANumber }), '', 1, 3, 1],
      severity: [line('a', {}, { severityText: 's'.repeat(300_000) }), 'severity', 0, 0, 1],
      'two-bytes-each': [line('é'.repeat(200_000)), 'body of 400000 bytes', 0, 0, 262_143],
      'body-map': [line({ a: 1, b: { c: 'd' } }), '', 0, 0, 21],
      'body-large-map': [line({ a: 'b'.repeat(400_000) }), 'body of 400008 bytes', 0, 0, 262_144],
      'body-none': [{ timeUnixNano: String(now()) }, '', 0, 0, 0],
    };
    await push('logs', {
      resourceLogs: Object.entries(cases).map(([name, [record]]) => ({
        resource: resource(name),
        scopeLogs: [{ logRecords: [record] }],
      })),
    });
    const ofLoki = /^(service_name|detected_level|severity_text|truncated|time|text)$/;
    const stored: Record<string, unknown> = {};
    for (const name of Object.keys(cases)) {
      const found = await lines(`{service_name="${name}"}`, 1);
      assert.equal(found.length, 1, name);
      const values = Object.entries(found[0]!).filter(([key]) => !ofLoki.test(key));
      const longest = Math.max(0, ...values.map(([, v]) => Buffer.byteLength(String(v))));
      const bytes = Buffer.byteLength(found[0]!.text);
      stored[name] = [(found[0] as any).truncated ?? '', values.length, longest, bytes];
    }
    assert.deepEqual(
      stored,
      Object.fromEntries(Object.entries(cases).map(([name, [, ...rest]]) => [name, rest])),
    );
  });

  it('a resource and a scope that are too long are cut, and marked', async () => {
    const long = { big: 'r'.repeat(70_000), ['q'.repeat(4_000)]: 'v', map: many(5_000) };
    await pushLogs('long-resource', [line('a')], long);
    const [ofResource] = (await lines('{service_name="long-resource"}', 1)) as any[];
    assert.equal(ofResource.resource_truncated, 'true');
    assert.deepEqual([ofResource.big.length, ofResource.map.length < 1000], [198, true]);

    const scope = { name: 'n'.repeat(9_000), attributes: attributes({ a: 'b'.repeat(9_000) }) };
    await pushLogs('long-scope', [line('a')], {}, scope);
    const [ofScope] = (await lines('{service_name="long-scope"}', 1)) as any[];
    assert.equal(ofScope.scope_truncated, 'true');
    assert.deepEqual([ofScope.scope_name.length, ofScope.a.length], [201, 198]);
  });

  it('two services whose names of 3,000 characters differ at the end stay two, in each store', async () => {
    const ids = [newTrace(), newTrace()];
    for (const [i, id] of ids.entries()) {
      const service = `${'s'.repeat(3_000)}${i}`;
      await pushLogs(service, [line(`long-name-${i}`)]);
      await pushMetrics(service, [gauge('limits_long_name', [point(i)])]);
      await pushSpans(service, [span(id, 1, 'long name')]);
    }
    const found = (await lines('{service_name=~"s{200}.*"}', 2)) as any[];
    assert.equal(found.length, 2);
    const names = found.map(({ service_name }) => service_name);
    assert.match(names.join(), /^s{200}…\w{16},s{200}…\w{16}$/);
    assert.notEqual(names[0], names[1]);
    const jobs = await eventually('both series', async () => {
      const series = await stack.stores.queryMetrics('limits_long_name');
      return series.length === 2 && series.map(({ labels }) => labels.job!);
    });
    assert.deepEqual(jobs.sort(byText), names.sort(byText));
    for (const id of ids) assert.equal((await trace(id, 1)).length, 1);
    await eventually('both in the span metrics', async () => {
      const calls = await stack.stores.queryMetrics(
        'traces_spanmetrics_calls_total{span_name="long name"} == 1',
      );
      assert.deepEqual(calls.map(({ labels }) => labels.service_name).sort(byText), names);
      return true;
    });
  });

  const counted = (service: string, count: number) =>
    eventually(`${count} lines of ${service}`, async () => {
      const query = `sum(count_over_time({service_name="${service}"}[1h]))`;
      const [found] = await stack.stores.queryLogMetrics(query);
      return found?.value === count;
    });

  it('one push of 8 MB is stored', async () => {
    const records = Array.from({ length: 2_000 }, (_, i) => line(`${i} `.padEnd(4_000, 'x')));
    await pushLogs('8-mb', records);
    await counted('8-mb', 2_000);
  });

  it('one push of 100,000 short lines is stored, though each has its resource with it in Loki', async () => {
    const start = now();
    const records = Array.from({ length: 100_000 }, (_, i) => ({
      timeUnixNano: String(start + BigInt(i)),
      body: value(`${i}`),
    }));
    await pushLogs('short-lines', records, RESOURCE);
    await counted('short-lines', 100_000);
  });

  // ---- time

  it('a late line is stored at its time; what is older than retention or ahead, at that of its arrival', async () => {
    const start = now();
    const old = start - 30n * DAY;
    // the time of the line; what is stored: its age, and whether it claims another
    const cases: Record<string, [bigint, bigint, boolean]> = {
      newest: [start, 0n, false],
      '90 minutes ago': [start - (HOUR * 3n) / 2n, (HOUR * 3n) / 2n, false],
      'two days ago': [start - 2n * DAY, 2n * DAY, false],
      'almost seven days ago': [start - 167n * HOUR, 167n * HOUR, false],
      'eight days ago': [start - 8n * DAY, 0n, true],
      '1970': [1n, 0n, true],
      'in 20 minutes': [start + HOUR / 3n, 0n, true],
      'in 2262': [2n ** 63n - 1n, 0n, true],
      'in 2554': [2n ** 64n - 1n, 0n, true],
      'no time': [0n, 0n, false],
      'no time, seen a minute ago': [0n, 60n * SECOND, false],
      'no time, seen a month ago': [0n, 0n, true],
    };
    const seen: Record<string, bigint> = {
      'no time, seen a minute ago': start - 60n * SECOND,
      'no time, seen a month ago': old,
    };
    const records = Object.entries(cases).map(([body, [time]]) =>
      line(body, {}, { timeUnixNano: String(time), observedTimeUnixNano: String(seen[body] ?? 0) }),
    );
    await pushLogs('late', records);
    const stored = (await lines('{service_name="late"}', records.length, '192h')) as any[];
    const ages = stored.map(({ text, time, claimed_timestamp }) => [
      text,
      // those of arrival are a moment later than `start`
      Math.max(0, seconds(start - time)),
      claimed_timestamp !== undefined,
    ]);
    assert.deepEqual(
      ages.sort(byText),
      Object.entries(cases)
        .map(([text, [, age, claims]]) => [text, seconds(age), claims])
        .sort(byText),
    );
    const ahead = stored.find(({ text }) => text === 'in 20 minutes');
    const claimed = new Date(Number((start + HOUR / 3n) / 1_000_000n));
    assert.equal(ahead.claimed_timestamp, `${claimed.toISOString().slice(0, 19)}Z`);
  });

  it('the last 90 days can be asked of Loki, and the last 30 of Tempo', async () => {
    await pushLogs('reading', [line('here')]);
    await lines('{service_name="reading"}', 1);
    const found = await ask<object>(`${stack.stores.loki}/loki/api/v1/query_range`, {
      query: '{service_name="reading"}',
      since: '2160h',
    });
    assert.equal(found.length, 1);
    const id = newTrace();
    await pushSpans('reading', [span(id, 1, 'here')]);
    await eventually('the trace, with all digits of its id', async () => {
      const traces = await search('{ resource.service.name = "reading" }', 30);
      return traces[0]?.traceID === id;
    });
  });

  // ---- spans

  it('whatever is too long of a span is cut, marked, and no series is refused for it', async () => {
    const id = newTrace();
    const event = (stack: number) => ({
      events: [
        {
          name: 'exception',
          timeUnixNano: String(now()),
          attributes: attributes({ 'exception.stacktrace': 'x'.repeat(stack) }),
        },
      ],
    });
    const spans = [
      span(id, 1, 'N'.repeat(3_000)),
      span(id, 2, 'attribute', { big: 'b'.repeat(70_000), b: '1' }),
      span(id, 3, 'attributes', many(130)),
      span(id, 4, 'map', { map: many(5_000) }),
      span(id, 5, 'stack of 70000', {}, event(70_000)),
      span(id, 6, 'stack of 15000', {}, event(15_000)),
      span(id, 7, 'status', {}, { status: { code: 2, message: 'm'.repeat(70_000) } }),
      span(id, 8, 'route', { 'http.route': '/r'.repeat(4_000) }),
    ];
    await pushSpans('long-spans', spans);
    const stored = await trace(id, spans.length);
    const stackOf = ({ events }: any) => text(events?.[0].attributes, 'exception.stacktrace');
    const summary = stored.map((s) => {
      const rest = (s.attributes ?? []).filter(({ key }: any) => key !== 'truncated');
      const longest = rest.map(({ value }: any) => value.stringValue?.length ?? 0);
      return [
        s.name,
        text(s.attributes, 'truncated'),
        rest.length,
        Math.max(0, ...longest, stackOf(s)?.length ?? 0, s.status?.message?.length ?? 0),
      ];
    });
    assert.deepEqual(
      summary.sort(byText),
      [
        [`${'N'.repeat(200)}…`, 'name', 0, 0],
        ['attribute', 'attributes', 2, 16_382],
        ['attributes', undefined, 130, 4],
        ['map', 'attributes', 1, 16_382],
        ['stack of 70000', 'event', 0, 16_382],
        ['stack of 15000', undefined, 0, 15_000],
        ['status', 'status', 0, 16_381],
        ['route', undefined, 1, 8_000],
      ].sort(byText),
    );
    await eventually('all of them in the span metrics', async () => {
      const calls = await stack.stores.queryMetrics(
        'traces_spanmetrics_calls_total{service_name="long-spans"} == 1',
      );
      const lengths = calls.map(({ labels }) => labels.http_route?.length ?? 0);
      return calls.length === spans.length && Math.max(...lengths) === 998;
    });
  });

  it('6 MB of spans in one push are stored, those of one trace and those of others', async () => {
    const [large, ...others] = Array.from({ length: 6 }, newTrace);
    const long = { text: 'x'.repeat(4_000) };
    const spans = Array.from({ length: 1_500 }, (_, i) => span(large!, i + 1, 'large', long));
    await pushSpans('6-mb', [...spans, ...others.map((id) => span(id, 1, 'small'))]);
    assert.equal((await trace(large!, 1_500)).length, 1_500);
    for (const id of others) assert.equal((await trace(id, 1)).length, 1);
  });

  // ---- metrics

  it('whatever is too long of a metric is cut, and two series stay two', async () => {
    const long = 'v'.repeat(5_000);
    const key = 'k'.repeat(3_000);
    const all = many(130);
    await pushMetrics('long-metrics', [
      gauge('limits_value', [point(1, { v: `${long}1` }), point(2, { v: `${long}2` })]),
      gauge('limits_bytes', [point(1, { v: 'é'.repeat(3_000) })]),
      gauge('limits_40', [point(1, many(40))]),
      gauge('limits_130', [point(1, all), point(2, { ...all, a129: 'other' })]),
      gauge('limits_key', [point(1, { [key]: 'v' }), point(2, { [`${key}2`]: 'v' })]),
      gauge('limits_no_key', [point(1, { '': 'v', 日本: 'w' })]),
      gauge('limits_unit', [point(1)], { unit: 'u'.repeat(3_000) }),
      gauge(`limits_name_${'n'.repeat(3_000)}1`, [point(1)]),
      gauge(`limits_name_${'n'.repeat(3_000)}2`, [point(2)]),
      gauge('limits_hour_ago', [point(1, {}, now() - HOUR)]),
      gauge('limits_day_ago', [point(1, {}, now() - 25n * HOUR)]),
      gauge('limits_ahead', [point(1, {}, now() + HOUR)]),
      gauge('limits_no_time', [point(1, {}, 0n)]),
    ]);
    // name; for each value of it how many labels, of what length, cut, and from a wrong clock
    const expected: Record<string, [number, number, number, boolean, boolean][]> = {
      limits_value: [
        [1, 4, 998, true, false],
        [2, 4, 998, true, false],
      ],
      limits_bytes: [[1, 4, 499, true, false]],
      limits_40: [[1, 42, 12, false, false]],
      limits_130: [
        [1, 63, 16, true, false],
        [2, 63, 16, true, false],
      ],
      limits_key: [
        [1, 4, 16, true, false],
        [2, 4, 16, true, false],
      ],
      limits_no_key: [[1, 4, 13, false, false]],
      limits_unit: [[1, 2, 12, false, false]],
      limits_name: [
        [1, 2, 217, false, false],
        [2, 2, 217, false, false],
      ],
      limits_hour_ago: [[1, 2, 15, false, false]],
      limits_day_ago: [[1, 3, 14, false, true]],
      limits_ahead: [[1, 3, 12, false, true]],
      limits_no_time: [[1, 3, 14, false, true]],
    };
    const stored = await eventually('the series', async () => {
      const found = await stack.stores.queryMetrics(
        'last_over_time({__name__=~"limits_.*", job="long-metrics"}[2h])',
      );
      return found.length === Object.values(expected).flat().length && found;
    });
    const summary: typeof expected = {};
    for (const { labels, value } of stored.sort((a, b) => a.value - b.value)) {
      const { __name__: name = '', truncated, wrong_clock } = labels;
      const longest = Math.max(...Object.values(labels).map((v) => v.length));
      (summary[name.replace(/_n{9}.*/, '')] ??= []).push([
        value,
        Object.keys(labels).length,
        longest,
        truncated !== undefined,
        wrong_clock !== undefined,
      ]);
    }
    assert.deepEqual(summary, expected);
  });

  it('metrics sent as differences are added up', async () => {
    const delta = (count: number, start: bigint) => {
      const times = { startTimeUnixNano: String(start), timeUnixNano: String(now()) };
      const half = [String(count), String(count)];
      const bounds = {
        count: String(2 * count),
        sum: count,
        bucketCounts: half,
        explicitBounds: [1],
      };
      return [
        {
          name: 'limits_delta',
          sum: {
            aggregationTemporality: 1,
            isMonotonic: true,
            dataPoints: [{ asInt: String(count), ...times }],
          },
        },
        {
          name: 'limits_delta_histogram',
          histogram: { aggregationTemporality: 1, dataPoints: [{ ...bounds, ...times }] },
        },
      ];
    };
    const first = now();
    await pushMetrics('delta', delta(5, first - SECOND));
    await pushMetrics('delta', delta(7, first));
    const values = () =>
      Promise.all(
        [
          'limits_delta_total',
          'limits_delta_histogram_count',
          'limits_delta_histogram_bucket{le="1"}',
        ].map(number),
      );
    await eventually('their sums', async () => String(await values()) === '12,24,12');
  });

  // ---- how much

  it('the service graph counts what the span metrics count, at 1,000 requests per second', async () => {
    await requests;
    const counts = () =>
      Promise.all(
        [
          'sum(traces_spanmetrics_calls_total{service_name="busy", span_kind="SPAN_KIND_SERVER"})',
          'sum(traces_service_graph_request_total{client="user", server="busy"})',
          'sum(traces_service_graph_request_total{client="busy", server="edges"})',
        ].map(number),
      );
    let last = '';
    await eventually('5,000 of each', async () => {
      last = String(await counts());
      return last === '5000,5000,5000';
    }).catch((error) => assert.equal(last, '5000,5000,5000', error));
  });

  it('200 alerts of one name arrive: the first ten, and how many there are', async () => {
    const labels = { alertname: 'Many', service_name: 'many', severity: 'warning' };
    const alerts = Array.from({ length: 200 }, (_, i) => ({
      labels: { ...labels, instance: `${i}` },
      annotations: { summary: 'it is broken', description: 'd'.repeat(200) },
    }));
    const response = await fetch(`${stack.stores.alertmanager}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(alerts),
    });
    assert.equal(response.status, 200);
    const [told] = (await lines('{service_name="alertmanager"} | alertname="Many"', 1)) as any[];
    assert.equal(told.text, 'firing Many it is broken and 199 more of them');
    assert.equal(told.alerts_left_out, '190');
    const message = await eventually('the message to Slack', () => {
      const texts = slack.messages.map(({ attachments }) => attachments[0]!.text);
      return Promise.resolve(texts.find((sent) => sent.includes('it is broken')));
    });
    assert.match(message, /^200 alerts, the first 10 of them:\n/);
    assert.equal(message.match(/it is broken/g)!.length, 10);
  });

  it('12,000 span names become 500 series and one for the rest; 70,000 series of one metric leave room', async () => {
    const spans = Array.from({ length: 12_000 }, (_, i) => span(newTrace(), 1, `GET /books/${i}`));
    await pushSpans('noisy', spans);
    const calls = 'traces_spanmetrics_calls_total{service_name="noisy"}';
    await eventually(
      'all spans in the metrics',
      async () => (await number(`sum(${calls})`)) === 12_000,
    );
    assert.equal(await number(`count(${calls})`), 501);
    assert.equal(
      await number(`sum(${calls.replace('}', ', otel_metric_overflow="true"}')})`),
      11_500,
    );

    const before = await losses();
    for (let start = 0; start < 70_000; start += 10_000) {
      const points = Array.from({ length: 10_000 }, (_, i) => point(1, { user: `${start + i}` }));
      await pushMetrics('noisy', [gauge('limits_users', points)]);
    }
    await eventually('60,000', async () => (await number('count(limits_users)')) === 60_000);
    await pushMetrics('quiet', [gauge('limits_new', [point(1)])]);
    await eventually('a new series of another', () => number('limits_new{job="quiet"}'));
    // told by its reason; the exporter can only say that of this push not all was taken
    expectedLosses = await losses();
    const { 'cortex_discarded_samples_total per_metric_series_limit': refused, ...rest } =
      expectedLosses as Record<string, number>;
    assert.equal(refused, 10_000);
    delete rest['otelcol_exporter_send_failed prometheus_remote_write/mimir'];
    delete rest['otelcol_exporter_send_failed otlp_http/metrics_queue'];
    assert.deepEqual(rest, before);
  });

  it('spans of hours and days ago are found by a search', async (t) => {
    if (!stack.hasTempo()) return t.skip('the stand-in proves nothing');
    await eventually('all of them', async () => {
      const traces = await search(`{ resource.service.name = "${OLD}" }`, 30);
      return (
        traces
          .map((found) => found.rootTraceName)
          .sort(byText)
          .join() === Object.keys(AGES).sort(byText).join()
      );
    });
  });
});

/**
 * The stand-in on its own and, when TEMPO_URL and TEMPO_OTLP_URL (say
 * http://127.0.0.1:3200 and http://127.0.0.1:55681) name a real Tempo with
 * our config, its answers next to Tempo's: same spans in, same JSON out.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { ROOT } from '../../cli/paths.ts';
import { startTempoStandIn } from '../../offline/tempo-stand-in.ts';

interface Store {
  url: string;
  /** Without: as `url`. */
  otlpUrl?: string;
}
const JSON_TYPE = { 'content-type': 'application/json' };
const SERVICE = `books-${randomBytes(4).toString('hex')}`;
/** Two traces, as the books service makes them. One in 16 ids begins with 0. */
const OK = `0a${randomBytes(15).toString('hex')}`;
const ERROR = `f${randomBytes(16).toString('hex').slice(1)}`;
const NAMES = { [OK]: 'ok', [ERROR]: 'error' };
/** Seconds since 1970: ERROR starts one second after OK. */
const NOW = Math.floor(Date.now() / 1000) - 10;
const WINDOW = { start: NOW - 60, end: NOW + 60, limit: 1000 };

const attributes = (values: Record<string, object>): object[] =>
  Object.entries(values).map(([key, value]) => ({ key, value }));

/** Longer than Tempo keeps. */
const exception = {
  name: 'exception',
  attributes: attributes({ 'exception.stacktrace': { stringValue: 'at a\n'.repeat(4_000) } }),
};

/** Server 1 > controller 2 > service 3 > client 4, as the collector sends it. */
function bookTrace(traceId: string, start = NOW, failed = false): any {
  const span = (id: number, name: string, kind: number, ms: number[]) => ({
    traceId,
    spanId: `00a1b2c3d4e5f60${id}`,
    parentSpanId: id > 1 ? `00a1b2c3d4e5f60${id - 1}` : '',
    flags: 257,
    name,
    kind,
    startTimeUnixNano: String(BigInt(start * 1e3 + ms[0]!) * 1_000_000n),
    endTimeUnixNano: String(BigInt(start * 1e3 + ms[1]!) * 1_000_000n),
    status: failed && id < 4 ? { code: 2, message: 'no such shelf' } : {},
    events: failed && id === 2 ? [exception] : [],
  });
  const http = attributes({
    'http.route': { stringValue: '/books/create' },
    'http.response.status_code': { intValue: failed ? '500' : '201' },
    'cache.hit': { boolValue: failed },
    'shelf.load': { doubleValue: 0.5 },
  });
  const server = span(1, 'POST /books/create', 2, [0, 21]);
  const postgres = attributes({ 'db.system.name': { stringValue: 'pg' } });
  const client = span(4, 'pg.query:INSERT books', 3, [3, 13]);
  const resource = attributes({
    'service.name': { stringValue: SERVICE },
    'process.pid': { intValue: '42' },
  });
  return {
    resourceSpans: [
      {
        resource: { attributes: resource },
        scopeSpans: [
          { scope: { name: 'http', version: '1' }, spans: [{ ...server, attributes: http }] },
          {
            scope: { name: 'nestjs-otel' },
            spans: [
              span(2, 'BooksController.create', 1, [1, 19]),
              span(3, 'BooksService.create', 1, [2, 18]),
              { ...client, attributes: postgres },
            ],
          },
        ],
      },
    ],
  };
}

async function send(
  { url, otlpUrl = url }: Store,
  body: any,
  headers: Record<string, string> = JSON_TYPE,
): Promise<{ status: number; text: string }> {
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  const response = await fetch(`${otlpUrl}/v1/traces`, {
    method: 'POST',
    headers,
    body: raw ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

async function get(
  { url }: Store,
  path: string,
): Promise<{ status: number; type: string; text: string; json: any }> {
  const response = await fetch(url + path);
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  const json = type.startsWith('application/json') ? JSON.parse(text) : null;
  return { status: response.status, type, text, json };
}

const search = (store: Store, q: string, parameters = {}) =>
  get(store, `/api/search?${new URLSearchParams({ q, ...parameters }).toString()}`);

/** What is found of OK and ERROR, without what the stand-in does not show. */
async function found(store: Store, q: string): Promise<any[]> {
  const { status, json, text } = await search(store, q, WINDOW);
  assert.equal(status, 200, text);
  return json.traces
    .filter(({ traceID }: any) => NAMES[traceID])
    .map(({ spanSet, spanSets, ...trace }: any) => {
      assert.deepEqual(spanSets, [spanSet]);
      const spans = spanSet.spans.map((span: any) => ({
        spanID: span.spanID,
        startTimeUnixNano: span.startTimeUnixNano,
        durationNanos: span.durationNanos,
      }));
      // Which three of more than three spans are shown is up to chance.
      const { matched } = spanSet;
      delete trace.serviceStats;
      return { ...trace, matched, spans: matched > 3 ? [] : inOrder(spans) };
    });
}

/** The ends of the ids: 'ok14 error*', where * is more than three spans. */
function brief(traces: any[]): string {
  const each = traces.map(({ traceID, matched, spans }) => {
    const ids: string[] = spans.map(({ spanID }: any) => spanID.at(-1));
    return NAMES[traceID] + (matched > 3 ? '*' : inOrder(ids).join(''));
  });
  return inOrder(each).join(' ');
}

const FOUND: Record<string, string> = {
  '{}': 'error* ok*',
  '{ name = "POST /books/create" }': 'error1 ok1',
  '{ name != "POST /books/create" }': 'error234 ok234',
  '{ name =~ "Books.*" }': 'error23 ok23',
  '{ name =~ "Books" }': '',
  '{ span:name =~ `pg\\.query:.*` }': 'error4 ok4',
  '{ status = error }': 'error123',
  '{ span:status != error }': 'error4 ok*',
  '{ span:kind != internal }': 'error14 ok14',
  '{ duration > 16ms }': 'error12 ok12',
  '{ duration >= 16ms }': 'error123 ok123',
  '{ span:duration < 0.016s }': 'error4 ok4',
  '{ duration <= 16000us }': 'error34 ok34',
  '{ traceDuration > 20ms && kind = client }': 'error4 ok4',
  '{ traceDuration > 21ms }': '',
  '{ rootName = "POST /books/create" && kind = client }': 'error4 ok4',
  [`{ rootServiceName = "${SERVICE}" && kind = client }`]: 'error4 ok4',
  [`{ resource.service.name = "${SERVICE}" && kind = server }`]: 'error1 ok1',
  '{ resource.process.pid = 42 && kind = client }': 'error4 ok4',
  '{ span.process.pid = 42 }': '',
  '{ span.db.system.name != "pg" }': '',
  '{ span.db.system.name != "mysql" }': 'error4 ok4',
  '{ span.http.response.status_code >= 500 }': 'error1',
  '{ span.http.response.status_code = "500" }': '',
  '{ span.cache.hit != true }': 'ok1',
  '{ span.shelf.load < 0.6 && span.shelf.load > 0.4 }': 'error1 ok1',
  '{ status = error && kind = server || kind = client }': 'error14 ok4',
  '{ status = error && (kind = server || kind = client) }': 'error1',
};

const REFUSED = [
  '{ .a = }',
  '{ .a = 1',
  '{ .a = 1 &&\n .b = }',
  '{ name = 3 }',
  '{ status = "error" }',
  '{ kind = error }',
  '{ kind > client }',
  '{ span.a =~ 5 }',
];

/** One that ends with the test. */
async function fresh(t: TestContext): Promise<Store> {
  const store = await startTempoStandIn();
  t.after(() => store.stop());
  return store;
}

describe('the stand-in for Tempo', () => {
  let store: Awaited<ReturnType<typeof startTempoStandIn>>;
  before(async () => {
    store = await startTempoStandIn();
    await send(store, bookTrace(OK));
    await send(store, bookTrace(ERROR, NOW + 1, true));
  });
  after(() => store.stop());

  for (const [q, spans] of Object.entries(FOUND)) {
    test(`finds with ${q}`, async () => {
      assert.equal(brief(await found(store, q)), spans);
    });
  }

  test('cuts attributes at the length in tempo-config.yaml', async () => {
    const { json } = await get(store, `/api/v2/traces/${ERROR}`);
    const [, { spans }] = json.trace.resourceSpans[0].scopeSpans;
    const [trace] = spans[0].events[0].attributes;
    assert.equal(trace.value.stringValue.length, 16_384);
  });

  test('answers a search with the newest trace first, in Tempo’s shape', async () => {
    const { json } = await search(store, '{ kind = server }');
    const span = {
      spanID: '00a1b2c3d4e5f601',
      startTimeUnixNano: `${NOW + 1}000000000`,
      durationNanos: '21000000',
    };
    assert.deepEqual(json.traces[0], {
      traceID: ERROR,
      rootServiceName: SERVICE,
      rootTraceName: 'POST /books/create',
      startTimeUnixNano: `${NOW + 1}000000000`,
      durationMs: 21,
      spanSet: { spans: [span], matched: 1 },
      spanSets: [{ spans: [span], matched: 1 }],
    });
    assert.equal(json.traces[1].traceID, OK, 'with its leading zero');
  });

  test('limits the traces, by default to 20, and the spans of each to 3', async (t) => {
    const other = await fresh(t);
    for (let i = 10; i < 35; i++) {
      await send(other, bookTrace(`${i}`.padStart(32, 'a'), NOW + i));
    }
    const { json } = await search(other, '{}');
    assert.equal(json.traces.length, 20);
    assert.equal(json.traces[0].traceID, '34'.padStart(32, 'a'));
    assert.equal(json.traces[0].spanSet.spans.length, 3);
    const two = await search(other, '{}', { limit: 2 });
    assert.equal(two.json.traces.length, 2);
  });

  test('keeps to the time window, in seconds', async () => {
    const inWindow = async (start: number, end: number): Promise<number> =>
      (await search(store, '{}', { start, end })).json.traces.length;
    assert.equal(await inWindow(NOW - 10, NOW + 10), 2);
    assert.equal(await inWindow(NOW + 1, NOW + 10), 1);
    assert.equal(await inWindow(NOW - 10, NOW), 1);
    assert.equal(await inWindow(NOW + 2, NOW + 10), 0);
  });

  test('names the root of a trace that has none', async (t) => {
    const other = await fresh(t);
    const body = bookTrace(OK);
    body.resourceSpans[0].scopeSpans.shift();
    await send(other, body);
    const [trace] = (await search(other, '{}')).json.traces;
    assert.equal(trace.rootServiceName, '<root span not yet received>');
    assert.equal('rootTraceName' in trace, false);
  });

  test('answers a trace by its id, ids in base64 and enums by name', async () => {
    const { json } = await get(store, `/api/v2/traces/${OK.slice(1)}`);
    const [sent] = bookTrace(OK).resourceSpans;
    const [{ resource, scopeSpans }] = json.trace.resourceSpans;
    assert.deepEqual(resource, sent.resource);
    assert.deepEqual(scopeSpans[0].spans[0], {
      traceId: Buffer.from(OK, 'hex').toString('base64'),
      spanId: 'AKGyw9Tl9gE=',
      name: 'POST /books/create',
      kind: 'SPAN_KIND_SERVER',
      startTimeUnixNano: `${NOW}000000000`,
      endTimeUnixNano: `${NOW}021000000`,
      attributes: sent.scopeSpans[0].spans[0].attributes,
      status: {},
    });
    const failed = await get(store, `/api/v2/traces/${ERROR.toUpperCase()}`);
    const [, { spans }] = failed.json.trace.resourceSpans[0].scopeSpans;
    assert.equal(spans[0].parentSpanId, 'AKGyw9Tl9gE=');
    const message = 'no such shelf';
    assert.deepEqual(spans[0].status, { code: 'STATUS_CODE_ERROR', message });
    assert.equal(spans[0].events[0].name, 'exception');
  });

  test('takes gzip, and keeps a span that is sent twice once', async (t) => {
    const other = await fresh(t);
    await send(other, bookTrace(OK));
    const body = gzipSync(JSON.stringify(bookTrace(OK)));
    const headers = { ...JSON_TYPE, 'content-encoding': 'gzip' };
    const { status, text } = await send(other, new Uint8Array(body), headers);
    assert.deepEqual([status, text], [200, '{"partialSuccess":{}}']);
    assert.equal((await found(other, '{}'))[0].matched, 4);
  });

  test('says of the rest of TraceQL that it does not know it', async () => {
    for (const [q, part] of [
      ['{} | count() > 2', 'count() > 2'],
      ['{} | select(name)', 'select(name)'],
      ['{} && {}', '&&'],
      ['{} >> {}', '>>'],
      ['{} > {}', '>'],
      ['{ span.a !~ "b" }', '!~'],
      ['{ !(span.a = 1) }', '!(span.a = 1)'],
      ['{ span.a }', 'span.a'],
      ['{ 1 < span.a }', '1'],
      ['{ .a = 1 }', '.a'],
      ['{ span."a b" = 1 }', 'span."a b"'],
      ['{ trace:duration > 1s }', 'trace:duration'],
      ['{ parent.a = 1 }', 'parent.a'],
      ['{} with (most_recent=false)', 'with (most_recent=false)'],
    ] as const) {
      const { status, text } = await search(store, q);
      assert.equal(status, 400, q);
      assert.match(text, /^the stand-in for Tempo does not know: /);
      assert.ok(text.includes(part), text);
    }
    const literals = ['nil', 'error', '-1', '1h', '"\\x41"'];
    const comparisons = literals.map((literal) => `span.a = ${literal}`);
    for (const comparison of [...comparisons, 'name =~ "("']) {
      const { status } = await search(store, `{ ${comparison} }`);
      assert.equal(status, 400, comparison);
    }
  });

  test('refuses wrong types, and names the column of a syntax error', async () => {
    for (const q of REFUSED) {
      assert.equal((await search(store, q)).status, 400, q);
    }
    const { text } = await search(store, '{ .a = 1 &&\n .b = }');
    assert.equal(text, 'invalid TraceQL query: parse error at line 2, col 7');
  });

  test('drops the oldest trace after 5,000', async (t) => {
    const other = await fresh(t);
    const id = (n: number): string => `${n}`.padStart(32, 'b');
    const spans = Array.from({ length: 5_001 }, (_, n) => ({
      traceId: id(n),
      spanId: '00000000000000aa',
      startTimeUnixNano: '1',
      endTimeUnixNano: '2',
    }));
    await send(other, { resourceSpans: [{ scopeSpans: [{ spans }] }] });
    for (const n of [0, 1, 5_000]) {
      const { json } = await get(other, `/api/v2/traces/${id(n)}`);
      assert.equal('resourceSpans' in json.trace, n > 0, `${n}`);
    }
    const { text } = await get(other, '/metrics');
    assert.equal(text, 'tempo_stand_in_traces 5000\n');
  });

  test('refuses what is not OTLP/JSON, and keeps none of it', async (t) => {
    const other = await fresh(t);
    const status = async (...args: [any, Record<string, string>?]) =>
      (await send(other, ...args)).status;
    const gzip = { ...JSON_TYPE, 'content-encoding': 'gzip' };
    const zstd = { ...JSON_TYPE, 'content-encoding': 'zstd' };
    const protobuf = { 'content-type': 'application/x-protobuf' };
    assert.equal(await status('x', protobuf), 415);
    assert.equal(await status('x', zstd), 415);
    assert.equal(await status('x', gzip), 400);
    assert.equal(await status('{'), 400);
    assert.equal(await status('null'), 400);
    const bomb = new Uint8Array(gzipSync(Buffer.alloc(30 * 1024 * 1024)));
    assert.equal(await status(bomb, gzip), 413);
    assert.equal(await status(' '.repeat(21 * 1024 * 1024)), 413);
    for (const wrong of [
      { traceId: 'AeXW+p+BQXi2B4i4aBnCiA==' },
      { spanId: '' },
      { startTimeUnixNano: 'now' },
    ]) {
      const body = bookTrace(OK);
      Object.assign(body.resourceSpans[0].scopeSpans[1].spans[0], wrong);
      assert.equal(await status(body), 400, JSON.stringify(wrong));
    }
    assert.match((await get(other, '/metrics')).text, /_traces 0$/m);
  });

  test('runs from the command line until SIGTERM, one store on two ports', async () => {
    const script = join(ROOT, 'offline/tempo-stand-in.ts');
    const ports = ['--port', '0', '--otlp-port', '0'];
    const child = spawn(process.execPath, [script, ...ports]);
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (output.split('\n').length > 2) break;
    }
    const [url = '', otlpUrl = ''] = output.match(/http:\S+/g) ?? [];
    assert.equal((await send({ url, otlpUrl }, bookTrace(OK))).status, 200);
    assert.equal(brief(await found({ url }, '{}')), 'ok*');
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });
});

const { TEMPO_URL, TEMPO_OTLP_URL } = process.env;
const skip = TEMPO_URL && TEMPO_OTLP_URL ? false : 'TEMPO_URL and TEMPO_OTLP_URL name no Tempo';

test('the stand-in next to a real Tempo', { skip }, async (t) => {
  const tempo: Store = { url: TEMPO_URL ?? '', otlpUrl: TEMPO_OTLP_URL };
  const standIn = await fresh(t);
  const both = <T>(ask: (store: Store) => Promise<T>): Promise<[T, T]> =>
    Promise.all([ask(standIn), ask(tempo)]);

  await both((store) => send(store, bookTrace(OK)));
  await both((store) => send(store, bookTrace(ERROR, NOW + 1, true)));
  for (const deadline = Date.now() + 60_000; ; await sleep(500)) {
    if ((await found(tempo, '{}')).length === 2) break;
    assert.ok(Date.now() < deadline, 'Tempo does not find the spans');
  }

  for (const [q, spans] of Object.entries(FOUND)) {
    await t.test(`both find with ${q}`, async () => {
      const [mine, real] = await both((store) => found(store, q));
      assert.equal(brief(real), spans);
      assert.deepEqual(inOrder(mine), inOrder(real));
    });
  }

  await t.test('both answer a trace by its id', async () => {
    for (const id of [OK, ERROR, ERROR.toUpperCase(), OK.replace(/^0+/, '')]) {
      const [mine, real] = await both(async (store) => {
        const { json } = await get(store, `/api/v2/traces/${id}`);
        return inOrder(json.trace);
      });
      assert.deepEqual(mine, real);
    }
  });

  await t.test('both refuse the same, at the same column', async () => {
    for (const q of REFUSED) {
      const answers = await both(async (store) => {
        const { status, type, text } = await search(store, q);
        const column = /^invalid .* parse error at line \d+, col \d+/;
        return { status, type, column: text.match(column)?.[0] };
      });
      assert.equal(answers[0].status, 400, q);
      assert.deepEqual(answers[0], answers[1], q);
    }
  });

  await t.test('both answer with the same status and type', async () => {
    for (const path of [
      '/ready',
      '/api/v2/traces/00000000000000000000000000000abc',
      '/api/v2/traces/books',
      `/api/v2/traces/${'a'.repeat(33)}`,
      '/api/search?limit=0',
      '/api/search?limit=many',
      '/api/search?start=2&end=1',
      '/api/search?start=-1',
      '/api/books',
    ]) {
      const [mine, real] = await both(async (store) => {
        const { status, type, json } = await get(store, path);
        return { status, type, json };
      });
      assert.deepEqual(mine, real, path);
    }
    const [mine, real] = await both((store) => send(store, '{'));
    assert.equal(mine.status, real.status);
  });
});

/** Lists of attributes and of spans have no order of their own. */
function inOrder<T>(value: T): T;
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) {
    const key = (item: unknown): string => JSON.stringify(item);
    return value.map(inOrder).sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }
  if (typeof value !== 'object' || value === null) return value;
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([k, v]) => [k, inOrder(v)]));
}

import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Pool } from 'pg';
import request from 'supertest';
import { version } from '../package.json';
import { eventually } from './support/eventually';
import { freePort } from './support/free-port';
import { startReceiver, type Item } from './support/otlp-receiver';
import { startService, type Service } from './support/service';

const database = new URL(process.env.DATABASE_URL!);
const namespace = database.pathname.slice(1);
const BOOK = { title: 'Momo', author: 'Michael Ende' };

let lastId: number;

beforeEach(async () => {
  const pool = new Pool({ connectionString: database.href, max: 1 });
  await pool.query('TRUNCATE books');
  await pool.end();
});

/** Creates a book and remembers its id. */
async function create({ url }: Service, headers: Record<string, string> = {}) {
  const response = await request(url)
    .post('/books/create')
    .set(headers)
    .send(BOOK)
    .expect(201);
  lastId = (response.body as { id: number }).id;
  return response;
}

const traceparent = (digit: string) => ({
  traceparent: `00-${digit.repeat(32)}-${digit.repeat(16)}-01`,
});

describe('with in-memory exporters', () => {
  type Memory = { spans: Item[]; logs: Item[] };
  type Tree = { span: string; children: Tree[] };
  let service: Service;

  beforeAll(async () => {
    const preload = join(__dirname, 'support/in-memory-exporters.js');
    service = await startService(
      {
        OTEL_BSP_SCHEDULE_DELAY: '10',
        OTEL_BLRP_SCHEDULE_DELAY: '10',
        FAULTS_ENABLED: 'true',
      },
      ['--require', preload],
    );
  });
  afterAll(() => service[Symbol.asyncDispose]());

  /** What the request with this trace id, or its one digit, has left, once its server span and log are there. */
  async function recorded(id: string): Promise<Memory> {
    const ofTrace = ({ traceId }: Item) =>
      traceId === (id.length === 1 ? id.repeat(32) : id);
    return eventually(async () => {
      service.child.send('report');
      const [memory] = (await once(service.child, 'message')) as [Memory];
      const spans = memory.spans.filter(ofTrace);
      const logs = memory.logs.filter(ofTrace);
      expect(spans.map(({ kind }) => kind)).toContain(SpanKind.SERVER);
      expect(logs.some(({ attributes }) => 'url.path' in attributes)).toBe(
        true,
      );
      return { spans, logs };
    });
  }

  function tree(spans: Item[], parentSpanId: string): Tree[] {
    return spans
      .filter((span) => span.parentSpanId === parentSpanId)
      .map((span) => ({
        span: `${SpanKind[span.kind as number]} ${span.name}`,
        children: tree(spans, span.spanId as string),
      }));
  }

  const only = (items: Item[], start: string): Item => {
    const found = items.filter(({ name, body }) =>
      String(name ?? body).startsWith(start),
    );
    expect(found).toHaveLength(1);
    return found[0];
  };

  it('traces a new book from the request to the database', async () => {
    await create(service, traceparent('a'));
    const { spans } = await recorded('a');

    expect(spans).toHaveLength(4);
    expect(tree(spans, 'a'.repeat(16))).toEqual([
      {
        span: 'SERVER POST /books/create',
        children: [
          {
            span: 'INTERNAL BooksController.create',
            children: [
              {
                span: 'INTERNAL BooksService.create',
                children: [
                  { span: `CLIENT pg.query:INSERT ${namespace}`, children: [] },
                ],
              },
            ],
          },
        ],
      },
    ]);
    expect(only(spans, 'POST').attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/books/create',
      'http.response.status_code': 201,
      'url.path': '/books/create',
    });
    expect(only(spans, 'BooksService').attributes).toEqual({
      'book.id': lastId,
    });
    expect(only(spans, 'pg').attributes).toEqual({
      'db.system.name': 'postgresql',
      'db.namespace': namespace,
      'server.address': database.hostname,
      'server.port': Number(database.port),
      // Placeholders: what users typed is not in the trace.
      'db.query.text': expect.stringMatching(
        /^INSERT INTO books \(title, author\) VALUES \(\$1, \$2\)/,
      ) as string,
    });
  });

  it('traces the search for a book', async () => {
    await create(service);
    await request(service.url)
      .get(`/books/find/${lastId}`)
      .set(traceparent('b'))
      .expect(200)
      .expect('x-trace-id', 'b'.repeat(32));
    const { spans } = await recorded('b');

    expect(tree(spans, 'b'.repeat(16))).toEqual([
      {
        span: 'SERVER GET /books/find/:id',
        children: [
          {
            span: 'INTERNAL BooksController.findOne',
            children: [
              {
                span: 'INTERNAL BooksService.findOne',
                children: [
                  { span: `CLIENT pg.query:SELECT ${namespace}`, children: [] },
                ],
              },
            ],
          },
        ],
      },
    ]);
    expect(only(spans, 'BooksService').attributes).toEqual({
      'book.id': lastId,
    });
  });

  it('marks where a book was not found, but not the request as failed', async () => {
    await request(service.url)
      .get('/books/find/2147483647')
      .set(traceparent('c'))
      .expect(404);
    const { spans, logs } = await recorded('c');

    const status = {
      code: SpanStatusCode.ERROR,
      message: 'Book 2147483647 not found',
    };
    expect(only(spans, 'BooksService')).toMatchObject({
      status,
      events: ['exception'],
    });
    expect(only(spans, 'GET')).toMatchObject({
      status: { code: SpanStatusCode.UNSET },
      attributes: { 'http.response.status_code': 404 },
    });
    expect(logs).toMatchObject([
      { severityNumber: 13, severityText: 'warn', traceId: 'c'.repeat(32) },
    ]);
  });

  it('ties each log record to the span that wrote it', async () => {
    await create(service, traceparent('d'));
    const { spans, logs } = await recorded('d');

    expect(logs).toEqual([
      {
        body: 'book created',
        severityNumber: 9,
        severityText: 'info',
        traceId: 'd'.repeat(32),
        spanId: only(spans, 'BooksService').spanId as string,
        // No level: Loki would take it for the severity.
        attributes: { context: 'BooksService', 'book.id': lastId },
      },
      {
        body: 'POST /books/create 201',
        severityNumber: 9,
        severityText: 'info',
        traceId: 'd'.repeat(32),
        spanId: only(spans, 'POST').spanId as string,
        attributes: {
          'http.request.method': 'POST',
          'http.route': '/books/create',
          'url.path': '/books/create',
          'http.response.status_code': 201,
          duration_ms: expect.any(Number) as number,
        },
      },
    ]);
  });

  it('names the route of a refused body, without a controller span', async () => {
    await request(service.url)
      .post('/books/create')
      .set(traceparent('e'))
      .type('application/json')
      .send('{oops')
      .expect(400);
    const { spans } = await recorded('e');

    expect(tree(spans, 'e'.repeat(16))).toEqual([
      { span: 'SERVER POST /books/create', children: [] },
    ]);
  });

  it('records a failing database once, with its stack, on log and span', async () => {
    const pool = new Pool({ connectionString: database.href, max: 1 });
    await pool.query('ALTER TABLE books RENAME TO hidden');
    try {
      await request(service.url)
        .get('/books/find')
        .set(traceparent('f'))
        .expect(500, {
          type: 'about:blank',
          title: 'Internal Server Error',
          status: 500,
          detail: 'The server could not process the request',
        });
    } finally {
      await pool.query('ALTER TABLE hidden RENAME TO books');
      await pool.end();
    }
    const { spans, logs } = await recorded('f');

    expect(only(spans, 'GET')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      events: ['exception'],
      attributes: { 'http.response.status_code': 500 },
    });
    expect(logs.map(({ severityText, body }) => [severityText, body])).toEqual([
      ['error', 'relation "books" does not exist'],
      ['error', 'GET /books/find 500'],
    ]);
    expect(logs[0].attributes).toMatchObject({
      context: 'ProblemDetailsFilter',
      'exception.message': 'relation "books" does not exist',
      'exception.stacktrace': expect.stringContaining(
        'books.repository.js',
      ) as string,
    });
    expect(logs[1].attributes).not.toHaveProperty('exception.message');
  });

  it('records an error with all its causes, on log and span', async () => {
    await request(service.url)
      .get('/books/find')
      .set({ ...traceparent('2'), 'X-Fault': 'errorRatio=1' })
      .expect(500);
    const { spans, logs } = await recorded('2');

    const { 'exception.stacktrace': stack, ...rest } = logs[0].attributes;
    expect(stack).toMatch(
      /^Error: An injected fault\n    at .+\n(    at .+\n)+caused by: Error: errorRatio is 1\n    at .+/,
    );
    expect(rest).toMatchObject({ 'exception.type': 'Error' });
    expect(only(spans, 'GET').eventAttributes).toEqual([
      {
        'exception.type': 'Error',
        'exception.message': 'An injected fault',
        'exception.stacktrace': stack,
      },
    ]);
  });

  it('keeps a value that is as long as a request can make it', async () => {
    const query = `limit=${'7'.repeat(15_000)}`;
    await request(service.url)
      .get(`/books/find?${query}`)
      .set(traceparent('3'))
      .expect(400);
    const { spans, logs } = await recorded('3');
    expect(only(spans, 'GET').attributes['url.query']).toBe(query);
    expect(JSON.stringify(logs).length).toBeLessThan(1000);
  });

  it('says that nobody was answered when the client went away', async () => {
    const client = connect(Number(new URL(service.url).port), '127.0.0.1');
    client.write(
      'GET /books/find HTTP/1.1\r\nHost: a\r\nX-Fault: latencyMs=1000\r\n' +
        `traceparent: ${traceparent('4').traceparent}\r\n\r\n`,
    );
    setTimeout(() => client.destroy(), 200);
    const { spans, logs } = await recorded('4');
    expect(only(spans, 'GET')).toMatchObject({
      attributes: { 'http.response.status_code': 499 },
      status: { code: SpanStatusCode.UNSET },
    });
    expect(logs.map(({ body }) => body as string)).toEqual([
      'GET /books/find aborted',
    ]);
  });

  it.each(['00', '01', '02', '03', '80', 'fe', 'ff'])(
    'keeps the trace id of a caller and records the request, whatever the flags %s say',
    async (flags) => {
      const id = flags.padEnd(32, 'd');
      await request(service.url)
        .get('/books/find')
        .set('traceparent', `00-${id}-${'5'.repeat(16)}-${flags}`)
        .expect(200)
        .expect('x-trace-id', id);
      const { spans } = await recorded(id);
      expect(spans).toHaveLength(4);
      expect(only(spans, 'GET').parentSpanId).toBe('5'.repeat(16));
    },
  );

  const valid = `00-${'9'.repeat(32)}-${'b'.repeat(16)}-01`;

  it.each([
    ['a version of ff', valid.replace(/^00/, 'ff')],
    ['an id of zeros', valid.replaceAll('9', '0')],
    ['a parent of zeros', valid.replaceAll('b', '0')],
    ['a short id', valid.replace('9', '')],
    ['a long id', valid.replace('9', '99')],
    ['capital letters', valid.toUpperCase()],
    ['other letters', valid.replace('9', 'g')],
    ['no flags', valid.slice(0, -3)],
    ['flags of three digits', valid.replace('-01', '-001')],
    ['a fifth part', `${valid}-x`],
    ['another text', 'x'],
    ['15 kB', '9'.repeat(15_000)],
    ['two of them', [valid, valid]],
  ])('begins a trace when traceparent has %s', async (_, value) => {
    const { headers } = await request(service.url)
      .get('/books/find')
      .set({ traceparent: value as string })
      .expect(200);
    const id = headers['x-trace-id'] as string;
    expect(id).toMatch(/^(?!9{31})[0-9a-f]{32}$/);
    const { spans } = await recorded(id);
    expect(only(spans, 'GET').parentSpanId).toBeUndefined();
  });

  it.each([
    ['a broken tracestate', { tracestate: '=,=,,' }],
    ['a long tracestate', { tracestate: `a=${'x'.repeat(8000)}` }],
    ['a tracestate of many', { tracestate: Array(100).fill('a=b').join() }],
    ['a broken baggage', { baggage: '%%%=%,;;=' }],
    ['a long baggage', { baggage: `a=${'x'.repeat(8000)}` }],
    ['a baggage of many', { baggage: Array(500).fill('a=b').join() }],
    ['names that every object has', { baggage: '__proto__=1,toString=2' }],
  ])('does not suffer from %s', async (_, headers) => {
    await request(service.url)
      .get('/books/find')
      .set({ traceparent: valid, ...headers })
      .expect(200)
      .expect('x-trace-id', '9'.repeat(32));
  });

  it('neither traces, measures nor logs probes and scrapes', async () => {
    await request(service.url).get('/health/live').expect(200);
    await request(service.url).get('/health/ready').expect(200);
    await request(service.metricsUrl).get('/metrics').expect(200);
    await create(service, traceparent('1'));
    await recorded('1');

    service.child.send('report');
    const [{ spans }] = (await once(service.child, 'message')) as [Memory];
    const paths = spans.flatMap(({ attributes }) =>
      'url.path' in attributes ? [attributes['url.path']] : [],
    );
    expect(paths).toContain('/books/create');
    expect(paths.filter((path) => !String(path).startsWith('/books'))).toEqual(
      [],
    );
    // Nor is there SQL without a request: migrations, SELECT 1.
    expect(
      spans.filter(({ name, parentSpanId }) => {
        return String(name).startsWith('pg') && parentSpanId === undefined;
      }),
    ).toEqual([]);
    const metrics = await request(service.metricsUrl).get('/metrics');
    expect(metrics.text).toContain('http_server_');
    expect(metrics.text).not.toMatch(/^http_server_.*health/m);
    expect(service.output.join('\n')).not.toMatch(/GET \/(health|metrics)/);
  });
});

describe('over OTLP and /metrics', () => {
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  let service: Service | undefined;

  /** Long delays: what arrives in time for these tests was flushed by the shutdown. */
  const start = (env: Record<string, string> = {}, nodeOptions?: string[]) =>
    startService(
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_BSP_SCHEDULE_DELAY: '600000',
        OTEL_BLRP_SCHEDULE_DELAY: '600000',
        ...env,
      },
      nodeOptions,
    );

  const lastWords = () => {
    const { severityText, body } = receiver.logs.at(-1)!;
    return [severityText, (body as { stringValue: string }).stringValue];
  };

  beforeEach(async () => {
    receiver = await startReceiver();
  });
  afterEach(async () => {
    await service?.[Symbol.asyncDispose]();
    await receiver[Symbol.asyncDispose]();
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'flushes everything on %s and exits with 0',
    async (signal) => {
      service = await start();
      await create(service);
      // Leaves a connection open, as browsers and proxies do.
      await request(service.url)
        .get(`/books/find/${lastId}`)
        .agent(new Agent({ keepAlive: true }))
        .expect(200);
      expect(receiver.bodies).toEqual([]);

      expect(await service.stop(signal)).toEqual({ code: 0, signal: null });

      expect(receiver.spans.map(({ name }) => name as string).sort()).toEqual([
        'BooksController.create',
        'BooksController.findOne',
        'BooksService.create',
        'BooksService.findOne',
        'GET /books/find/:id',
        'POST /books/create',
        `pg.query:INSERT ${namespace}`,
        `pg.query:SELECT ${namespace}`,
      ]);
      const messages = receiver.logs.map(
        ({ body }) => (body as { stringValue: string }).stringValue,
      );
      expect(messages.slice(-4)).toEqual([
        'book created',
        'POST /books/create 201',
        `GET /books/find/${lastId} 200`,
        `${signal} received, shutting down`,
      ]);
    },
  );

  it('says when the server does not close in time, and flushes all the same', async () => {
    service = await start({ FAULTS_ENABLED: 'true' });
    const hanging = request(service.url)
      .get('/books/find')
      .set('X-Fault', 'latencyMs=10000')
      .then(
        () => 'answered',
        () => 'cut off',
      );
    await create(service);

    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(await hanging).toBe('cut off');
    expect(lastWords()).toEqual([
      'warn',
      'closing the server took longer than 4000 ms',
    ]);
  });

  it('sends why it could not start', async () => {
    service = await start();
    const { port } = new URL(service.url);
    await expect(start({ PORT: port })).rejects.toThrow(
      'The service did not start',
    );
    expect(lastWords()).toEqual([
      'fatal',
      expect.stringMatching(/^listen EADDRINUSE/),
    ]);
  });

  /** To be thrown from nowhere, on SIGUSR2. */
  const surprise = (message: string) => [
    `--import=data:text/javascript,${encodeURIComponent(
      `process.once('SIGUSR2', () => { throw new Error(${message}); })`,
    )}`,
  ];

  it('sends an error that nobody has caught, and what was queued before it', async () => {
    service = await start({}, surprise(`'surprise'`));
    await create(service);
    expect(await service.stop('SIGUSR2')).toEqual({ code: 1, signal: null });
    expect(receiver.spans.map(({ name }) => name)).toContain(
      'POST /books/create',
    );
    expect(lastWords()).toEqual(['fatal', 'surprise']);
  });

  describe('the flags of the caller', () => {
    /** The trace ids of n requests that ask for a trace of their own with these flags, and the ids that the answers name. */
    async function send(flags: string[], sample = 'c') {
      const ids = flags.map((_, i) =>
        `${i}`.padStart(8, '0').padEnd(32, sample),
      );
      const named = [];
      for (const [i, id] of ids.entries()) {
        const { headers } = await request(service!.url)
          .get('/books/find')
          .set('traceparent', `00-${id}-${'5'.repeat(16)}-${flags[i]}`)
          .expect(200);
        named.push(headers['x-trace-id'] as string | undefined);
      }
      return { ids, named };
    }

    /** How many requests have been measured. */
    async function measured(): Promise<number> {
      const { text } = await request(service!.metricsUrl).get('/metrics');
      const count =
        /^http_server_request_duration_count\{.*"\/books\/find".*\} (\d+)$/m;
      return Number(count.exec(text)?.[1]);
    }

    const sent = (items: Item[], ids: (string | undefined)[]) =>
      ids.map((id) => items.some(({ traceId }) => traceId === id));

    const ALL = ['00', '01', '02', '03', '80', 'fe', 'ff'];

    it.each(['traceidratio', 'parentbased_traceidratio'])(
      'do not make %s at 0 name a trace that nobody will find',
      async (sampler) => {
        service = await start({
          OTEL_TRACES_SAMPLER: sampler,
          OTEL_TRACES_SAMPLER_ARG: '0',
        });
        const flags = ['00', ...(sampler === 'traceidratio' ? ['01'] : [])];
        const { ids, named } = await send(flags);
        const own = await request(service.url).get('/books/find').expect(200);
        expect([...named, own.headers['x-trace-id']]).toEqual(
          [...flags, ''].map(() => undefined),
        );
        expect(await measured()).toBe(flags.length + 1);
        await service.stop();

        expect(receiver.spans).toEqual([]);
        const linked = ({ traceId }: Item) => traceId !== undefined;
        expect(receiver.logs.filter(linked)).toEqual([]);
        const lines = receiver.logs.filter(
          ({ attributes }) => 'url.path' in attributes,
        );
        expect(
          lines.map(({ attributes }) => attributes.unsampled_trace_id),
        ).toEqual([...ids, expect.stringMatching(/^[0-9a-f]{32}$/)]);
        expect(service.output.join()).not.toContain('"trace_id"');
        expect(service.output.join()).toContain(
          `"unsampled_trace_id":"${ids[0]}"`,
        );
      },
    );

    it('decide nothing with traceidratio at 0.5: what is named is sent, the rest is not', async () => {
      service = await start({
        OTEL_TRACES_SAMPLER: 'traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0.5',
      });
      // What the library makes of an id: its four parts, each xor the others, below half of 2^32.
      const yes = await send(ALL, '1');
      const no = await send(ALL, 'f');
      const mixed = [];
      for (let i = 0; i < 40; i++) {
        const { headers } = await request(service.url).get('/books/find');
        mixed.push(headers['x-trace-id'] as string | undefined);
      }
      expect(await measured()).toBe(2 * ALL.length + 40);
      await service.stop();

      const isNamed = (id?: string) => id !== undefined;
      const servers = receiver.spans.filter(({ kind }) => kind === 2);
      expect(mixed.filter(isNamed).length).toBeGreaterThan(5);
      expect(mixed.filter(isNamed).length).toBeLessThan(35);
      const all = [...yes.named, ...no.named, ...mixed].filter(isNamed);
      expect(servers.map(({ traceId }) => traceId as string).sort()).toEqual(
        all.sort(),
      );
    });

    it('are followed where OTEL_TRACES_SAMPLER says so', async () => {
      service = await start({ OTEL_TRACES_SAMPLER: 'parentbased_always_on' });
      const { ids, named } = await send(['00', '01', '02', '03']);
      expect(named).toEqual([undefined, ids[1], undefined, ids[3]]);
      expect(await measured()).toBe(4);
      await service.stop();
      expect(sent(receiver.spans, ids)).toEqual([false, true, false, true]);
    });

    it.each([
      [{ OTEL_TRACES_EXPORTER: 'none' }],
      [{ OTEL_SDK_DISABLED: 'true' }],
    ])('name no trace with %p', async (env) => {
      service = await start(env as Record<string, string>);
      const { named } = await send(ALL);
      expect(named).toEqual(ALL.map(() => undefined));
    });
  });

  it('cuts values after 16,384 characters, a stack with a mark', async () => {
    service = await start({}, surprise(`'x'.repeat(20_000)`));
    await service.stop('SIGUSR2');
    expect(receiver.logs.at(-1)!.attributes).toMatchObject({
      'exception.message': 'x'.repeat(16_384),
      'exception.stacktrace': `Error: ${'x'.repeat(16_384 - 8)}…`,
    });
  });

  it('cuts values where OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT says so', async () => {
    service = await start({
      OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: '50',
      FAULTS_ENABLED: 'true',
    });
    await request(service.url)
      .get(`/books/find?${'x'.repeat(60)}`)
      .set('X-Fault', 'errorRatio=1')
      .expect(500);
    await service.stop();
    expect(receiver.spans[0].attributes['url.query']).toBe('x'.repeat(50));
    const stacks = receiver.logs
      .map(({ attributes }) => attributes['exception.stacktrace'])
      .filter((stack) => stack !== undefined);
    expect(stacks).toEqual([
      expect.stringMatching(/^Error: An injected fault\n/),
    ]);
    expect(stacks[0]).toHaveLength(50);
  });

  it('has buckets around the objective and where requests are slow', async () => {
    service = await start();
    await create(service);
    const { text } = await request(service.metricsUrl).get('/metrics');
    const buckets = [
      ...text.matchAll(
        /^http_server_request_duration_bucket\{.*le="([^"]+)"/gm,
      ),
    ].map(([, le]) => le);
    expect(buckets.join(' ')).toBe(
      '0.005 0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.25 0.35 0.5 0.75 1 1.25 1.5 2 2.5 3.5 5 10 +Inf',
    );
  });

  it('writes the same trace ids to stdout as it sends', async () => {
    service = await start();
    await create(service, traceparent('a'));
    await service.stop();

    const lines = service.output
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ trace_id }) => trace_id === 'a'.repeat(32));
    const sent = receiver.logs.filter(
      ({ traceId }) => traceId === 'a'.repeat(32),
    );
    expect(lines.map(({ msg, level }) => [level, msg])).toEqual([
      ['info', 'book created'],
      ['info', 'POST /books/create 201'],
    ]);
    expect(lines.map(({ span_id }) => span_id)).toEqual(
      sent.map(({ spanId }) => spanId as string),
    );
  });

  it('sends no credentials anywhere', async () => {
    service = await start();
    await request(service.url)
      .get('/books/find')
      .set({ authorization: 'Bearer SECRET', cookie: 'session=SECRET' })
      .expect(200);
    await service.stop();

    expect(receiver.spans).not.toEqual([]);
    expect(receiver.bodies.join()).not.toContain('SECRET');
    expect(service.output.join()).not.toContain('SECRET');
  });

  it('describes itself in the resource', async () => {
    service = await start();
    await create(service);
    await service.stop();

    const described = {
      'service.name': 'backend-example',
      'service.namespace': 'lgtm-stack',
      'service.version': version,
      'deployment.environment.name': 'production',
    };
    expect(receiver.resources).toHaveLength(2);
    for (const resource of receiver.resources) {
      expect(resource).toMatchObject(described);
      expect(resource).not.toHaveProperty('process.command_args');
    }
  });

  it('lets the standard variables win over its own names', async () => {
    service = await start({
      NODE_ENV: 'development',
      OTEL_SERVICE_NAME: 'library',
      OTEL_RESOURCE_ATTRIBUTES: 'service.version=9.9,team=books',
    });
    await create(service);
    const metrics = await request(service.metricsUrl).get('/metrics');
    await service.stop();

    expect(receiver.resources[0]).toMatchObject({
      'service.name': 'library',
      'service.version': '9.9',
      'service.namespace': 'lgtm-stack',
      'deployment.environment.name': 'development',
      team: 'books',
    });
    expect(metrics.text).toContain(
      'books_created_total{service_name="library"} 1',
    );
  });

  it('is scraped on the same port when OTEL_METRICS_EXPORTER says so', async () => {
    service = await start({ OTEL_METRICS_EXPORTER: 'prometheus' });
    await create(service);
    const { text } = await request(service.metricsUrl).get('/metrics');
    expect(text).toContain(
      'books_created_total{service_name="backend-example"} 1',
    );
  });

  it('pushes metrics instead of serving them with OTEL_METRICS_EXPORTER=otlp', async () => {
    service = await start({
      OTEL_METRICS_EXPORTER: 'otlp',
      OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'http/json',
    });
    await create(service);
    await expect(request(service.metricsUrl).get('/metrics')).rejects.toThrow(
      'ECONNREFUSED',
    );
    await service.stop();
    expect(receiver.bodies.join()).toContain('"name":"books_created"');
  });

  it('sends nothing that OTEL_…_EXPORTER=none excludes', async () => {
    service = await start({
      OTEL_TRACES_EXPORTER: 'none',
      OTEL_LOGS_EXPORTER: 'none',
      OTEL_METRICS_EXPORTER: 'none',
    });
    await create(service);
    await expect(request(service.metricsUrl).get('/metrics')).rejects.toThrow(
      'ECONNREFUSED',
    );
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(receiver.bodies).toEqual([]);
  });

  it('speaks gRPC to the collector where it is asked to', async () => {
    const preface = 'PRI * HTTP/2.0'; // what every HTTP/2 connection begins with
    const beginnings: string[] = [];
    const collector = createServer((socket) => {
      socket.once('data', (data) => {
        beginnings.push(data.toString('latin1', 0, preface.length));
        socket.destroy();
      });
    }).listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const { port } = collector.address() as AddressInfo;
    service = await start({
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    });
    await create(service);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    collector.close();
    expect(new Set(beginnings)).toEqual(new Set([preface]));
  });

  it('offers metrics by route, never by path', async () => {
    service = await start();
    await create(service);
    await create(service);
    await request(service.url).get(`/books/find/${lastId}`).expect(200);
    await request(service.url).get('/books/find/abc').expect(400);
    await request(service.url).get('/nowhere/7').expect(404);

    const { text } = await request(service.metricsUrl).get('/metrics');
    const lines = text.split('\n');

    const starting = (start: string) =>
      lines.filter((line) => line.startsWith(start)).sort();
    const server = (method: string, route: string, code: number, n: number) =>
      `http_server_request_duration_count{http_request_method="${method}",url_scheme="http",network_protocol_version="1.1",${route}http_response_status_code="${code}",service_name="backend-example"} ${n}`;
    expect(starting('http_server_request_duration_count')).toEqual(
      [
        server('POST', 'http_route="/books/create",', 201, 2),
        server('GET', 'http_route="/books/find/:id",', 200, 1),
        server('GET', 'http_route="/books/find/:id",', 400, 1),
        server('GET', '', 404, 1),
      ].sort(),
    );
    expect(starting('books_created_total')).toEqual([
      'books_created_total{service_name="backend-example"} 2',
    ]);
    const db = (operation: string, n: number) =>
      `db_client_operation_duration_count{db_namespace="${namespace}",server_port="${database.port}",server_address="${database.hostname}",db_operation_name="${operation}",db_system_name="postgresql",service_name="backend-example"} ${n}`;
    expect(starting('db_client_operation_duration_count')).toEqual([
      db('INSERT', 2),
      db('SELECT', 1),
    ]);
    expect(starting('db_client_connection_max')).toEqual([
      `db_client_connection_max{db_client_connection_pool_name="${database.host}/${namespace}",service_name="backend-example"} 10`,
    ]);
    expect(starting('database_up{')).toEqual([
      'database_up{service_name="backend-example"} 1',
    ]);
    for (const name of [
      'nodejs_eventloop_delay_p99{',
      'v8js_memory_heap_used{',
      'process_memory_usage{',
      'system_cpu_utilization{',
    ]) {
      expect(starting(name)).not.toEqual([]);
    }
  });

  it('exits with 0 when the collector is gone', async () => {
    service = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}`,
    });
    await create(service);

    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(receiver.bodies).toEqual([]);
  });

  it('is silent with OTEL_SDK_DISABLED', async () => {
    service = await start({ OTEL_SDK_DISABLED: 'true' });
    const { headers } = await create(service);
    expect(headers).not.toHaveProperty('x-trace-id');
    await expect(request(service.metricsUrl).get('/metrics')).rejects.toThrow(
      'ECONNREFUSED',
    );

    expect(await service.stop()).toEqual({ code: 0, signal: null });

    expect(receiver.bodies).toEqual([]);
    expect(service.output.join()).not.toContain('trace_id');
    expect(service.output.join()).toContain('POST /books/create 201');
  });
});

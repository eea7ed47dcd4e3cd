import { once } from 'node:events';
import { join } from 'node:path';
import { Pool } from 'pg';
import request from 'supertest';
import { eventually } from './support/eventually';
import type { Item } from './support/otlp-receiver';
import { startService, type Service } from './support/service';

const IN_MEMORY = [
  '--require',
  join(__dirname, 'support/in-memory-exporters.js'),
];
const BOOK = { title: 'Momo', author: 'Michael Ende' };
let bookId: number;

/** What is between `from` and the end of a request, in milliseconds. */
async function duration(pending: request.Test): Promise<number> {
  const from = performance.now();
  await pending;
  return performance.now() - from;
}

async function spansOf(service: Service, digit: string): Promise<Item[]> {
  return eventually(async () => {
    service.child.send('report');
    const [{ spans }] = (await once(service.child, 'message')) as [
      { spans: Item[] },
    ];
    const ofTrace = spans.filter(({ traceId }) => traceId === digit.repeat(32));
    expect(ofTrace.some(({ name }) => /^[A-Z]+ /.test(String(name)))).toBe(
      true,
    );
    return ofTrace;
  });
}

const traceparent = (digit: string) =>
  `00-${digit.repeat(32)}-${digit.repeat(16)}-01`;

describe('without FAULTS_ENABLED', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService(
      { OTEL_BSP_SCHEDULE_DELAY: '10', FAULTS_ENABLED: 'false' },
      IN_MEMORY,
    );
  });
  afterAll(() => service[Symbol.asyncDispose]());

  it('the header does nothing and leaves no trace', async () => {
    await request(service.url)
      .get('/books/find')
      .set('traceparent', traceparent('a'))
      .set('x-fault', 'errorRatio=1, nonsense')
      .expect(200);
    const attributes = (await spansOf(service, 'a')).flatMap((span) =>
      Object.keys(span.attributes),
    );
    expect(attributes).toContain('http.route');
    expect(attributes.filter((name) => name.startsWith('fault'))).toEqual([]);
  });

  it('there is no way to set faults', async () => {
    await request(service.url).get('/faults').expect(404);
    await request(service.url).put('/faults').send({}).expect(404);
  });
});

describe('with FAULTS_ENABLED=true', () => {
  let service: Service;

  beforeAll(async () => {
    service = await startService(
      { OTEL_BSP_SCHEDULE_DELAY: '10', FAULTS_ENABLED: 'true' },
      IN_MEMORY,
    );
    const url = process.env.DATABASE_URL;
    const pool = new Pool({ connectionString: url, max: 1 });
    await pool.query('TRUNCATE books');
    await pool.end();
    const { body } = await request(service.url)
      .post('/books/create')
      .send(BOOK)
      .expect(201);
    bookId = (body as { id: number }).id;
  });
  afterEach(() => request(service.url).delete('/faults').expect(204));
  afterAll(() => service[Symbol.asyncDispose]());

  const find = (header?: string, digit = '9') =>
    request(service.url)
      .get(`/books/find/${bookId}`)
      .set('traceparent', traceparent(digit))
      .set(header === undefined ? {} : { 'x-fault': header });
  const set = (faults: object) =>
    request(service.url).put('/faults').send(faults);

  it('nothing happens until it is asked for', async () => {
    const { body } = await find().expect(200);
    expect(body).toMatchObject(BOOK);
  });

  it('adds latency, for the request that asks for it', async () => {
    expect(
      await duration(find('latencyMs=300', '1').expect(200)),
    ).toBeGreaterThanOrEqual(299);
    const server = (await spansOf(service, '1')).find(({ name }) =>
      String(name).startsWith('GET'),
    );
    expect(server?.attributes).toMatchObject({
      'fault.latency_ms': 300,
      'http.route': '/books/find/:id',
    });
    const [{ attributes }] = (await spansOf(service, '9')).filter(({ name }) =>
      String(name).startsWith('GET'),
    );
    expect(attributes).not.toHaveProperty('fault.latency_ms');
  });

  it('fails as any other error does', async () => {
    await find('errorRatio=1', '2').expect(500, {
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      detail: 'The server could not process the request',
    });
    await find('errorRatio=0').expect(200);
    const [server] = await spansOf(service, '2');
    expect(server).toMatchObject({
      name: 'GET /books/find/:id',
      events: ['exception'],
      attributes: { 'fault.error_ratio': 1 },
    });
  });

  it('makes the SQL span long, with the same answer', async () => {
    const { body } = await find('slowSqlMs=300', '3').expect(200);
    expect(body).toMatchObject({ id: bookId, ...BOOK });
    const spans = await spansOf(service, '3');
    const sql = spans.find(({ name }) => String(name).startsWith('pg.query'));
    expect(sql?.attributes['db.query.text']).toContain('pg_sleep(0.3)');
    expect(sql?.name).toMatch(/^pg\.query:SELECT /);
    const list = await request(service.url)
      .get('/books/find')
      .set('x-fault', 'slowSqlMs=50')
      .expect(200);
    expect(list.body).toMatchObject({ items: [BOOK], nextCursor: null });
  });

  it('blocks the event loop, and so another request', async () => {
    const blocked = find('blockMs=500').expect(200);
    const [first, second] = await Promise.all([
      duration(blocked),
      new Promise((go) => setTimeout(go, 100)).then(() => duration(find())),
    ]);
    expect(first).toBeGreaterThanOrEqual(499);
    expect(second).toBeGreaterThanOrEqual(200);
  });

  it('holds for all requests when it is set on /faults, until it is taken back', async () => {
    await set({ errorRatio: 1, seconds: 60 }).expect(200, { errorRatio: 1 });
    await find().expect(500);
    await find('errorRatio=0').expect(200); // the header wins
    await find('latencyMs=1').expect(500); // of the faults that it names
    await request(service.url).get('/health/ready').expect(200);
    await request(service.url).get('/faults').expect(200, { errorRatio: 1 });
    await request(service.url).delete('/faults').expect(204);
    await request(service.url).get('/faults').expect(200, {});
    await find().expect(200);
    await eventually(() => {
      const said = service.output.filter((line) => line.includes('"Faults"'));
      expect(said.slice(-2)).toEqual([
        expect.stringMatching(/"warn".*all requests, for 60 s: .*errorRatio/),
        expect.stringMatching(/"info".*No faults for all requests any more/),
      ]);
    });
  });

  it('grows, and no further than it may', async () => {
    const resident = async () => {
      const { text } = await request(service.metricsUrl).get('/metrics');
      return Number(/^process_memory_usage\{.*\} (\S+)$/m.exec(text)![1]) / 1e6;
    };
    const before = await resident();
    await set({ memoryMb: 16 }).expect(200);
    for (let i = 0; i < 20; i++) await find().expect(200);
    const grown = (await resident()) - before;
    expect(grown).toBeGreaterThan(100);
    expect(grown).toBeLessThan(250);
  });

  it.each([
    [
      { latencyMs: 10_001, errorRatio: null },
      [
        ['#/latencyMs', 'latencyMs must be a number from 0 to 10000'],
        ['#/errorRatio', 'errorRatio must be a number from 0 to 1'],
      ],
    ],
    [
      { latencyMs: '1', seconds: 0 },
      [
        ['#/latencyMs', 'latencyMs must be a number from 0 to 10000'],
        ['#/seconds', 'seconds must be a number from 1 to 3600'],
      ],
    ],
    [{ latency: 1 }, [['#/latency', 'property latency should not exist']]],
  ])('refuses %j and sets nothing', async (faults, refused) => {
    const { body, type } = await set(faults).expect(400);
    expect(type).toBe('application/problem+json');
    expect(body).toEqual({
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      detail: expect.any(String) as string,
      errors: expect.arrayContaining(
        refused.map(([pointer, detail]) => ({ pointer, detail })),
      ) as unknown,
    });
    await request(service.url).get('/faults').expect(200, {});
  });

  it('refuses a body that is not a JSON object', async () => {
    await set([]).expect(400);
    await set({}).type('text/plain').send('errorRatio=1').expect(415);
  });

  it('refuses a header that asks for what there is not', async () => {
    const { body } = await find('blockMs=1001').expect(400);
    expect(body).toMatchObject({
      status: 400,
      errors: [
        {
          parameter: 'blockMs',
          detail: 'blockMs must be a number from 0 to 1000',
        },
      ],
    });
    await find('nonsense').expect(400);
  });

  it('/faults is neither traced nor logged', async () => {
    await request(service.url)
      .get('/faults')
      .set('traceparent', traceparent('4'))
      .expect(200);
    await find('', '5').expect(200);
    await spansOf(service, '5');
    service.child.send('report');
    const [{ spans }] = (await once(service.child, 'message')) as [
      { spans: Item[] },
    ];
    expect(spans.filter(({ traceId }) => traceId === '4'.repeat(32))).toEqual(
      [],
    );
    expect(service.output.join()).toContain('"url.path":"/books/find');
    expect(service.output.join()).not.toContain('"url.path":"/faults');
  });
});

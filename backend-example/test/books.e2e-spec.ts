import type { NestExpressApplication } from '@nestjs/platform-express';
import { once } from 'node:events';
import { STATUS_CODES } from 'node:http';
import { connect } from 'node:net';
import { Pool } from 'pg';
import request from 'supertest';
import { createApp } from '../src/app';
import type { ProblemDetails } from '../src/problem-details/problem-details';

/** A book as JSON has it. */
type Book = {
  id: number;
  title: string;
  author: string;
  createdAt: string;
  updatedAt: string;
};

let app: NestExpressApplication;
let agent: request.Agent;

const ISO_DATE = expect.stringMatching(
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
) as string;

beforeAll(async () => {
  app = await createApp();
  await app.listen(0, '127.0.0.1');
  agent = request.agent(app.getHttpServer());
});
beforeEach(() => app.get(Pool).query('TRUNCATE books RESTART IDENTITY'));
afterAll(() => app.close());

async function create(title = 'T', author = 'A'): Promise<Book> {
  const { body } = await agent
    .post('/books/create')
    .send({ title, author })
    .expect(201);
  return body as Book;
}

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

/** Asserts an error answer and returns its body without what every problem has. */
function problemOf(response: request.Response) {
  expect(response.headers['content-type']).toBe(
    'application/problem+json; charset=utf-8',
  );
  const { type, ...rest } = response.body as ProblemDetails;
  expect(type).toBe('about:blank');
  expect(rest.status).toBe(response.status);
  return rest;
}

describe('POST /books/create', () => {
  it('stores a book', async () => {
    const response = await agent
      .post('/books/create')
      .send({ title: ' Momo ', author: 'Michael Ende' })
      .expect(201);

    const book = response.body as Book;
    expect(book).toEqual({
      id: 1,
      title: 'Momo',
      author: 'Michael Ende',
      createdAt: ISO_DATE,
      updatedAt: book.createdAt,
    });
    await agent.get('/books/find/1').expect(200, book);
  });

  it.each([
    [`Robert'); DROP TABLE books; --`],
    ['$1 %s {} \\ " \' `'],
    ['日本語 🎉 é \u202e'],
    ['x'.repeat(200)],
    ['🎉'.repeat(200)],
    ['❤️'.repeat(100)],
  ])('stores the title %s as it is', async (title) => {
    const { id } = await create(title);
    const found = await agent.get(`/books/find/${id}`).expect(200);
    expect(found.body).toMatchObject({ title });
  });

  it('names every field that it refuses', async () => {
    const response = await agent
      .post('/books/create')
      .send({ title: 'a\0b', isbn: '1' })
      .expect(400);
    expect(problemOf(response)).toEqual({
      status: 400,
      title: 'Bad Request',
      detail:
        'property isbn should not exist; title must not contain a NUL character; author must be a string',
      errors: [
        { pointer: '#/isbn', detail: 'property isbn should not exist' },
        {
          pointer: '#/title',
          detail: 'title must not contain a NUL character',
        },
        { pointer: '#/author', detail: 'author must be a string' },
      ],
    });
  });

  it.each([
    ['{oops', 400, /in JSON at position 1/],
    ['null', 400, /^The request body must be a JSON object$/],
    ['[]', 400, /^The request body must be a JSON object$/],
    ['"text"', 400, /^The request body must be a JSON object$/],
    ['7', 400, /^The request body must be a JSON object$/],
    ['', 400, /^title must be a string; author must be a string$/],
    ['{"title":"\\ud800","author":"A"}', 400, /^title must be well-formed/],
    ['{"__proto__":{"title":"T"}}', 400, /^property __proto__ should not/],
    [`{"title":${'['.repeat(40_000)}`, 400, /^Unexpected end of JSON/],
    [`{"title":${nested(40_000)}}`, 400, /^No more than 100 values, and 5/],
    [`{"title":"${'x'.repeat(200_000)}"}`, 413, /^request entity too large$/],
  ])('refuses the body %.40s', async (body, status, detail) => {
    const response = await agent
      .post('/books/create')
      .type('application/json')
      .send(body)
      .expect(status);
    const problem = problemOf(response);
    expect(problem.status).toBe(status);
    expect(problem.detail).toMatch(detail);
  });

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['application/json; charset=latin1'],
    ['application/json; charset=utf-16'],
    ['application/json; charset=utf-7'],
  ])('refuses a body of type %s', async (type) => {
    const response = await agent
      .post('/books/create')
      .type(type)
      .send('{"title":"T","author":"A"}')
      .expect(415);
    expect(problemOf(response).status).toBe(415);
  });

  it.each([
    ['a byte that cannot be', [0xff]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['half of a character', [0xe2, 0x82]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
  ])('refuses a title with %s in UTF-8', async (_, bytes) => {
    const [before, after] = JSON.stringify({ title: '|', author: 'A' }).split(
      '|',
    );
    const response = await fetch(`${await app.getUrl()}/books/create`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.concat([
        Buffer.from(before),
        Buffer.from(bytes),
        Buffer.from(after),
      ]),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      detail: 'The body is not UTF-8',
    });
  });

  it('stores nothing of a refused book', async () => {
    await agent.post('/books/create').send({ title: 'T' }).expect(400);
    await agent.get('/books/find').expect(200, { items: [], nextCursor: null });
  });
});

describe('GET /books/find', () => {
  it('walks through all books by the cursor', async () => {
    const books = [];
    for (const title of ['1', '2', '3', '4', '5'])
      books.push(await create(title));

    const pages = [];
    let query = '?limit=2';
    for (;;) {
      const response = await agent.get(`/books/find${query}`).expect(200);
      const page = response.body as {
        items: Book[];
        nextCursor: number | null;
      };
      pages.push(page);
      if (page.nextCursor === null) break;
      query = `?limit=2&cursor=${page.nextCursor}`;
    }
    expect(pages).toEqual([
      { items: books.slice(0, 2), nextCursor: 2 },
      { items: books.slice(2, 4), nextCursor: 4 },
      { items: books.slice(4), nextCursor: null },
    ]);
  });

  it('returns 20 books unless told otherwise', async () => {
    await app
      .get(Pool)
      .query(
        `INSERT INTO books (title, author) SELECT 'T', 'A' FROM generate_series(1, 21)`,
      );
    const response = await agent.get('/books/find').expect(200);
    expect(response.body).toMatchObject({
      items: { length: 20 },
      nextCursor: 20,
    });
  });

  it.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=abc', 'limit'],
    ['limit=', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['limit[]=1', 'limit[]'],
    ['cursor=0', 'cursor'],
    ['cursor=1;DROP TABLE books', 'cursor'],
    ['cursor=2147483648', 'cursor'],
    ['page=2', 'page'],
  ])('refuses ?%s', async (query, parameter) => {
    const response = await agent.get(`/books/find?${query}`).expect(400);
    expect(problemOf(response)).toMatchObject({
      status: 400,
      errors: [{ parameter }],
    });
  });
});

describe('an id in the path', () => {
  const badIds = [
    ['abc'],
    ['0'],
    ['-1'],
    ['1.5'],
    ['1e3'],
    ['0x10'],
    ['%20'],
    ['%00'],
    ['1%27%20OR%201=1'],
    ['2147483648'],
    ['9'.repeat(100)],
  ];

  /** Sent one by one, each when it is awaited. */
  const everyRequest = (id: string) => [
    agent.get(`/books/find/${id}`),
    agent.patch(`/books/update/${id}`).send({ title: 'T' }),
    agent.delete(`/books/remove/${id}`),
  ];

  it.each(badIds)('is refused as %s', async (id) => {
    for (const pending of everyRequest(id)) {
      expect(problemOf(await pending.expect(400))).toEqual({
        status: 400,
        title: 'Bad Request',
        detail: 'id must be an integer from 1 to 2147483647',
        errors: [
          {
            parameter: 'id',
            detail: 'id must be an integer from 1 to 2147483647',
          },
        ],
      });
    }
  });

  it('is 404 when there is no such book', async () => {
    for (const pending of everyRequest('42')) {
      expect(problemOf(await pending.expect(404))).toEqual({
        status: 404,
        title: 'Not Found',
        detail: 'Book 42 not found',
      });
    }
  });
});

describe('PATCH /books/update/:id', () => {
  it('changes only the given field, and the date', async () => {
    const before = await create('T', 'A');

    const response = await agent
      .patch('/books/update/1')
      .send({ author: 'B' })
      .expect(200);

    const after = response.body as Book;
    expect(after).toEqual({ ...before, author: 'B', updatedAt: ISO_DATE });
    expect(Date.parse(after.updatedAt)).toBeGreaterThanOrEqual(
      Date.parse(before.updatedAt),
    );
  });

  it.each([
    [{}, 'Give a title or an author to change'],
    [{ title: null }, 'title must be a string'],
    [{ id: 2 }, 'property id should not exist'],
    [{ title: ' ' }, 'title must not be empty'],
  ])('refuses %j and leaves the book alone', async (changes, detail) => {
    const before = await create();
    const response = await agent
      .patch('/books/update/1')
      .send(changes)
      .expect(400);
    expect(problemOf(response)).toMatchObject({ status: 400, detail });
    await agent.get('/books/find/1').expect(200, before);
  });
});

describe('DELETE /books/remove/:id', () => {
  it('removes one book', async () => {
    await create('1');
    const second = await create('2');

    await agent.delete('/books/remove/1').expect(204, '');

    await agent
      .get('/books/find')
      .expect(200, { items: [second], nextCursor: null });
  });
});

describe('every other path', () => {
  it.each([
    ['get', '/'],
    ['get', '/books'],
    ['put', '/books/create'],
    ['delete', '/books/remove/'],
  ] as const)('%s %s is a 404 in the same form', async (method, path) => {
    const response = await agent[method](path).expect(404);
    expect(problemOf(response)).toEqual({
      status: 404,
      title: 'Not Found',
      detail: `Cannot ${method.toUpperCase()} ${path}`,
    });
  });

  it.each([['/books/find/%'], ['/books/find/%E0%A4%A'], ['/%c0']])(
    'with broken percent-encoding is refused: %s',
    async (path) => {
      await agent
        .get(path)
        .expect(400)
        .expect('content-type', 'application/problem+json; charset=utf-8');
    },
  );
});

describe('what never reaches a route', () => {
  /** Sends a text as it is, and answers what comes until the connection is closed. */
  async function answerTo(text: string): Promise<string> {
    const { port } = new URL(await app.getUrl());
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(text);
    let answer = '';
    socket.on('data', (data) => (answer += data.toString()));
    await once(socket, 'close');
    return answer;
  }

  const request = (target: string, headers = 'Host: a\r\n') =>
    `GET ${target} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`;

  it.each([
    ['no Host', request('/', ''), 400, 'Send one Host header'],
    [
      'two',
      request('/', 'Host: a\r\nhost: b\r\n'),
      400,
      'Send one Host header',
    ],
    [
      'half an address',
      request('http://[::1'),
      400,
      'The address is not valid',
    ],
    [
      'HTTP/2.0',
      request('/').replace('1.1', '2.0'),
      400,
      'This service speaks HTTP/1.1',
    ],
    [
      'a method of its own',
      request('/').replace('GET', 'GOT'),
      400,
      'This is not a valid request of HTTP/1.1: Invalid method encountered',
    ],
    [
      'two lengths',
      request('/', 'Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n'),
      400,
      expect.stringMatching(/Content-Length/) as string,
    ],
    [
      'long headers',
      request('/', `Host: a\r\nA: ${'x'.repeat(17_000)}\r\n`),
      431,
      'The first line and the headers may have 16 KiB together',
    ],
    [
      'a wish',
      request('/', 'Host: a\r\nExpect: more\r\n'),
      417,
      'Only "Expect: 100-continue" is supported',
    ],
  ])('is refused with a sentence: %s', async (_, text, status, detail) => {
    const [head, body] = (await answerTo(text)).split('\r\n\r\n');
    expect(head).toMatch(RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toMatch(/^Content-Type: application\/problem\+json$/m);
    expect(head).toContain(`Content-Length: ${Buffer.byteLength(body)}`);
    expect(JSON.parse(body)).toEqual({
      type: 'about:blank',
      title: STATUS_CODES[status],
      status,
      detail,
    });
  });

  it('but a proxy may name the whole address', async () => {
    expect(
      await answerTo(request('http://books.example/books/find?limit=1')),
    ).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  });

  it('is a connection with too many requests at once', async () => {
    const find = request('/books/find?limit=1');
    const many = (count: number) =>
      answerTo(
        find.replace('Connection: close\r\n', '').repeat(count - 1) + find,
      );
    expect((await many(16)).match(/HTTP\/1.1 200/g)).toHaveLength(16);
    expect(await many(17)).toBe('');
  });
});

describe('pages in a browser', () => {
  const corsHeaders = ({ headers }: request.Response) =>
    Object.fromEntries(
      Object.entries(headers as Record<string, string>).filter(([name]) =>
        name.startsWith('access-control-'),
      ),
    );

  it.each([
    ['http://localhost'],
    ['http://localhost:4200'],
    ['http://127.0.0.1:5173'],
    ['http://[::1]:3000'],
  ])('at %s may call, and read the id of the trace', async (origin) => {
    const preflight = await agent
      .options('/books/create')
      .set({
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,traceparent,tracestate',
      })
      .expect(204);
    expect(corsHeaders(preflight)).toEqual({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET,POST,PATCH,DELETE',
      'access-control-allow-headers':
        'content-type,traceparent,tracestate,baggage',
      'access-control-expose-headers': 'X-Trace-Id',
      'access-control-max-age': '600',
    });
    for (const path of ['/books/find', '/books/find/0', '/nowhere']) {
      const response = await agent.get(path).set({ origin });
      expect(corsHeaders(response)).toEqual({
        'access-control-allow-origin': origin,
        'access-control-expose-headers': 'X-Trace-Id',
      });
      expect(response.headers.vary).toBe('Origin');
    }
  });

  it.each([
    ['http://localhost.evil.com'],
    ['http://evil.com'],
    ['http://evil-localhost'],
    ['http://localhost:4200.evil.com'],
    ['http://localhost:80@evil.com'],
    ['http://user@localhost:4200'],
    ['https://localhost:4200'],
    ['http://127.0.0.1.nip.io'],
    ['http://127.0.0.2'],
    ['http://[::2]'],
    ['http://LOCALHOST'],
    ['http://localhost:'],
    ['http://localhost/'],
    ['file://'],
    ['null'],
    ['*'],
    [''],
  ])('at %s may not', async (origin) => {
    const preflight = await agent.options('/books/create').set({
      origin,
      'access-control-request-method': 'POST',
    });
    expect(corsHeaders(preflight)).toEqual({});
    const simple = await agent.get('/books/find').set({ origin }).expect(200);
    expect(corsHeaders(simple)).toEqual({});
  });

  it('may be others, with CORS_ORIGINS', async () => {
    process.env.CORS_ORIGINS = 'https://shop.example,http://pc:4200';
    const other = await createApp();
    delete process.env.CORS_ORIGINS;
    await other.listen(0, '127.0.0.1');
    const allowed = async (origin: string) =>
      corsHeaders(
        await request(other.getHttpServer()).get('/books/find').set({ origin }),
      )['access-control-allow-origin'];
    expect(await allowed('https://shop.example')).toBe('https://shop.example');
    expect(await allowed('http://pc:4200')).toBe('http://pc:4200');
    expect(await allowed('http://localhost:4200')).toBeUndefined();
    expect(await allowed('https://shop.example.evil')).toBeUndefined();
    await other.close();
  });
});

describe('operations', () => {
  it('reports that it is alive and ready', async () => {
    const live = await agent.get('/health/live').expect(200);
    expect(live.body).toMatchObject({ status: 'ok' });
    const ready = await agent.get('/health/ready').expect(200);
    expect(ready.body).toMatchObject({
      status: 'ok',
      details: { database: { status: 'up' } },
    });
  });

  it('describes itself', async () => {
    const page = await agent.get('/api').expect(200);
    expect(page.text).toContain('swagger-ui');

    const { body } = await agent.get('/api-json').expect(200);
    const openApi = body as {
      paths: Record<string, Record<string, { responses: object }>>;
    };
    expect(openApi.paths['/books/create'].post.responses).toMatchObject({
      201: {
        content: {
          'application/json': {
            schema: { $ref: '#/components/schemas/BookDto' },
          },
        },
      },
      400: {
        content: {
          'application/problem+json': {
            schema: { $ref: '#/components/schemas/ProblemDetails' },
          },
        },
      },
    });
    expect(
      Object.keys(openApi.paths['/books/find/{id}'].get.responses),
    ).toEqual(['200', '400', '404', '503']);
  });
});

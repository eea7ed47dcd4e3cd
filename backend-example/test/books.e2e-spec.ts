import type { NestExpressApplication } from '@nestjs/platform-express';
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
    ['{"__proto__":{"title":"T"}}', 400, /^title must be a string; author/],
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
  ])('refuses a body of type %s', async (type) => {
    const response = await agent
      .post('/books/create')
      .type(type)
      .send('{"title":"T","author":"A"}')
      .expect(415);
    expect(problemOf(response).status).toBe(415);
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

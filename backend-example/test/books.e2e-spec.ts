import type { NestExpressApplication } from '@nestjs/platform-express';
import { request } from 'node:http';
import { Pool } from 'pg';
import { createApp } from '../src/app';
import type { ProblemDetails } from '../src/problem-details/problem-details';
import { call } from './support/service';

/** A book as JSON has it. */
type Book = {
  id: number;
  title: string;
  author: string;
  createdAt: string;
  updatedAt: string;
};

let app: NestExpressApplication;
let url: string;

const ISO_DATE = expect.stringMatching(
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
) as string;

beforeAll(async () => {
  app = await createApp();
  await app.listen(0, '127.0.0.1');
  url = await app.getUrl();
});
beforeEach(() => app.get(Pool).query('TRUNCATE books RESTART IDENTITY'));
afterAll(() => app.close());

async function create(title = 'T', author = 'A'): Promise<Book> {
  const response = await call(`${url}/books/create`, 'POST', { title, author });
  expect(response.status).toBe(201);
  return (await response.json()) as Book;
}

/** Asserts an error answer and returns its body without what every problem has. */
async function problemOf(response: Response) {
  expect(response.headers.get('content-type')).toBe(
    'application/problem+json; charset=utf-8',
  );
  const { type, ...rest } = (await response.json()) as ProblemDetails;
  expect(type).toBe('about:blank');
  expect(rest.status).toBe(response.status);
  return rest;
}

describe('POST /books/create', () => {
  it('stores a book', async () => {
    const response = await call(`${url}/books/create`, 'POST', {
      title: ' Momo ',
      author: 'Michael Ende',
    });

    expect(response.status).toBe(201);
    const book = (await response.json()) as Book;
    expect(book).toEqual({
      id: 1,
      title: 'Momo',
      author: 'Michael Ende',
      createdAt: ISO_DATE,
      updatedAt: book.createdAt,
    });
    const found = await call(`${url}/books/find/1`);
    expect(await found.json()).toEqual(book);
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
    const found = await call(`${url}/books/find/${id}`);
    expect(await found.json()).toMatchObject({ title });
  });

  it('names every field that it refuses', async () => {
    const response = await call(`${url}/books/create`, 'POST', {
      title: 'a\0b',
      isbn: '1',
    });
    expect(await problemOf(response)).toEqual({
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
    const response = await fetch(`${url}/books/create`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const problem = await problemOf(response);
    expect(problem.status).toBe(status);
    expect(problem.detail).toMatch(detail);
  });

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['application/json; charset=latin1'],
  ])('refuses a body of type %s', async (type) => {
    const response = await fetch(`${url}/books/create`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: '{"title":"T","author":"A"}',
    });
    expect((await problemOf(response)).status).toBe(415);
  });

  it('stores nothing of a refused book', async () => {
    await call(`${url}/books/create`, 'POST', { title: 'T' });
    expect(await (await call(`${url}/books/find`)).json()).toEqual({
      items: [],
      nextCursor: null,
    });
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
      const response = await call(`${url}/books/find${query}`);
      const page = (await response.json()) as {
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
    const response = await call(`${url}/books/find`);
    expect(await response.json()).toMatchObject({
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
    const response = await call(`${url}/books/find?${query}`);
    expect(await problemOf(response)).toMatchObject({
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

  it.each(badIds)('is refused as %s', async (id) => {
    for (const [method, path, body] of [
      ['GET', 'find', undefined],
      ['PATCH', 'update', { title: 'T' }],
      ['DELETE', 'remove', undefined],
    ] as const) {
      const response = await call(`${url}/books/${path}/${id}`, method, body);
      expect(await problemOf(response)).toEqual({
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
    for (const [method, path, body] of [
      ['GET', 'find', undefined],
      ['PATCH', 'update', { title: 'T' }],
      ['DELETE', 'remove', undefined],
    ] as const) {
      const response = await call(`${url}/books/${path}/42`, method, body);
      expect(await problemOf(response)).toEqual({
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

    const response = await call(`${url}/books/update/1`, 'PATCH', {
      author: 'B',
    });

    expect(response.status).toBe(200);
    const after = (await response.json()) as Book;
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
    const response = await call(`${url}/books/update/1`, 'PATCH', changes);
    expect(await problemOf(response)).toMatchObject({ status: 400, detail });
    const found = await call(`${url}/books/find/1`);
    expect(await found.json()).toEqual(before);
  });
});

describe('DELETE /books/remove/:id', () => {
  it('removes one book', async () => {
    await create('1');
    const second = await create('2');

    const response = await call(`${url}/books/remove/1`, 'DELETE');

    expect(response.status).toBe(204);
    expect(await response.text()).toBe('');
    expect(await (await call(`${url}/books/find`)).json()).toEqual({
      items: [second],
      nextCursor: null,
    });
  });
});

describe('every other path', () => {
  it.each([
    ['GET', '/'],
    ['GET', '/books'],
    ['PUT', '/books/create'],
    ['DELETE', '/books/remove/'],
  ])('%s %s is a 404 in the same form', async (method, path) => {
    const response = await call(url + path, method);
    expect(await problemOf(response)).toEqual({
      status: 404,
      title: 'Not Found',
      detail: `Cannot ${method} ${path}`,
    });
  });

  it.each([['/books/find/%'], ['/books/find/%E0%A4%A'], ['/%c0']])(
    'with broken percent-encoding is refused: %s',
    async (path) => {
      // Not with fetch, which would mend the path.
      const status = await new Promise((resolve, reject) => {
        request(url + '/', { path }, (response) => {
          response.resume();
          resolve(`${response.statusCode} ${response.headers['content-type']}`);
        })
          .on('error', reject)
          .end();
      });
      expect(status).toBe('400 application/problem+json; charset=utf-8');
    },
  );
});

describe('operations', () => {
  it('reports that it is alive and ready', async () => {
    expect(await (await call(`${url}/health/live`)).json()).toMatchObject({
      status: 'ok',
    });
    expect(await (await call(`${url}/health/ready`)).json()).toMatchObject({
      status: 'ok',
      details: { database: { status: 'up' } },
    });
  });

  it('describes itself', async () => {
    const page = await call(`${url}/api`);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('swagger-ui');

    const openApi = (await (await call(`${url}/api-json`)).json()) as {
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

import type { ArgumentMetadata } from '@nestjs/common';
import { CreateBookDto } from '../books/dto/create-book.dto';
import { BookIdDto, FindBooksDto } from '../books/dto/find-books.dto';
import { UpdateBookDto } from '../books/dto/update-book.dto';
import { InvalidRequestException } from '../problem-details/invalid-request.exception';
import { RequestValidationPipe } from './request-validation.pipe';

const sut = new RequestValidationPipe();

const validate = (
  type: ArgumentMetadata['type'],
  metatype: ArgumentMetadata['metatype'],
  value: unknown,
) => sut.transform(value, { type, metatype });

async function refusal(...args: Parameters<typeof validate>) {
  const error = await validate(...args).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InvalidRequestException);
  return (error as InvalidRequestException).errors;
}

describe('the body of a new book', () => {
  const body = (value: unknown) => validate('body', CreateBookDto, value);
  const refused = (value: unknown) => refusal('body', CreateBookDto, value);

  it('is trimmed', async () => {
    expect(await body({ title: '  T ', author: '\tA\n' })).toEqual({
      title: 'T',
      author: 'A',
    });
  });

  it('may use every character, counted as people count them', async () => {
    const book = { title: '🎉'.repeat(200), author: '’; DROP TABLE books --' };
    expect(await body(book)).toEqual(book);
  });

  it.each([
    ['missing', undefined, 'title must be a string'],
    ['null', null, 'title must be a string'],
    ['a number', 5, 'title must be a string'],
    ['a list', ['T'], 'title must be a string'],
    ['empty', '', 'title must not be empty'],
    ['blank', ' \t\n', 'title must not be empty'],
    ['too long', 'x'.repeat(201), 'title must be at most 200 characters long'],
    ['with NUL', 'a\0b', 'title must not contain a NUL character'],
    ['half a character', 'a\ud800', 'title must be well-formed Unicode'],
  ])('is refused when the title is %s', async (_case, title, detail) => {
    expect(await refused({ title, author: 'A' })).toEqual([
      { pointer: '#/title', detail },
    ]);
  });

  it('is refused when the author is longer than 100 characters', async () => {
    expect(await refused({ title: 'T', author: 'x'.repeat(101) })).toEqual([
      {
        pointer: '#/author',
        detail: 'author must be at most 100 characters long',
      },
    ]);
  });

  it('lists every refused field once', async () => {
    expect(await refused({})).toEqual([
      { pointer: '#/title', detail: 'title must be a string' },
      { pointer: '#/author', detail: 'author must be a string' },
    ]);
  });

  it('is refused with an unknown field, named by a valid JSON Pointer', async () => {
    expect(
      await refused({ title: 'T', author: 'A', 'a/b~ü\ud800': 1 }),
    ).toEqual([
      {
        pointer: '#/a~1b~0%C3%BC%EF%BF%BD',
        detail: 'property a/b~ü\ud800 should not exist',
      },
    ]);
  });

  it.each([
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    '__defineGetter__',
  ])('is refused with the field %s, which every object has', async (name) => {
    const book = JSON.parse(
      `{"title":"T","author":"A","${name}":{"polluted":true}}`,
    ) as unknown;
    expect(await refused(book)).toEqual([
      {
        pointer: `#/${name}`,
        detail: `property ${name} should not exist`,
      },
    ]);
    expect({}).not.toHaveProperty('polluted');
  });

  const nested = (depth: number): unknown =>
    depth === 0 ? 'T' : [nested(depth - 1)];
  const tooMuch = 'No more than 100 values, and 5 levels of them, are allowed';

  it.each([
    ['101 fields', Object.fromEntries(Array.from('x'.repeat(101)).entries())],
    ['101 values in a list', { title: Array(101).fill(1) }],
    ['a list of long lists', { title: Array(50).fill([1]) }],
    ['six levels', { title: nested(5) }],
    ['a thousand levels', { title: nested(1000) }],
  ])('is refused before it is looked at, with %s', async (_, value) => {
    await expect(body(value)).rejects.toThrow(tooMuch);
  });

  it('may be as long as it may be', async () => {
    const fields = Object.fromEntries(Array.from('x'.repeat(100)).entries());
    expect(await refused(fields)).toHaveLength(102);
    expect(await refused({ title: nested(4), author: 'A' })).toHaveLength(1);
  });

  it.each([[undefined], [null], [5], ['text'], [true], [[]]])(
    'is refused when it is %j',
    async (value) => {
      await expect(body(value)).rejects.toThrow(
        'The request body must be a JSON object',
      );
    },
  );
});

describe('the body of a change', () => {
  const body = (value: unknown) => validate('body', UpdateBookDto, value);

  it.each([[{}], [{ title: 'T' }], [{ author: 'A' }]])(
    'may be %j',
    async (value) => {
      expect(await body(value)).toEqual(value);
    },
  );

  it('may not set a field to null', async () => {
    expect(await refusal('body', UpdateBookDto, { title: null })).toEqual([
      { pointer: '#/title', detail: 'title must be a string' },
    ]);
  });
});

describe('an id', () => {
  it.each([
    ['1', 1],
    ['2147483647', 2147483647],
  ])('may be %s', async (id, number) => {
    expect(await validate('param', BookIdDto, { id })).toEqual({ id: number });
  });

  it.each([
    ['0'],
    ['-1'],
    ['+1'],
    ['01'],
    ['1.5'],
    ['1e3'],
    ['0x10'],
    ['abc'],
    [''],
    [' 1'],
    ['1\0'],
    ['１'],
    ['2147483648'],
    ['9'.repeat(400)],
    ['Infinity'],
    ['NaN'],
  ])('may not be "%s"', async (id) => {
    expect(await refusal('param', BookIdDto, { id })).toEqual([
      {
        parameter: 'id',
        detail: 'id must be an integer from 1 to 2147483647',
      },
    ]);
  });
});

describe('the query of the list', () => {
  it('has defaults', async () => {
    const query = await validate('query', FindBooksDto, {});
    expect({ ...(query as object) }).toEqual({ limit: 20, cursor: undefined });
  });

  it('becomes numbers', async () => {
    const query = { limit: '100', cursor: '7' };
    expect(await validate('query', FindBooksDto, query)).toEqual({
      limit: 100,
      cursor: 7,
    });
  });

  it.each([
    ['0'],
    ['101'],
    ['1000'],
    ['abc'],
    ['-1'],
    [''],
    [['1', '2']],
    [{ a: '1' }],
  ])('refuses limit=%j', async (limit) => {
    expect(await refusal('query', FindBooksDto, { limit })).toEqual([
      { parameter: 'limit', detail: 'limit must be an integer from 1 to 100' },
    ]);
  });

  it('refuses an unknown parameter', async () => {
    expect(await refusal('query', FindBooksDto, { page: '2' })).toEqual([
      { parameter: 'page', detail: 'property page should not exist' },
    ]);
    expect(await refusal('query', FindBooksDto, { valueOf: '2' })).toEqual([
      { parameter: 'valueOf', detail: 'property valueOf should not exist' },
    ]);
  });
});

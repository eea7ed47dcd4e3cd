import { randomBytes } from 'node:crypto';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';

// Requests that nobody sends who means well, byte by byte, and what the books service has to answer.

export interface HostileRequest {
  name: string;
  bytes: Buffer;
  /** The status; 'closed' where HTTP has no answer. */
  expected: number | 'closed';
}

type Headers = Record<string, string> | [string, string][];
type Part = string | Buffer;

const JSON_TYPE = { 'Content-Type': 'application/json' };
const BOOK = '{"title":"T","author":"A"}';

/** A request as it is written: strings are bytes, one for each character. */
const raw = (...parts: Part[]): Buffer =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)),
  );

function http(method: string, target: string, headers: Headers = {}, body: Part = ''): Buffer {
  const list = Array.isArray(headers) ? headers : Object.entries(headers);
  const lines = [['Host', 'books'], ['Connection', 'close'], ...list].map(
    (h) => `${h.join(': ')}\r\n`,
  );
  return raw(`${method} ${target} HTTP/1.1\r\n`, ...lines, '\r\n', body);
}

const get = (target: string, headers?: Headers) => http('GET', target, headers);

/** POST /books/create with a body as long as it says. */
function post(body: Part, headers: Record<string, string> = {}): Buffer {
  const bytes = Buffer.from(body);
  const length = { 'Content-Length': `${bytes.length}` };
  return http('POST', '/books/create', { ...JSON_TYPE, ...length, ...headers }, bytes);
}

/** The same with a body in chunks, or with what is said to be chunks. */
const chunked = (body: Part, headers: Headers = { 'Transfer-Encoding': 'chunked' }) =>
  http('POST', '/books/create', [...Object.entries(JSON_TYPE), ...Object.entries(headers)], body);

const chunk = (text: Part) => raw(text.length.toString(16), '\r\n', text, '\r\n');

/** One request for each of the values, with the value in its name. */
const each = <T>(
  what: string,
  expected: HostileRequest['expected'],
  values: T[],
  request: (value: T) => Buffer,
): HostileRequest[] =>
  values.map((value) => ({
    name: `${what}: ${JSON.stringify(value).slice(0, 60)}`,
    bytes: request(value),
    expected,
  }));

const one = (
  name: string,
  expected: HostileRequest['expected'],
  bytes: Buffer,
): HostileRequest => ({ name, bytes, expected });

const encoded = (encoding: string, body: Buffer) => post(body, { 'Content-Encoding': encoding });
const ZEROS = Buffer.alloc(20_000_000, ' ');

/** More than two hundred requests. The id is that of a book that exists, for those that do no harm to it. */
export function hostileRequests(): HostileRequest[] {
  return [
    // ---- JSON
    ...each(
      'JSON',
      400,
      [
        '{oops',
        ' ',
        'null',
        'true',
        '7',
        '"text"',
        '[]',
        `[${BOOK}]`,
        '-',
        'NaN',
        'undefined',
        '{',
        '{"title":"T","author":"A"',
        '{"title":"T" "author":"A"}',
        "{'title':'T','author':'A'}",
        '{title:"T",author:"A"}',
        '{"title":"T","author":"A",}',
        `${BOOK}x`,
        BOOK + BOOK,
        `/* a comment */${BOOK}`,
        '{"title":NaN,"author":"A"}',
        '{"title":"a\nb","author":"A"}',
        '{"title":"\\x41","author":"A"}',
        '{"title":"\\u00","author":"A"}',
        '\0',
        `\ufeff\ufeff${BOOK}`,
        '<book/>',
        'title=T&author=A',
      ],
      post,
    ),
    one('no body at all', 400, http('POST', '/books/create', { 'Content-Length': '0' })),
    one('lists 45,000 deep', 400, post(`{"title":${'['.repeat(45_000)}${']'.repeat(45_000)}}`)),
    one('lists 45,000 deep, never closed', 400, post(`{"title":${'['.repeat(45_000)}`)),
    one(
      'objects 12,000 deep',
      400,
      post(`{"title":${'{"a":'.repeat(12_000)}1${'}'.repeat(12_000)}}`),
    ),
    one('only lists, 50,000 deep', 400, post('['.repeat(50_000) + ']'.repeat(50_000))),
    one('a list of 45,000', 400, post(`{"title":[${'1,'.repeat(45_000)}1]}`)),
    one(
      '8,000 fields',
      400,
      post(
        JSON.stringify(Object.fromEntries(Array.from({ length: 8000 }, (_, i) => [`k${i}`, 1]))),
      ),
    ),
    one('a name of 90 kB', 400, post(`{"${'k'.repeat(90_000)}":1}`)),
    one('a number of 90,000 digits', 400, post(`{"title":${'9'.repeat(90_000)}}`)),
    one('a title of 90 kB', 400, post(`{"title":"${'x'.repeat(90_000)}","author":"A"}`)),

    // ---- fields
    ...each(
      'a title',
      400,
      [7, 1e300, true, null, [], ['T'], {}, { length: 1 }, '', ' \t', 'a\0b', 'x'.repeat(201)],
      (title) => post(JSON.stringify({ title, author: 'A' })),
    ),
    ...each('an author', 400, [0, false, [null], '\u00a0', '🎉'.repeat(101)], (author) =>
      post(JSON.stringify({ title: 'T', author })),
    ),
    ...each(
      'half of a character',
      400,
      ['\\ud800', '\\udc00', '\\udc00\\ud800', 'a\\ud83d', '\\ud800\\u0041'],
      (escaped) => post(`{"title":"${escaped}","author":"A"}`),
    ),
    ...each(
      'a field',
      400,
      [
        '__proto__',
        'constructor',
        'prototype',
        'toString',
        'hasOwnProperty',
        'valueOf',
        '__defineGetter__',
        'id',
        'createdAt',
        '$where',
        'title ',
        'TITLE',
        '',
        'a/b~c',
        'then',
        'toJSON',
        'length',
      ],
      (name) => post(`{"title":"T","author":"A","${name}":{"isAdmin":true}}`),
    ),

    // ---- types, charsets, encodings
    ...each(
      'Content-Type',
      415,
      [
        '',
        'text/plain',
        'text/html',
        'application/xml',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/octet-stream',
        'application/vnd.api+json',
        'application/jsonx',
        'application/json/json',
        'json',
        '*/*',
        ';',
        'application/json; charset=latin1',
        'application/json; charset=utf-16',
        'application/json; charset=utf-7',
        'application/json; charset=utf-99',
        'application/json; charset=__proto__',
        'application/json; charset=utf-8utf-8',
      ],
      (type) => post(BOOK, { 'Content-Type': type }),
    ),
    ...each(
      'not UTF-8',
      400,
      ['ff', 'c0af', 'e282', 'eda080', 'f8888080', '80', 'f4908080'],
      (hex) => post(raw('{"title":"', Buffer.from(hex, 'hex'), '","author":"A"}')),
    ),
    one('UTF-16 that says it is UTF-8', 400, post(Buffer.from(BOOK, 'utf16le'))),
    ...each(
      'Content-Encoding',
      415,
      ['x', 'compress', 'gzip, gzip', 'identity, gzip', '__proto__'],
      (e) => encoded(e, gzipSync(BOOK)),
    ),
    ...each('not compressed at all', 400, ['gzip', 'deflate', 'br', 'zstd'], (encoding) =>
      encoded(encoding, Buffer.from(BOOK)),
    ),
    one('half of a gzip', 400, encoded('gzip', gzipSync(BOOK).subarray(0, 30))),
    one('a gzip with a wrong checksum', 400, encoded('gzip', damaged(gzipSync(BOOK)))),
    one('a gzip that is empty', 400, encoded('gzip', gzipSync(''))),
    one('a gzip in a gzip', 400, encoded('gzip', gzipSync(gzipSync(BOOK)))),
    one('20 MB as gzip', 413, encoded('gzip', gzipSync(ZEROS))),
    one('20 MB as deflate', 413, encoded('deflate', deflateSync(ZEROS))),
    one('20 MB as brotli', 413, encoded('br', brotliCompressSync(ZEROS))),
    one('20 MB as zstd', 413, encoded('zstd', zstdCompressSync(ZEROS))),

    // ---- sizes
    one('a body one byte too long', 413, post(' '.repeat(102_401))),
    one(
      'a body of 1 TB, announced',
      413,
      http('POST', '/books/create', { ...JSON_TYPE, 'Content-Length': '1000000000000' }),
    ),
    one('200 kB in one chunk', 413, chunked(raw(chunk(' '.repeat(200_000)), '0\r\n\r\n'))),
    one(
      '200 kB in chunks of 100 bytes',
      413,
      chunked(raw(chunk(' '.repeat(100)).toString().repeat(2000), '0\r\n\r\n')),
    ),
    one('an address of 20 kB', 431, get(`/books/find/${'9'.repeat(20_000)}`)),
    one('a query of 20 kB', 431, get(`/books/find?limit=${'9'.repeat(20_000)}`)),
    one('a header of 20 kB', 431, get('/books/find', { 'X-Long': 'x'.repeat(20_000) })),
    one('a name of a header of 20 kB', 431, get('/books/find', { ['X'.repeat(20_000)]: 'x' })),
    one('a cookie of 20 kB', 431, get('/books/find', { Cookie: `a=${'x'.repeat(20_000)}` })),
    one(
      '1,000 headers',
      431,
      get(
        '/books/find',
        Array.from({ length: 1000 }, (_, i) => [`X-${i}`, 'some value']),
      ),
    ),
    one('an address of 15 kB', 404, get(`/${'x'.repeat(15_000)}`)),
    one('an id of 15 kB', 400, get(`/books/find/${'9'.repeat(15_000)}`)),
    one('a parameter of 15 kB', 400, get(`/books/find?${'x'.repeat(15_000)}`)),
    one('3,000 parameters', 400, get(`/books/find?${'a=&'.repeat(3000)}`)),
    one(
      '3,000 names of parameters',
      400,
      get(`/books/find?${Array.from({ length: 3000 }, (_, i) => i).join('&')}`),
    ),

    // ---- ids
    ...each(
      'an id',
      400,
      [
        'abc',
        '0',
        '-1',
        '+1',
        '01',
        '1.0',
        '1.5',
        '1e3',
        '0x10',
        '%20',
        '%201',
        '1%20',
        '%00',
        '1%00',
        '%0a',
        "1'%20OR%20'1'='1",
        '1;DROP%20TABLE%20books',
        '1--',
        '%D9%A1', // a one in Arabic
        '%EF%BC%91', // a wide one
        '1,2',
        '[1]',
        '%7B%7D',
        '2147483648',
        '9007199254740993',
        '9'.repeat(1000),
        'NaN',
        'Infinity',
        'null',
        'undefined',
        'true',
        '__proto__',
        '1%2F2',
        '..%2F1',
        '%252e%252e',
        '$1',
        '*',
        '%F0%9F%8E%89',
        '<script>',
        '${7*7}',
        '%25s%25n',
      ],
      (id) => get(`/books/find/${id}`),
    ),
    ...each('an id to change', 400, ['abc', '0', '%00', '1%27', '1e1'], (id) =>
      http(
        'PATCH',
        `/books/update/${id}`,
        { ...JSON_TYPE, 'Content-Length': '13' },
        '{"title":"T"}',
      ),
    ),
    ...each('an id to remove', 400, ['abc', '*', '1,2', '%2e', '-1'], (id) =>
      http('DELETE', `/books/remove/${id}`),
    ),
    ...each('percent', 400, ['%', '%1', '%GG', '%E0%A4%A', '%c0%af', '%ff', '%u0031'], (id) =>
      get(`/books/find/${id}`),
    ),

    // ---- queries
    ...each(
      'a query',
      400,
      [
        'limit=0',
        'limit=101',
        'limit=-1',
        'limit=1e1',
        'limit=',
        'limit',
        'limit=1&limit=2',
        'limit[]=1',
        'limit[__proto__]=1',
        '__proto__[x]=1',
        '__proto__=1',
        'constructor=1',
        'constructor[prototype][x]=1',
        'toString=1',
        'cursor=0',
        'cursor=2147483648',
        'cursor=1%20OR%201=1',
        "cursor=1'",
        'cursor=%00',
        'cursor=%',
        'cursor=%ff',
        'page=2',
        '=',
        '%00=1',
        'limit=1;cursor=2',
        'limit=1%26cursor=2',
        '%6Cimit=0',
        'LIMIT=1',
      ],
      (query) => get(`/books/find?${query}`),
    ),

    // ---- paths
    ...each(
      'a path',
      404,
      [
        '/../../etc/passwd',
        '/books/../../../etc/passwd',
        '/api/../../../etc/passwd',
        '/api/..%2f..%2f..%2fetc/passwd',
        '/api/%2e%2e/%2e%2e/etc/passwd',
        '/api/..%5c..%5cwindows',
        '/api/.env',
        '/api/swagger-ui.css/../../package.json',
        '/.git/config',
        '/.env',
        '/metrics',
        '/faults',
        '/health',
        '/health/live/..',
        '/actuator/env',
        '/wp-login.php',
        '/cgi-bin/test?x=() { :;}',
        '//books/find',
        '/books//find',
        '/books/find/1/2',
        '/books/find;x=1',
        '/books\\find',
        '/%2fbooks/find',
        '/books%2ffind',
        '///',
        '/%0d%0aSet-Cookie:%20a=b',
        '/?%0d%0aSet-Cookie:%20a=b',
        '/<script>alert(1)</script>',
      ].map((path) => path.replaceAll(' ', '%20')),
      (path) => get(path),
    ),
    one(
      'a file that is not there, in part',
      416,
      get('/api/swagger-ui.css', { Range: 'bytes=99999999-' }),
    ),
    one(
      'a file as it was in 1970',
      412,
      get('/api/swagger-ui.css', { 'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' }),
    ),

    // ---- the first line
    ...each(
      'an address',
      400,
      [
        'http://',
        'http://[::1',
        'http://a:99999/',
        'http://%zz/',
        'ftp://books/find',
        'file:///etc/passwd',
        'books/find',
        '?limit=1',
        '#',
        'javascript:alert(1)',
      ],
      (target) => get(target),
    ),
    ...each(
      'an address for a proxy',
      404,
      [
        'http://evil.example/',
        'https://evil.example/nowhere',
        'http://169.254.169.254/latest/meta-data',
      ],
      (target) => get(target),
    ),
    ...each(
      'a method',
      400,
      ['FOO', 'get', 'GETT', 'G', 'GE\0T', 'X'.repeat(5000), ' GET', '\x80'],
      (method) => http(method, '/books/find'),
    ),
    ...each(
      'a method that no route has',
      404,
      [
        'PUT',
        'PROPFIND',
        'MKCOL',
        'LOCK',
        'PURGE',
        'TRACE',
        'M-SEARCH',
        'QUERY',
        'UNBIND',
        'DELETE',
        'PATCH',
      ],
      (method) => http(method, '/books/find'),
    ),
    one(
      'another method to create',
      404,
      http('PUT', '/books/create', { ...JSON_TYPE, 'Content-Length': `${BOOK.length}` }, BOOK),
    ),
    one('OPTIONS *', 404, http('OPTIONS', '*')),
    one('CONNECT', 'closed', http('CONNECT', 'evil.example:443')),
    ...each(
      'a version',
      400,
      [
        'HTTP/0.9',
        'HTTP/1.2',
        'HTTP/2.0',
        'HTTP/3.0',
        'HTTP/11',
        'HTTP/1.',
        'HTTP/x.y',
        'http/1.1',
        'HTTQ/1.1',
        '',
      ],
      (version) => raw(`GET /books/find ${version}\r\nHost: books\r\nConnection: close\r\n\r\n`),
    ),
    one('HTTP/1.0 without a Host, without a book', 400, raw('POST /books/create HTTP/1.0\r\n\r\n')),
    ...each(
      'another protocol',
      400,
      [
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
        '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
        'SSH-2.0-OpenSSH_9.6\r\n',
        'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n',
        'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
        '*1\r\n$4\r\nPING\r\n',
        '\0\0\0\x08\x04\xd2\x16\x2f',
        'EHLO books\r\n',
        '\xff\xfb\x1f',
        '{"jsonrpc":"2.0"}\n',
      ],
      (text) => raw(text),
    ),
    ...[1, 2, 3].map((i) => one(`300 bytes by chance, ${i}`, 400, raw('\x80', randomBytes(300)))),

    // ---- headers
    one('no Host', 400, raw('GET /books/find HTTP/1.1\r\nConnection: close\r\n\r\n')),
    one('two Hosts', 400, get('/books/find', { Host: 'evil' })),
    one('two Hosts, the same', 400, get('/books/find', { host: 'books' })),
    ...each(
      'a header',
      400,
      [
        'X: a\0b',
        'X: a\rb',
        'X: a\x01b',
        'X',
        ': x',
        ' X: folded',
        'X : space',
        'X\0: x',
        'X(): x',
        'Ü: x',
        'X\tY: x',
      ],
      (header) =>
        raw(`GET /books/find HTTP/1.1\r\nHost: books\r\n${header}\r\nConnection: close\r\n\r\n`),
    ),
    ...each('Expect', 417, ['200-ok', '100', 'nothing'], (value) => post(BOOK, { Expect: value })),

    // ---- where one request ends and the next begins
    ...each(
      'Content-Length',
      400,
      [
        '-1',
        '+26',
        '26, 26',
        '26,27',
        '0x1a',
        '2.6e1',
        '26 26',
        'abc',
        '26abc',
        '',
        '99999999999999999999',
        '\xb2',
      ],
      (length) => post(BOOK, { 'Content-Length': length }),
    ),
    one('two lengths', 400, post(BOOK, { 'content-length': '5' })),
    one('two lengths, the same', 400, post(BOOK, { 'content-length': `${BOOK.length}` })),
    one(
      'a length and chunks',
      400,
      post(raw(chunk(BOOK), '0\r\n\r\n'), { 'Transfer-Encoding': 'chunked' }),
    ),
    one(
      'chunks and a length',
      400,
      chunked('0\r\n\r\nGET /books/find HTTP/1.1\r\nHost: a\r\n\r\n', {
        'Transfer-Encoding': 'chunked',
        'Content-Length': '6',
      }),
    ),
    ...each(
      'Transfer-Encoding',
      400,
      [
        'identity',
        'gzip',
        'xchunked',
        'chunkedx',
        'chunked, identity',
        'chunked, gzip',
        'chunked;q=1',
        '"chunked"',
        'chunked\x0b',
        '\x0bchunked',
        'chunk\0ed',
      ],
      (encoding) => chunked(raw(chunk(BOOK), '0\r\n\r\n'), { 'Transfer-Encoding': encoding }),
    ),
    one(
      'Transfer-Encoding before a space',
      400,
      chunked(raw(chunk(BOOK), '0\r\n\r\n'), { 'Transfer-Encoding ': 'chunked' }),
    ),
    one(
      'Transfer-Encoding twice, the second unknown',
      400,
      chunked(raw(chunk(BOOK), '0\r\n\r\n'), {
        'Transfer-Encoding': 'chunked',
        'transfer-encoding': 'x',
      }),
    ),
    ...each(
      'chunks',
      400,
      [
        '-1\r\n',
        'g\r\n',
        '0x1a\r\n',
        ' 1a\r\n',
        '1a \r\n',
        'fffffffffffffffff\r\n',
        '1ax\r\n',
        '\r\n',
        `1a\n${BOOK}\n0\n\n`,
        `1a\r\n${BOOK}x\r\n0\r\n\r\n`,
        `1a\r\n${BOOK}0\r\n\r\n`,
        `1a\r${BOOK}\r\n0\r\n\r\n`,
        `1a\r\n${BOOK}\r\n0\r\nX\r\n\r\n`,
      ],
      (body) => chunked(body),
    ),
    one(
      'an extension of a chunk of 20 kB',
      413,
      chunked(raw(`1a;${'x'.repeat(20_000)}\r\n${BOOK}\r\n0\r\n\r\n`)),
    ),
  ];
}

/** With another checksum at its end. */
function damaged(gzip: Buffer): Buffer {
  gzip[gzip.length - 8]! ^= 0xff;
  return gzip;
}

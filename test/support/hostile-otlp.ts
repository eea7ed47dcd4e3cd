import { randomBytes } from 'node:crypto';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import type { OtlpSignal } from '../../cli/stores.ts';
import {
  HOUR, SIGNALS, all, at, attributes, counter, doubles, exponential, gauge, histogram, list, log, longs,
  map, message, metric, nested, pair, point, request, resource, service, span, text,
  type Field,
} from './otlp.ts'; // prettier-ignore

// What is sent to the collector by who does not know better, or does.

type Bytes = Uint8Array<ArrayBuffer>;
type Headers = Record<string, string>;

export const PROTOBUF = { 'content-type': 'application/x-protobuf' };
export const JSON_TYPE = { 'content-type': 'application/json' };
const NOT_UTF8 = Buffer.from([0x61, 0xff, 0xfe, 0x62]);

const VALID: Record<OtlpSignal, () => Bytes> = {
  logs: () => log('valid'),
  traces: () => span('valid'),
  metrics: () => gauge('hostile_valid', point()),
};
export const valid = (signal: OtlpSignal) => request(service('valid'), VALID[signal]());

const repeated = (part: Buffer) => Buffer.concat(Array(100).fill(part));
/** 1 GB each, but of deflate 50 MB: it has no parts. */
export const BOMBS = {
  gzip: repeated(gzipSync(Buffer.alloc(10_000_000))),
  zstd: repeated(zstdCompressSync(Buffer.alloc(10_000_000))),
  deflate: deflateSync(Buffer.alloc(50_000_000)),
};

/** A push over HTTP: what is wrong with it, the status of the answer, and the request. */
export type Push = [what: string, status: number, path: string, Headers, body: string | Bytes];

// prettier-ignore
export function* pushes(): Generator<Push> {
  for (const signal of SIGNALS) {
    const path = `/v1/${signal}`;
    const encoded = (encoding: string) => ({ ...PROTOBUF, 'content-encoding': encoding });
    const bytes = valid(signal);
    for (let cut = 1; cut < bytes.length; cut += Math.ceil(bytes.length / 9))
      yield [`${signal}, cut after ${cut} bytes`, 400, path, PROTOBUF, bytes.subarray(0, cut)];
    const json = '{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name"}]}}]}'
      .replace('Logs', { logs: 'Logs', traces: 'Spans', metrics: 'Metrics' }[signal]);
    yield [`${signal} in JSON`, 200, path, JSON_TYPE, json];
    for (let cut = 1; cut < json.length; cut += 12)
      yield [`${signal} in JSON, cut after ${cut}`, 400, path, JSON_TYPE, json.slice(0, cut)];
    yield [`${signal}, empty`, 200, path, PROTOBUF, ''];
    yield [`${signal}, noise`, 400, path, PROTOBUF, Buffer.alloc(1000, 0xff)];
    yield [`${signal}, unknown fields`, 200, path, PROTOBUF, Buffer.concat([message([999, 'new'], [998, 7n]), bytes])];
    yield [`${signal}, JSON said to be protobuf`, 400, path, PROTOBUF, '{}'];
    // 500, because the answer would quote it
    yield [`${signal}, not UTF-8, said to be JSON`, 500, path, JSON_TYPE, NOT_UTF8];
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'nonsense', ''])
      yield [`${signal} as "${type}"`, 415, path, { 'content-type': type }, bytes];
    for (const encoding of ['gzip', 'zstd', 'deflate', 'snappy', 'br', 'gzip, gzip'])
      yield [`${signal}, not ${encoding}`, 400, path, encoded(encoding), bytes];
    yield [`${signal}, gzip, cut`, 400, path, encoded('gzip'), gzipSync(bytes).subarray(0, -9)];
    for (const [encoding, bomb] of Object.entries(BOMBS))
      yield [`${signal}, a bomb of ${encoding}`, 400, path, encoded(encoding), bomb];
    yield [`${signal}, 11 MB`, 400, path, PROTOBUF, message([999, Buffer.alloc(11_000_000)])];
    yield [`${signal}, lists in lists in JSON`, 400, path, JSON_TYPE, '['.repeat(1_000_000)];
    yield [`${signal}, maps in maps in JSON`, 400, path, JSON_TYPE, '{"a":'.repeat(1_000_000)];
  }
  for (const [signal, id] of [['traces', 1], ['traces', 2], ['logs', 9], ['logs', 10]] as const)
    for (const length of [1, 7, 15, 17, 1000])
      yield [`field ${id} of ${signal}, an id, of ${length} bytes`, 400, `/v1/${signal}`, PROTOBUF,
        request(service('x'), message([id, Buffer.alloc(length, 1)]))];
  const logs = (record: object) => ({ resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] });
  const spans = (record: object) => ({ resourceSpans: [{ scopeSpans: [{ spans: [record] }] }] });
  const metrics = (value: object) =>
    ({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'n', gauge: { dataPoints: [value] } }] }] }] });
  const inJson: [what: string, status: number, OtlpSignal, unknown][] = [
    ['null', 200, 'logs', null],
    ['a number', 400, 'logs', 7],
    ['a list', 400, 'logs', []],
    ['null in each place', 200, 'logs', { resourceLogs: [{ scopeLogs: [null], resource: null }, null] }],
    ['a map for a list', 400, 'logs', { resourceLogs: { 0: {} } }],
    ['a value of two kinds', 200, 'logs', logs({ body: { intValue: '1', stringValue: 'x' } })],
    ['a value of no kind', 200, 'logs', logs({ body: { strangeValue: 1 } })],
    ['a number in words', 400, 'logs', logs({ body: { intValue: 'one' } })],
    ['bytes that are not base64', 400, 'logs', logs({ body: { bytesValue: '!' } })],
    ['a time in words', 400, 'logs', logs({ timeUnixNano: 'now' })],
    ['a time before 1970', 400, 'traces', spans({ startTimeUnixNano: '-1' })],
    ['a time of 30 digits', 400, 'traces', spans({ startTimeUnixNano: '9'.repeat(30) })],
    ['a trace id that is not hexadecimal', 400, 'traces', spans({ traceId: 'z'.repeat(32) })],
    ['a trace id of 8 digits', 400, 'traces', spans({ traceId: '1'.repeat(8) })],
    ['a span id of 32 digits', 400, 'traces', spans({ spanId: '1'.repeat(32) })],
    ['a kind in words', 400, 'traces', spans({ kind: 'SERVER' })],
    ['a number out of range', 400, 'metrics', metrics({ asInt: '9'.repeat(30) })],
    ['a number in words', 400, 'metrics', metrics({ asDouble: 'one' })],
  ];
  for (const [what, status, signal, body] of inJson)
    yield [`${signal} in JSON, ${what}`, status, `/v1/${signal}`, JSON_TYPE, JSON.stringify(body)];
  yield ['a bad escape in JSON', 400, '/v1/logs', JSON_TYPE, '{"a": "\\uZZZZ"}'];
  yield ['NaN in JSON', 400, '/v1/logs', JSON_TYPE, '{"resourceLogs": NaN}'];
  for (const path of ['/', '/v1', '/v1/trace', '/v1/logs/', '/V1/LOGS', `/${'x'.repeat(9_000)}`])
    yield [path.slice(0, 30), 404, path, PROTOBUF, valid('logs')];
}

// ---- gRPC: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

export const EXPORT: Record<OtlpSignal, string> = {
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
};

/** A message as gRPC sends it. */
export function frame(body: Bytes, compressed = 0, length = body.length) {
  const head = Buffer.from([compressed, 0, 0, 0, 0]);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

/** A call: what is wrong with it, its status, and the request. */
export type Call = [what: string, status: string, path: string, body: Bytes, Headers?];

// prettier-ignore
export function* calls(): Generator<Call> {
  for (const signal of SIGNALS) {
    const path = EXPORT[signal];
    const encoded = (encoding: string) => ({ 'grpc-encoding': encoding });
    const bytes = valid(signal);
    for (let cut = 1; cut < bytes.length; cut += Math.ceil(bytes.length / 5))
      yield [`${signal}, cut after ${cut} bytes`, '13', path, frame(bytes.subarray(0, cut))];
    yield [`${signal}, empty`, '0', path, frame(Buffer.alloc(0))];
    yield [`${signal}, noise`, '13', path, frame(Buffer.alloc(1000, 0xff))];
    yield [`${signal}, no message`, '2', path, Buffer.alloc(0)];
    yield [`${signal}, half a head`, '2', path, frame(bytes).subarray(0, 3)];
    yield [`${signal}, fewer bytes than said`, '2', path, frame(bytes, 0, bytes.length + 1)];
    yield [`${signal}, 11 MB said`, '8', path, frame(bytes, 0, 11_000_000)];
    yield [`${signal}, 4 GB said`, '8', path, frame(bytes, 0, 2 ** 32 - 1)];
    yield [`${signal}, two messages`, '0', path, Buffer.concat([frame(bytes), frame(bytes)])];
    yield [`${signal}, compressed with nothing`, '13', path, frame(bytes, 1)];
    yield [`${signal}, a flag that is none`, '13', path, frame(bytes, 7)];
    yield [`${signal}, an unknown compression`, '12', path, frame(bytes, 1), encoded('br')];
    yield [`${signal}, not gzip`, '13', path, frame(bytes, 1), encoded('gzip')];
    yield [`${signal}, not zstd`, '13', path, frame(bytes, 1), encoded('zstd')];
    yield [`${signal}, a bomb of gzip`, '8', path, frame(BOMBS.gzip, 1), encoded('gzip')];
    yield [`${signal}, a bomb of zstd`, '8', path, frame(BOMBS.zstd, 1), encoded('zstd')];
    yield [`${signal} as JSON`, '3', path, frame(bytes), JSON_TYPE];
    yield [`${signal}, a deadline in words`, '13', path, frame(bytes), { 'grpc-timeout': 'soon' }];
    yield [`${signal}, no time`, '4', path, frame(bytes), { 'grpc-timeout': '0n' }];
    yield [`${signal} with PUT`, '13', path, frame(bytes), { ':method': 'PUT' }];
  }
  for (const path of ['/', '//', '/x', '/grpc.health.v1.Health/Nope', `${EXPORT.logs}s`, EXPORT.logs.toLowerCase(), `/${'x'.repeat(9_000)}/y`])
    yield [`the method ${path.slice(0, 50)}`, '12', path, frame(Buffer.alloc(0))];
}

// ---- bytes

const HEAD = 'POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
const CHUNKED = `${HEAD}transfer-encoding: chunked\r\n\r\n`;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const TLS = Buffer.concat([Buffer.from('16030100a5010000a10303', 'hex'), Buffer.alloc(160, '\n')]);

/** What is written to port 4317, which speaks HTTP/2 only. */
export const NO_GRPC: [what: string, bytes: string | Bytes][] = [
  ['noise', Buffer.from(randomBytes(10_000))],
  ['TLS', TLS],
  ['HTTP/1.1', `${HEAD}content-length: 2\r\n\r\n{}`],
  ['a preface, then noise', Buffer.concat([PREFACE, randomBytes(1000)])],
  [
    'a preface, then 16 MB said',
    Buffer.concat([PREFACE, Buffer.from('ffffff000000000001', 'hex')]),
  ],
  [
    'a preface, then headers of nothing',
    Buffer.concat([PREFACE, Buffer.from('000000010400000000', 'hex')]),
  ],
];

/** What is written to port 4318, and ended there with the last field; and how the answer begins. */
// prettier-ignore
export const NO_HTTP: [what: string, answer: string, bytes: string | Bytes, end?: true][] = [
  ['noise', 'HTTP/1.1 400', Buffer.alloc(10_000, 'noise\n')],
  ['TLS', 'HTTP/1.1 400', TLS],
  ['HTTP/1.0', 'HTTP/1.0 200', HEAD.replace('1.1', '1.0') + 'content-length: 2\r\n\r\n{}'],
  ['HTTP/1.0 without a length', 'HTTP/1.0 400', HEAD.replace('1.1', '1.0') + '\r\n{}'],
  ['HTTP/0.9', 'HTTP/1.1 400', 'GET /v1/logs\r\n\r\n'],
  ['HTTP/3.0', 'HTTP/1.1 505', 'GET /v1/logs HTTP/3.0\r\nhost: x\r\n\r\n'],
  ['no host', 'HTTP/1.1 400', 'POST /v1/logs HTTP/1.1\r\n\r\n'],
  ['a length that is negative', 'HTTP/1.1 400', `${HEAD}content-length: -1\r\n\r\n`],
  ['two lengths', 'HTTP/1.1 400', `${HEAD}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`],
  ['fewer bytes than said', 'HTTP/1.1 400', `${HEAD}content-length: 99\r\n\r\n{}`, true],
  ['a chunk without a size', 'HTTP/1.1 400', `${CHUNKED}zz\r\n{}\r\n`],
  ['chunks without an end', 'HTTP/1.1 400', `${CHUNKED}2\r\n{}\r\n`, true],
  ['an unknown encoding', 'HTTP/1.1 501', `${HEAD}transfer-encoding: magic\r\n\r\n{}`],
  ['headers of 2 MB', 'HTTP/1.1 431', `${HEAD}x: ${'y'.repeat(2_000_000)}\r\n\r\n`],
  ['a header without a name', 'HTTP/1.1 400', `${HEAD}: x\r\n\r\n`],
  ['a path with a NUL', 'HTTP/1.1 400', 'POST /v1/\0logs HTTP/1.1\r\nhost: x\r\n\r\n'],
  ['CONNECT', 'HTTP/1.1 404', 'CONNECT evil:443 HTTP/1.1\r\nhost: x\r\n\r\n'],
  ...['GET', 'PUT', 'DELETE', 'TRACE', 'HACK'].map(
    (method): [string, string, string] => [method, 'HTTP/1.1 405', HEAD.replace('POST', method) + '\r\n']),
];

/** Connections that go quiet. */
export const QUIET: [what: string, port: 4318 | 8088, bytes: string][] = [
  ['nothing', 4318, ''],
  ['half a header', 4318, 'POST /v1/logs HTTP/1.1\r\nhost:'],
  ['half a body', 4318, `${HEAD}content-length: 10\r\n\r\n{}`],
  [
    'half a notification',
    8088,
    `${HEAD.replace('v1/logs', 'alertmanager')}content-length: 10\r\n\r\n{}`,
  ],
];

// ---- records that are well-formed, but strange

/** What is strange about a record, the record (or several), and its resource, if it is that. */
export type Strange = [what: string, records: Bytes | Bytes[], whose?: Bytes];

const ns = (fixed64: bigint) => ({ fixed64 });
const label = (key: string | Bytes, value: string | Bytes = 'v') =>
  gauge('hostile_label', point([7, pair(key, value)]));
const buckets = (counts: bigint[], bounds: number[], ...more: Field[]) =>
  histogram('hostile_histogram', [6, longs(...counts)], [7, doubles(...bounds)], ...more);
const exemplar = (...fields: Field[]) => {
  const one = message([2, at()], [3, 0.5], ...fields);
  return histogram('hostile_exemplar', [6, longs(9n, 0n)], [7, doubles(1)], [8, one]);
};
const twice = at();

// prettier-ignore
const RESOURCES: [what: string, whose: Bytes][] = [
  ['no attribute', resource()],
  ['a service without a name', service('')],
  ['a service that is a number', service(message([3, 5n]))],
  ['a service that is a map', service(nested(3, 'maps'))],
  ['a service of 1 MB', service('s'.repeat(1_000_000))],
  ['a service that is not UTF-8', service(text(NOT_UTF8))],
  ['a service with quotes and line ends', service('a"\n{}\\b\0')],
  ['a value that is not UTF-8', resource(pair('service.name', 'x'), pair('x', text(NOT_UTF8)))],
  ['a key that is not UTF-8', resource(pair('service.name', 'x'), pair(NOT_UTF8))],
  ['an empty key', resource(pair('service.name', 'x'), pair(''))],
  ['a key without a letter', resource(pair('service.name', 'x'), pair('😀-'))],
  ['100,000 attributes', Buffer.concat([service('x'), attributes(1, 100_000)])],
  ['10,000 lists', resource(pair('service.name', 'x'), pair('x', nested(10_000, 'lists')))],
];

// prettier-ignore
export const STRANGE: Record<OtlpSignal, Strange[]> = {
  logs: [
    ...RESOURCES.map(([what, whose]): Strange => [`a resource with ${what}`, log('x'), whose]),
    ['nothing', message()],
    ['no body', message([1, at()])],
    ['no time', message([5, text('x')])],
    ['an empty body', log('')],
    ['a body that is not UTF-8', log(NOT_UTF8)],
    ['a body of bytes', log('', [5, message([7, NOT_UTF8])])],
    ['a body of NaN', log('', [5, message([4, NaN])])],
    ['a body of 10,000 maps', log('', [5, nested(10_000, 'maps')])],
    ['a body of 100,000 lists', log('', [5, nested(100_000, 'lists')])],
    ['a line of 3 MB', log('x'.repeat(3_000_000))],
    ['a value that is not UTF-8', log('x', [6, pair('a', text(NOT_UTF8))])],
    ['a key that is not UTF-8', log('x', [6, pair(NOT_UTF8)])],
    ['an empty key', log('x', [6, pair('')])],
    ['a key without a letter', log('x', [6, pair('---')])],
    ['a key of emoji', log('x', [6, pair('😀')])],
    ['a key of 100 kB', log('x', [6, pair('k'.repeat(100_000))])],
    ['a key twice', log('x', [6, pair('a', '1')], [6, pair('a', '2')], [6, pair('a.a')], [6, pair('a_a')])],
    ["keys of Loki's own", log('x', [6, pair('__error__')], [6, pair('detected_level')], [6, pair('service_name')])],
    ['100,000 attributes', Buffer.concat([log('x'), attributes(6, 100_000)])],
    ['a list of 100,000', log('x', [6, pair('l', list(Array(100_000).fill(text('y'))))])],
    ['an attribute of 70 kB', log('x', [6, pair('a', 'x'.repeat(70_000))])],
    ['an attribute of 10,000 maps', log('x', [6, pair('d', nested(10_000, 'maps'))])],
    ['attributes of nothing', log('x', [6, message([1, 'k'])], [6, message()])],
    ['NaN in a map', log('x', [6, pair('m', map(pair('n', message([4, NaN]))))])],
    ['an hour ahead', log('x', [1, at(HOUR)])],
    ['100 years ahead', log('x', [1, at(876_000n * HOUR)])],
    ['the end of time', log('x', [1, ns(-1n)], [11, ns(-1n)])],
    ['1970', log('x', [1, ns(1n)])],
    ['8 days ago', log('x', [1, at(-192n * HOUR)])],
    ['a severity of -1', log('x', [2, -1n], [3, NOT_UTF8])],
    ['ids of zeros', log('x', [9, Buffer.alloc(16)], [10, Buffer.alloc(8)])],
  ],
  traces: [
    ...RESOURCES.map(([what, whose]): Strange => [`a resource with ${what}`, span('x'), whose]),
    ['nothing', message()],
    ['no trace id', span('x', [1, ''])],
    ['a trace id of zeros', span('x', [1, Buffer.alloc(16)])],
    ['no span id', span('x', [2, ''])],
    ['a span id of zeros', span('x', [2, Buffer.alloc(8)])],
    ['itself as its parent', span('x', [2, Buffer.alloc(8, 1)], [4, Buffer.alloc(8, 1)])],
    ['no name', span('')],
    ['a name of 1 MB', span('n'.repeat(1_000_000))],
    ['a name that is not UTF-8', span(NOT_UTF8)],
    ['a route that is not UTF-8', span('x', [9, pair('http.route', text(NOT_UTF8))])],
    ['a database that is not UTF-8', span('x', [6, 3n], [9, pair('db.namespace', text(NOT_UTF8))])],
    ['a key that is not UTF-8', span('x', [9, pair(NOT_UTF8)])],
    ['states that are not UTF-8', span('x', [3, NOT_UTF8], [15, message([2, NOT_UTF8], [3, 2n])])],
    ['an event that is not UTF-8', span('x', [11, message([2, NOT_UTF8], [3, pair(NOT_UTF8)])])],
    ['a route of 1 MB', span('x', [9, pair('http.route', 'r'.repeat(1_000_000))])],
    ['a route that is a map', span('x', [9, pair('http.route', nested(9, 'maps'))])],
    ["labels of the collector's own", span('x', [9, pair('span.name')], [9, pair('service.name')])],
    ['the end before the start', span('x', [8, at(-HOUR)])],
    ['no end', span('x', [8, ns(0n)])],
    ['no start', span('x', [7, ns(0n)])],
    ['no times', span('x', [7, ns(0n)], [8, ns(0n)])],
    ['the end of time', span('x', [7, ns(-1n)], [8, ns(-1n)])],
    ['500 years', span('x', [7, ns(1n)], [8, ns(-2n)])],
    ['1,000 hours ahead', span('x', [7, at(1000n * HOUR)], [8, at(1001n * HOUR)])],
    ['a kind of 99', span('x', [6, 99n])],
    ['a kind of -1', span('x', [6, -1n])],
    ['a status of 99', span('x', [15, message([3, 99n])])],
    ['100,000 attributes', Buffer.concat([span('x'), attributes(9, 100_000)])],
    ['10,000 events', Buffer.concat([span('x'), all(11, Array(10_000).fill(message([1, at()], [2, 'e'])))])],
    ['an event of 100,000 attributes', span('x', [11, Buffer.concat([message([2, 'e']), attributes(3, 100_000)])])],
    ['links to nothing', span('x', [13, message()], [13, message([1, Buffer.alloc(16)])])],
    ['an attribute of 10,000 maps', span('x', [9, pair('d', nested(10_000, 'maps'))])],
    ['an attribute of 100,000 lists', span('x', [9, pair('d', nested(100_000, 'lists'))])],
    ['an event of 10,000 lists', span('x', [11, message([2, 'e'], [3, pair('d', nested(10_000, 'lists'))])])],
    ['a link of 10,000 lists', span('x', [13, message([4, pair('d', nested(10_000, 'lists'))])])],
    ['NaN', span('x', [9, pair('a', message([4, NaN]))], [9, pair('b', message([4, -Infinity]))])],
    ['attributes of nothing', span('x', [9, message([1, 'k'])], [9, message()])],
  ],
  metrics: [
    ...RESOURCES.map(([what, whose]): Strange => [`a resource with ${what}`, gauge('x', point()), whose]),
    ['nothing', message()],
    ['no name', gauge('', point())],
    ['a name of spaces', gauge('   ', point())],
    ['a name of emoji', gauge('😀😀', point())],
    ['a name of digits', gauge('123', point())],
    ['a name that is not UTF-8', gauge(NOT_UTF8, point())],
    ['a name of 100 kB', gauge('n'.repeat(100_000), point())],
    ['a unit that is not UTF-8', Buffer.concat([gauge('hostile_unit', point()), message([2, NOT_UTF8], [3, NOT_UTF8])])],
    ['no points', gauge('hostile_points')],
    ['a point without a value', gauge('hostile_point', message([3, at()]))],
    ['NaN', gauge('hostile_nan', point([4, NaN]))],
    ['Infinity', gauge('hostile_infinity', point([4, Infinity]))],
    ['a label that is not UTF-8', label('l', text(NOT_UTF8))],
    ["a label's name that is not UTF-8", label(NOT_UTF8)],
    ['a label without a name', label('')],
    ['a label of punctuation', label('...')],
    ['labels that become one', gauge('hostile_label', point([7, pair('a.b', '1')], [7, pair('a_b', '2')]))],
    ["labels of Mimir's own", gauge('hostile_label', point([7, pair('__name__')], [7, pair('job')]))],
    ['the label le', buckets([1n, 0n], [1], [9, pair('le')])],
    ['a label of 1 MB', label('l', 'x'.repeat(1_000_000))],
    ["a label's name of 3 kB", label('l'.repeat(3_000))],
    ['a label of 10,000 maps', label('l', nested(10_000, 'maps'))],
    ['100,000 labels', gauge('hostile_labels', Buffer.concat([point(), attributes(7, 100_000)]))],
    ['50,000 points of one series', gauge('hostile_points', ...Array(50_000).fill(point()))],
    ['an hour ahead', gauge('hostile_time', point([3, at(HOUR)]))],
    ['100 years ahead', gauge('hostile_time', point([3, at(876_000n * HOUR)]))],
    ['the end of time', gauge('hostile_time', point([3, ns(-1n)]))],
    ['no time', gauge('hostile_time', point([3, ns(0n)]))],
    ['30 days ago', gauge('hostile_time', point([3, at(-720n * HOUR)]))],
    ['out of order', gauge('hostile_order', point(), point([3, at(-2n * HOUR)]))],
    ['two values at one time', gauge('hostile_values', point([3, twice]), point([3, twice], [4, 2]))],
    ['two kinds', [gauge('hostile_kind', point()), counter('hostile_kind', point()), histogram('hostile_kind')]],
    ['a temporality of 77', metric(7, 'hostile_sum', [point()], [2, 77n], [3, 1n])],
    ['a counter below 0', counter('hostile_sum', point([4, -5]))],
    ['fewer counts than bounds', buckets([1n], [1, 2, 3])],
    ['more counts than bounds', buckets([1n, 2n, 3n, 4n], [1])],
    ['bounds without order', buckets([1n, 2n, 3n, 4n], [3, 1, 2])],
    ['bounds of NaN', buckets([1n, 2n, 3n], [NaN, -Infinity])],
    ['negative counts', buckets([-1n, -2n], [1], [4, ns(-1n)])],
    ['an exemplar with wrong ids', exemplar([4, Buffer.alloc(8)], [5, Buffer.alloc(16)])],
    ['an exemplar of 1 kB', exemplar([4, Buffer.alloc(8, 1)], [5, Buffer.alloc(16, 1)], [7, pair('l', 'x'.repeat(1000))])],
    ['an exemplar that is not UTF-8', exemplar([7, pair(NOT_UTF8, text(NOT_UTF8))])],
    ['an exemplar far ahead', exemplar([2, at(1000n * HOUR)], [3, NaN])],
    ['an exemplar of 100,000 lists', exemplar([7, pair('d', nested(100_000, 'lists'))])],
    ['a scale of 1,000', exponential('hostile_exponential', 1000, 0, 1n)],
    ['a scale of -2³¹', exponential('hostile_exponential', -(2 ** 31), 2 ** 31 - 1, 1n)],
    ['an offset of 2³¹', exponential('hostile_exponential', 3, 2 ** 31 - 1, 1n, 1n)],
    ['counts that are not the sum', exponential('hostile_exponential', 3, 0, 7n, 0n, 0n, 0n, 7n)],
    ['negative counts in buckets', exponential('hostile_exponential', 3, 0, -1n, -1n)],
    ['50,000 buckets', exponential('hostile_exponential', 3, 0, ...Array(50_000).fill(1n))],
    ['quantiles of NaN', metric(11, 'hostile_summary', [message([3, at()], [6, message([1, NaN])], [6, message([1, NaN])])])],
  ],
};

import http from 'k6/http';
import exec from 'k6/execution';

// Pushes one signal to a collector over OTLP/HTTP, each client with its next push as soon as it is answered.

const { URL, SIGNAL, SERVICE, SECONDS, CLIENTS } = __ENV;
const SIZE = 200;

export const options = {
  scenarios: { push: { executor: 'constant-vus', vus: Number(CLIENTS), duration: `${SECONDS}s` } },
  discardResponseBodies: true,
};

const text = (key, stringValue) => ({ key, value: { stringValue } });
const resource = {
  attributes: [text('service.name', SERVICE), text('service.namespace', 'bench')],
};
const digits = (number, length) => number.toString(16).padStart(length, '0');

/** As the books service makes them: the same attributes, a body of usual length. */
const RECORD = {
  logs: (time, number) => ({
    timeUnixNano: time,
    severityNumber: 9,
    severityText: 'info',
    body: { stringValue: `GET /books/find/${number} 200` },
    traceId: digits(number, 32),
    spanId: digits(number, 16),
    attributes: [
      text('http.request.method', 'GET'),
      text('http.route', '/books/find/:id'),
      text('url.path', `/books/find/${number}`),
      { key: 'http.response.status_code', value: { intValue: '200' } },
      { key: 'duration_ms', value: { doubleValue: 3.5 } },
    ],
  }),
  // four spans a trace
  traces: (time, number) => ({
    traceId: digits(1 + Math.floor(number / 4), 32),
    spanId: digits(number + 1, 16),
    parentSpanId: number % 4 ? digits(number, 16) : '',
    name: [
      'GET /books/find/:id',
      'BooksController.findOne',
      'BooksService.findOne',
      'pg.query:SELECT books',
    ][number % 4],
    kind: [2, 1, 1, 3][number % 4],
    startTimeUnixNano: time,
    endTimeUnixNano: String(BigInt(time) + 3500000n),
    attributes: [
      text('http.request.method', 'GET'),
      text('http.route', '/books/find/:id'),
      text('url.path', `/books/find/${number}`),
      { key: 'http.response.status_code', value: { intValue: '200' } },
      text('db.namespace', 'books'),
    ],
  }),
  // one point for each of 200 series
  metrics: (time, number) => ({
    name: `bench_requests_${number % SIZE}`,
    sum: {
      aggregationTemporality: 2,
      isMonotonic: true,
      dataPoints: [
        {
          timeUnixNano: time,
          asDouble: number,
          attributes: [text('client', String(exec.vu.idInTest))],
        },
      ],
    },
  }),
};
const WRAP = {
  logs: (records) => ({ resourceLogs: [{ resource, scopeLogs: [{ logRecords: records }] }] }),
  traces: (records) => ({ resourceSpans: [{ resource, scopeSpans: [{ spans: records }] }] }),
  metrics: (records) => ({ resourceMetrics: [{ resource, scopeMetrics: [{ metrics: records }] }] }),
};

export default function () {
  const first = (exec.vu.idInTest * 100000 + exec.vu.iterationInScenario) * SIZE;
  const now = `${Date.now()}000000`;
  const records = Array.from({ length: SIZE }, (_, i) => RECORD[SIGNAL](now, first + i));
  const body = JSON.stringify(WRAP[SIGNAL](records));
  http.post(`${URL}/v1/${SIGNAL}`, body, { headers: { 'content-type': 'application/json' } });
}

export function handleSummary({ metrics }) {
  const { passes, fails } = metrics.http_req_failed.values;
  return { stdout: JSON.stringify({ acknowledged: fails * SIZE, refused: passes * SIZE }) };
}

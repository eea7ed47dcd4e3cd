import http from 'k6/http';

// Visitors of the books API: mostly readers, some writers, some mistakes. One request per iteration,
// so that the rate is the number of requests per second.

const BOOKS = __ENV.BOOKS_URL || 'http://localhost:5555';
const RATE = Number(__ENV.LOAD_RATE || '20');
const DURATION = __ENV.LOAD_DURATION || '1m';

export const options = {
  scenarios: {
    visitors: {
      executor: 'constant-arrival-rate', // a slow answer does not slow the visitors down
      rate: RATE,
      duration: DURATION,
      preAllocatedVUs: Math.ceil(RATE / 4), // enough for answers that take 250 ms …
      maxVUs: RATE, // … and for 1 s; beyond that k6 counts iterations as dropped
    },
  },
  // The labels of each metric. Not `url`: each id would be a new series.
  systemTags: ['name', 'method', 'status', 'error_code'],
  thresholds: { http_req_failed: ['rate<0.01'] }, // otherwise k6 ends with code 99
  summaryTrendStats: ['avg', 'p(50)', 'p(95)', 'p(99)', 'max'],
};

/** How often each kind of request is made, of 100. */
const MIX = [
  [40, readOne],
  [25, list],
  [15, write],
  [10, update],
  [5, miss],
  [5, makeMistake],
];

/** The ids of the books that this virtual user has written and not removed. */
const mine = [];
const KEEP = 5;

export default function () {
  let rest = Math.random() * 100;
  const [, visit] = MIX.find(([share]) => (rest -= share) < 0);
  visit();
}

function readOne() {
  if (mine.length === 0) write();
  else request('GET', '/books/find/:id', 200, { id: any(mine) });
}

function list() {
  request('GET', '/books/find', 200, { query: '?limit=20' });
}

/** Writes a book; removes the oldest instead when there are enough, so that the table does not grow. */
function write() {
  if (mine.length >= KEEP) {
    request('DELETE', '/books/remove/:id', 204, { id: mine.shift() });
    return;
  }
  const author = any(['Ursula K. Le Guin', 'Stanisław Lem', 'Octavia Butler']);
  const body = { title: `Volume ${Math.ceil(Math.random() * 1000)}`, author };
  const created = request('POST', '/books/create', 201, { body });
  if (created.status === 201) mine.push(created.json('id'));
}

function update() {
  if (mine.length === 0) write();
  else
    request('PATCH', '/books/update/:id', 200, {
      id: any(mine),
      body: { title: 'Second edition' },
    });
}

function miss() {
  request('GET', '/books/find/:id', 404, { id: 2147483647 });
}

function makeMistake() {
  if (Math.random() < 0.5)
    request('POST', '/books/create', 400, { body: { title: 7 } });
  else request('GET', '/books/find', 400, { query: '?limit=0' });
}

/** Any answer other than `status` counts as failed. */
function request(method, route, status, { id, query = '', body }) {
  const url = BOOKS + route.replace(':id', id) + query;
  return http.request(method, url, body && JSON.stringify(body), {
    headers: body && { 'content-type': 'application/json' },
    tags: { name: route }, // the label of the metrics, as the service's own http_route
    responseCallback: http.expectedStatuses(status),
    timeout: '10s',
  });
}

const any = (list) => list[Math.floor(Math.random() * list.length)];

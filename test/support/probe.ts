import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

// A worker: a well-meaning client of the books service, in a thread of its own, so that what it measures
// is not the load of whoever started it. Each message from outside is answered with what was seen since
// the last one.

/** What one period of well-meant requests has seen. */
export interface ProbeReport {
  /** How long each answer took from the moment at which its request was due, in milliseconds. */
  durations: number[];
  /** What was not as it should be, a sentence each. */
  wrong: string[];
}

const { url, everyMs } = workerData as { url: string; everyMs: number };
const agent = new Agent({ keepAlive: true });
let report: ProbeReport = { durations: [], wrong: [] };

const { id } = JSON.parse((await ask('POST', '/books/create', 201)).body) as { id: number };
/** Each with its right answer: the status, and a part of the body. */
const REQUESTS: [method: string, path: string, status: number, part: string][] = [
  ['GET', `/books/find/${id}`, 200, `{"id":${id},"title":"Momo"`],
  ['GET', '/books/find?limit=1', 200, '"nextCursor":'],
  ['PATCH', `/books/update/${id}`, 200, `{"id":${id},"title":"Momo"`],
  ['GET', '/books/find/2147483647', 404, '"detail":"Book 2147483647 not found"'],
  ['POST', '/books/create', 201, '"title":"Momo"'],
];

parentPort!.on('message', () => {
  parentPort!.postMessage(report);
  report = { durations: [], wrong: [] };
});

const start = performance.now();
for (let i = 0; ; i++) {
  const due = start + i * everyMs;
  await sleep(Math.max(0, due - performance.now()));
  void once(REQUESTS[i % REQUESTS.length]!, due);
}

/** Sends one when it is due, without waiting for those before it: a slow answer holds up no other. */
async function once([method, path, status, part]: (typeof REQUESTS)[number], due: number) {
  try {
    const { body } = await ask(method, path, status);
    report.durations.push(performance.now() - due);
    if (!body.includes(part)) report.wrong.push(`${method} ${path}: ${body}`);
  } catch (error) {
    report.wrong.push(`${method} ${path}: ${String(error)}`);
  }
}

function ask(method: string, path: string, status: number): Promise<{ body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ body: string }>();
  const headers = { 'Content-Type': 'application/json' };
  const sent = request(url + path, { method, agent, headers, timeout: 10_000 }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (text: string) => (body += text));
    response.on('end', () =>
      response.statusCode === status
        ? resolve({ body })
        : reject(new Error(`${response.statusCode} ${body}`)),
    );
    response.on('error', reject);
  });
  sent.on('timeout', () => sent.destroy(new Error('no answer for 10 s')));
  sent.on('error', (error: NodeJS.ErrnoException) => {
    // The service has just closed the connection, because it was not used for some seconds.
    if (sent.reusedSocket && error.code === 'ECONNRESET') resolve(ask(method, path, status));
    else reject(error);
  });
  sent.end(method === 'GET' ? '' : '{"title":"Momo","author":"Michael Ende"}');
  return promise;
}

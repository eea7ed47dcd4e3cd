import http from 'k6/http';
import { Trend } from 'k6/metrics';

// One kind of request to the books service: at a fixed rate, or as fast as a few clients get answers.

const { URL, KIND, RATE, SECONDS, CLIENTS } = __ENV;
const body = JSON.stringify({ title: 'The Left Hand of Darkness', author: 'Ursula K. Le Guin' });
const params = { headers: { 'content-type': 'application/json' } };
const duration = `${SECONDS}s`;

export const options = {
  scenarios: {
    measured: Number(RATE)
      ? {
          executor: 'constant-arrival-rate',
          rate: Number(RATE),
          duration,
          preAllocatedVUs: 20,
          maxVUs: 100,
        }
      : { executor: 'constant-vus', vus: Number(CLIENTS), duration },
  },
  discardResponseBodies: true,
  summaryTrendStats: ['p(50)', 'p(99)'],
  thresholds: { http_req_failed: ['rate==0'] },
};

const taken = new Trend('taken', true);

export function setup() {
  const { body: created } = http.post(`${URL}/books/create`, body, {
    ...params,
    responseType: 'text',
  });
  return JSON.parse(created).id;
}

export default function (id) {
  const { timings } =
    KIND === 'create'
      ? http.post(`${URL}/books/create`, body, params)
      : http.get(`${URL}/books/find/${id}`, { tags: { name: 'find' } });
  taken.add(timings.duration);
}

/** On standard output, for the program that started this. */
export function handleSummary({ metrics }) {
  const { values } = metrics.taken;
  return {
    stdout: JSON.stringify({
      requests: metrics.iterations.values.count,
      rate: metrics.iterations.values.rate,
      p50: values['p(50)'],
      p99: values['p(99)'],
      failed: metrics.http_req_failed.values.passes,
    }),
  };
}

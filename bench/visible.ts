import { poll } from '../cli/checks.ts';
import { NativeStack } from '../test/support/native-stack.ts';
import type { TestedStores } from '../test/support/stores.ts';
import { Visitors } from '../test/support/visitors.ts';
import type { Bench } from './bench.ts';
import { quantile, table } from './statistics.ts';

const SPANS =
  'traces_spanmetrics_calls_total{service_name="backend-example", span_name="POST /books/create", span_kind="SPAN_KIND_SERVER"}';

/** What one looks for after a request, and how one knows that it is there. `before`: books counted until then. */
const SIGHTS: Record<
  string,
  (stores: TestedStores, traceId: string, before: number) => Promise<unknown>
> = {
  'log line, by trace id': async (stores, traceId) =>
    (await stores.queryLogs(`{service_name="backend-example"} | trace_id="${traceId}"`)).length > 0,
  'trace, by id': async (stores, traceId) => (await stores.queryTrace(traceId)).length > 0,
  'trace, by search': async (stores, traceId) =>
    (
      await stores.search(
        '{ resource.service.name = "backend-example" && name = "POST /books/create" } with (most_recent=true)',
      )
    ).some(({ id }) => id === traceId),
  'counter of the service': async (stores, _, before) =>
    ((await stores.queryNumber('sum(books_created_total)')) ?? 0) > before,
  'counter made of spans': async (stores, _, before) =>
    ((await stores.queryNumber(`sum(${SPANS})`)) ?? 0) > before,
};

/** Milliseconds from the answer to a request until it is seen, per sight. */
export type Delays = Map<string, number[]>;

/**
 * Sends `requests` requests, one after the other, and measures when each is visible where.
 * @param deadlineMs after so long it is an error
 */
export async function measureDelays(
  stores: TestedStores,
  requests: number,
  progress: (what: string) => void,
  deadlineMs = 60_000,
): Promise<Delays> {
  const delays: Delays = new Map(Object.keys(SIGHTS).map((sight) => [sight, []]));
  for (let i = 1; i <= requests; i++) {
    progress(`request ${i} of ${requests}`);
    const before = Math.max(
      (await stores.queryNumber('sum(books_created_total)')) ?? 0,
      (await stores.queryNumber(`sum(${SPANS})`)) ?? 0,
    );
    const response = await fetch(`${stores.books}/books/create`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ title: 'Kindred', author: 'Octavia E. Butler' }),
    });
    const answered = performance.now();
    const traceId = response.headers.get('x-trace-id')!;
    const look = async ([sight, isThere]: [string, (typeof SIGHTS)[string]]) => {
      if (!(await poll(() => isThere(stores, traceId, before), deadlineMs, 50)))
        throw new Error(`${sight}: not visible after ${deadlineMs / 1000} s`);
      delays.get(sight)!.push(performance.now() - answered);
    };
    await Promise.all(Object.entries(SIGHTS).map(look));
  }
  return delays;
}

/** From an answered request until it can be seen in each store, and until an alert reaches Alertmanager. */
export const visible: Bench = {
  title: 'How long until a request is visible',
  async run({ rounds, progress }) {
    const stack = await NativeStack.create();
    await stack.start();
    const traffic = new Visitors(`${stack.stores.books}/books/find?limit=5`, 5);
    try {
      const delays = await measureDelays(stack.stores, rounds * 6, progress);
      const alerts: number[] = [];
      for (let i = 0; i < rounds; i++) {
        progress(`alert ${i + 1} of ${rounds}`);
        alerts.push(await alertDelay(stack.stores, i));
      }
      delays.set('alert in Alertmanager (a rule of Mimir, evaluated every 5 s)', alerts);
      const rows = [...delays].map(([sight, found]) => [
        sight,
        String(found.length),
        ...[0.5, 0.95].map((q) => (quantile(found, q) / 1000).toFixed(1)),
      ]);
      const remark = stack.hasTempo() ? '' : ' There was no Tempo: traces are in its stand-in.';
      return [
        `At 5 requests per second, asked every 50 ms.${remark}`,
        table(['what', 'requests', 'p50, s', 'p95, s'], rows),
      ].join('\n\n');
    } finally {
      await traffic.stop();
      await stack.stop();
    }
  },
};

/** From a metric in the collector to the alert on it: with the rule that the doctor uses. */
async function alertDelay(stores: TestedStores, slot: number): Promise<number> {
  const number = Math.floor(Math.random() * 1e9);
  const point = {
    timeUnixNano: `${Date.now()}000000`,
    asInt: String(number),
    attributes: [{ key: 'slot', value: { stringValue: `bench-${slot}` } }],
  };
  const began = performance.now();
  await stores.sendOtlp('metrics', 'bench', [
    { name: 'doctor_canary', gauge: { dataPoints: [point] } },
  ]);
  const isThere = async () =>
    (await stores.queryAlerts('DoctorCanary')).some(
      ({ annotations }) => Number(annotations.canary) === number,
    );
  if (!(await poll(isThere, 60_000, 50))) throw new Error('no alert after 60 s');
  return performance.now() - began;
}

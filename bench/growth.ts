import { readFileSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../cli/paths.ts';
import { Visitors } from '../test/support/visitors.ts';
import { NativeStack } from '../test/support/native-stack.ts';
import type { Bench } from './bench.ts';
import { runK6 } from './k6.ts';
import { quantile, table } from './statistics.ts';
import { measureDelays } from './visible.ts';

const LOADS = [20, 80, 320];
/** Records of each signal that are stored before the dashboards are asked. */
const STORED = [10_000, 100_000, 1_000_000];
const RANGES = { '1 h': 3600, '24 h': 86_400, '7 d': 604_800 };

/** What changes as load and data grow: the way of a request, and the questions of the dashboards. */
export const growth: Bench = {
  title: 'What changes when it grows',
  async run({ rounds, progress }) {
    const stack = await NativeStack.create();
    await stack.start();
    try {
      const delays: string[][] = [];
      for (const load of LOADS) {
        const traffic = new Visitors(`${stack.stores.books}/books/find?limit=5`, load);
        const found = await measureDelays(stack.stores, rounds * 2, (what) =>
          progress(`${load} requests/s: ${what}`),
        );
        await traffic.stop();
        for (const [sight, ms] of found)
          delays.push([
            `${load} requests/s: ${sight}`,
            ...[0.5, 0.95].map((q) => (quantile(ms, q) / 1000).toFixed(1)),
          ]);
      }
      const questions: string[][] = [];
      let stored = 0;
      for (const records of STORED) {
        progress(`storing ${records} records`);
        while (stored < records) stored += await push(stack, stored);
        for (const [range, seconds] of Object.entries(RANGES)) {
          progress(`${records} records, the last ${range}`);
          const ms = await askDashboards(stack, seconds, rounds);
          questions.push([
            `${records.toLocaleString('en-US')} spans and lines, the last ${range}`,
            ...[0.5, 0.95, 1].map((q) => quantile(ms, q).toFixed(0)),
          ]);
        }
      }
      return [
        'Until a request is visible, by the load beside it:',
        table(['', 'p50, s', 'p95, s'], delays),
        'The questions of all panels, each asked as Grafana would, one after the other:',
        table(['', 'p50, ms', 'p95, ms', 'slowest, ms'], questions),
      ].join('\n\n');
    } finally {
      await stack.stop();
    }
  },
};

/** Two seconds of spans, and as many of lines; answers how many of each at least. */
async function push(stack: NativeStack, run: number): Promise<number> {
  const of = (signal: string) =>
    runK6<{ acknowledged: number }>(stack.context, 'pipeline.js', {
      URL: `http://127.0.0.1:${stack.ports()['otel-collector:4318']}`,
      SIGNAL: signal,
      SERVICE: `bench-${run}`,
      SECONDS: 5,
      CLIENTS: 4,
    });
  const [spans, lines] = [await of('traces'), await of('logs')];
  return Math.min(spans.acknowledged, lines.acknowledged);
}

/** What one panel asks. */
interface Target {
  expr?: string;
  datasource?: { uid?: string };
}

/** Milliseconds that each question of the dashboards takes over a range that ends now. */
async function askDashboards(
  stack: NativeStack,
  seconds: number,
  rounds: number,
): Promise<number[]> {
  const files = globSync('grafana/dashboards/*.json', { cwd: ROOT });
  const targets = files.flatMap((file) => find(JSON.parse(readFileSync(join(ROOT, file), 'utf8'))));
  const ms: number[] = [];
  for (let round = 0; round < rounds; round++)
    for (const { expr, datasource } of targets) {
      const query = expr!
        .replaceAll('$__rate_interval', '1m')
        .replaceAll('$__range', `${seconds}s`)
        .replaceAll(/\$\{?__(auto|interval)\}?/g, '1m')
        .replaceAll(/\$\{?\w+\}?/g, '.*');
      const url = new URL(
        datasource?.uid === 'loki'
          ? `${stack.stores.loki}/loki/api/v1/query_range`
          : `${stack.stores.mimir}/prometheus/api/v1/query_range`,
      );
      const now = Math.floor(Date.now() / 1000);
      for (const [key, value] of Object.entries({
        query,
        start: now - seconds,
        end: now,
        step: Math.max(15, Math.round(seconds / 1000)),
      }))
        url.searchParams.set(key, String(value));
      const began = performance.now();
      const response = await fetch(url);
      const text = await response.text();
      if (!response.ok) throw new Error(`${url.href} answered ${response.status} ${text}`);
      ms.push(performance.now() - began);
    }
  return ms;
}

/** Every question in LogQL or PromQL of a dashboard, wherever it stands. */
function find(value: unknown): Target[] {
  if (Array.isArray(value)) return value.flatMap(find);
  if (Object(value) !== value) return [];
  const target = value as Target;
  return typeof target.expr === 'string' && ['loki', 'mimir'].includes(target.datasource?.uid ?? '')
    ? [target]
    : Object.values(target).flatMap(find);
}

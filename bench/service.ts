import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { databaseUrl } from '../cli/components/postgres.ts';
import { baseEnvironment } from '../cli/native/process.ts';
import { notReady, poll } from '../cli/checks.ts';
import { ROOT } from '../cli/paths.ts';
import { NativeStack, freePorts } from '../test/support/native-stack.ts';
import { median, spread, table } from './statistics.ts';
import type { Bench } from './bench.ts';
import { counted } from './collector.ts';
import { cpuSeconds } from './cpu.ts';
import { runK6 } from './k6.ts';

/** What is compared: the same build of the service, started with other variables. */
const VARIANTS: Record<string, { args?: string[]; env?: NodeJS.ProcessEnv }> = {
  bare: { args: ['--require', join(ROOT, 'bench/bare.cjs')] },
  'SDK off': { env: { OTEL_SDK_DISABLED: 'true' } },
  'traces only': { env: { OTEL_LOGS_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' } },
  'logs only': { env: { OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' } },
  'metrics only': { env: { OTEL_TRACES_EXPORTER: 'none', OTEL_LOGS_EXPORTER: 'none' } },
  all: {},
  'all, 10 % of the traces': {
    env: { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' },
  },
};

const KINDS = { find: 'GET /books/find/:id', create: 'POST /books/create' };
/** Before this process is bound to some of them. */
const PROCESSORS = availableParallelism();
const RATE = 300;
const CLIENTS = 8;

const LOADS: Record<string, Record<string, number>> = { fixed: { RATE }, saturated: { CLIENTS } };

/** What one load on one variant showed. */
interface Figures {
  /** CPU time of the whole process per request, µs. */
  cpu: number;
  /** Requests per second. */
  rate: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  /** Arrived at the collector, per request. */
  spans: number;
  lines: number;
}

/**
 * The service with and without its telemetry, at a fixed rate and as fast as it can. The variants take
 * turns, each round with a new process that was warmed up; where the system can, the service has one
 * processor for itself and everything else the other ones.
 */
export const service: Bench = {
  title: 'What telemetry costs the service',
  async run({ rounds, seconds, progress, variants }) {
    const names = Object.keys(VARIANTS).filter((name) => !variants || variants.includes(name));
    const rest = pinned('rest', process.pid);
    const stack = await NativeStack.create();
    await stack.start();
    try {
      const found = new Map<string, Figures[]>();
      for (let round = 1; round <= rounds; round++)
        for (const name of names) {
          progress(`round ${round} of ${rounds}: ${name}`);
          for (const [key, figures] of await measure(stack, name, seconds))
            found.set(key, [...(found.get(key) ?? []), figures]);
        }
      return report(names, found, rounds, seconds, rest);
    } finally {
      await stack.stop();
    }
  },
};

type Load = Record<'requests' | 'rate' | 'p50' | 'p99' | 'failed', number>;

/** Each kind of request, at the fixed rate and saturated, on a new process of one variant. */
async function measure(stack: NativeStack, name: string, seconds: number) {
  const { args = [], env = {} } = VARIANTS[name]!;
  const { BOOKS_PORT, LOKI_PORT } = await freePorts();
  const url = `http://127.0.0.1:${BOOKS_PORT}`;
  const metrics = `http://127.0.0.1:${LOKI_PORT}/metrics`;
  const ports = stack.ports();
  const child = spawn(process.execPath, [...args, 'dist/main.js'], {
    cwd: join(ROOT, 'backend-example'),
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...baseEnvironment(process.env),
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: BOOKS_PORT,
      DATABASE_URL: databaseUrl(ports['postgres:5432']!),
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${ports['otel-collector:4318']}`,
      OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
      OTEL_EXPORTER_PROMETHEUS_PORT: LOKI_PORT,
      ...env,
    },
  });
  pinned('service', child.pid!);
  const accepted = () => counted(ports['otel-collector:8888']!, 'receiver_accepted');
  // As the collector scrapes it. The variants without metrics do not answer.
  const scrapes = setInterval(() => {
    fetch(metrics)
      .then((response) => response.arrayBuffer())
      .catch(() => undefined);
  }, 2000);
  try {
    await poll(async () => !(await notReady({ url: `${url}/health/ready` })), 20_000);
    const figures = new Map<string, Figures>();
    for (const kind of Object.keys(KINDS)) {
      const put = (load: Record<string, number>) =>
        runK6<Load>(stack.context, 'service.js', { URL: url, KIND: kind, ...load });
      await put({ CLIENTS, SECONDS: Math.min(4, seconds) }); // compiled and warm
      for (const [mode, how] of Object.entries(LOADS)) {
        const cpuBefore = cpuSeconds(child.pid!);
        const before = await accepted();
        const load = { ...how, SECONDS: seconds };
        const { requests, rate, p50, p99, failed } = await put(load);
        if (failed > 0) throw new Error(`${name}: ${failed} of ${requests} requests failed`);
        const cpu = cpuSeconds(child.pid!) - cpuBefore;
        await sleep(1500); // longer than the exporters wait for a batch
        const after = await accepted();
        figures.set([name, kind, mode].join('/'), {
          cpu: (cpu / requests) * 1e6,
          rate,
          p50,
          p99,
          spans: (after.spans - before.spans) / requests,
          lines: (after.lines - before.lines) / requests,
        });
      }
    }
    return figures;
  } finally {
    clearInterval(scrapes);
    child.kill();
    await once(child, 'exit');
  }
}

/** Binds a process, and what it starts, to the first processor or to the others; false where that cannot be done. */
function pinned(what: 'service' | 'rest', pid: number): boolean {
  const cpus = what === 'service' ? '0' : `1-${PROCESSORS - 1}`;
  if (PROCESSORS < 2) return false;
  return spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cpus, `${pid}`]).status === 0;
}

function report(
  names: string[],
  found: Map<string, Figures[]>,
  rounds: number,
  seconds: number,
  pinned: boolean,
): string {
  const of = (name: string, kind: string, mode: string, key: keyof Figures) =>
    found.get([name, kind, mode].join('/'))!.map((figures) => figures[key]);
  const rows = (kind: string) =>
    names.map((name) => {
      const cpu = of(name, kind, 'fixed', 'cpu');
      const against = (
        mode: string,
        key: keyof Figures,
        combine: (a: number, b: number) => number,
      ) =>
        of(name, kind, mode, key).map((value, i) =>
          combine(value, of(names[0]!, kind, mode, key)[i]!),
        );
      return [
        name,
        spread(cpu),
        spread(against('fixed', 'cpu', (a, b) => a - b)),
        spread(of(name, kind, 'saturated', 'rate')),
        spread(
          against('saturated', 'rate', (a, b) => a / b),
          2,
        ),
        spread(of(name, kind, 'saturated', 'p50'), 1),
        spread(of(name, kind, 'saturated', 'p99'), 1),
        median(of(name, kind, 'fixed', 'spans')).toFixed(1),
        median(of(name, kind, 'fixed', 'lines')).toFixed(1),
      ];
    });
  const head = [
    'variant',
    'CPU per request, µs',
    `more than ${names[0]}`,
    'requests/s, saturated',
    `of ${names[0]}`,
    'p50, ms',
    'p99, ms',
    'spans arrived',
    'lines arrived',
  ];
  return [
    `Median (smallest–largest) of ${rounds} rounds of ${seconds} s. CPU: of the whole process, at ${RATE} requests/s. Saturated: ${CLIENTS} clients, each with its next request as soon as it is answered.${pinned ? ' The service has one processor for itself.' : ''} Arrived: at the collector, per request.`,
    ...Object.entries(KINDS).flatMap(([kind, title]) => [`\`${title}\``, table(head, rows(kind))]),
  ].join('\n\n');
}

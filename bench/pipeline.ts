import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { poll } from '../cli/checks.ts';
import { component, programOf } from '../cli/components/index.ts';
import { nativeConfig } from '../cli/native/config.ts';
import { ManagedProcess, baseEnvironment } from '../cli/native/process.ts';
import { obtainProgram } from '../cli/native/programs.ts';
import { ROOT } from '../cli/paths.ts';
import { NativeStack, freePorts } from '../test/support/native-stack.ts';
import type { Bench } from './bench.ts';
import { counted } from './collector.ts';
import { cpuSeconds } from './cpu.ts';
import { runK6 } from './k6.ts';
import { spread, table } from './statistics.ts';

/** Config files given to a collector in turn; without any, the stack's own collector. */
const VARIANTS: Record<string, string[]> = {
  'this stack': [],
  defaults: ['collector-defaults.yaml'],
  'defaults, span metrics': ['collector-defaults.yaml', 'collector-span-metrics.yaml'],
};

/** The exporter to the store: metrics pass another one, into their queue, before it. */
const STORE = { logs: '', traces: '', metrics: 'prometheus_remote_write' };
const SIGNALS = { logs: 'lines', traces: 'spans', metrics: 'points' } as const;
type Signal = keyof typeof SIGNALS;
const CLIENTS = 4;

interface Figures {
  /** Stored per second, counted until the last one has left the collector. */
  rate: number;
  /** CPU of collector and stores per record, µs. */
  cpu: number;
  /** Acknowledged, but not sent to a store. */
  lost: number;
  /** Answered with an error, of a hundred. */
  refused: number;
}

interface Collector {
  url: string;
  pid: number;
  /** The port of its own metrics. */
  metrics: number;
  stop: () => Promise<void>;
}

/**
 * How much goes through collector and stores when clients push as fast as they are answered: through this
 * stack's collector and through one with default settings, to the same Loki, Tempo and Mimir, in turn.
 */
export const pipeline: Bench = {
  title: 'How much the pipeline takes',
  async run({ rounds, seconds, progress }) {
    const stack = await NativeStack.create();
    await stack.start();
    try {
      const found = new Map<string, Figures[]>();
      for (let round = 1; round <= rounds; round++)
        for (const [name, files] of Object.entries(VARIANTS)) {
          const collector = await startCollector(stack, files);
          try {
            for (const signal of Object.keys(SIGNALS) as Signal[]) {
              progress(`round ${round} of ${rounds}: ${name}, ${signal}`);
              const key = `${name}/${signal}`;
              const figures = await measure(stack, collector, signal, seconds);
              found.set(key, [...(found.get(key) ?? []), figures]);
            }
          } finally {
            await collector.stop();
          }
        }
      return report(found, rounds, seconds, stack.hasTempo());
    } finally {
      await stack.stop();
    }
  },
};

/** The stack's own, or another one beside it that sends to the same stores. */
async function startCollector(stack: NativeStack, files: string[]): Promise<Collector> {
  const ports = stack.ports();
  const pidOf = (name: string) => stack.record().components.find((part) => part.name === name)!.pid;
  if (files.length === 0)
    return {
      url: `http://127.0.0.1:${ports['otel-collector:4318']}`,
      pid: pidOf('otel-collector'),
      metrics: ports['otel-collector:8888']!,
      stop: async () => {},
    };
  const free = await freePorts();
  const own: Record<number, number> = {
    4318: Number(free.BOOKS_PORT),
    13133: Number(free.LOKI_PORT),
    8888: Number(free.TEMPO_PORT),
  };
  const folder = join(stack.folder, 'bench');
  mkdirSync(folder, { recursive: true });
  const port = (name: string, inside: number) =>
    name === 'otel-collector' ? own[inside] : ports[`${name}:${inside}`];
  for (const file of files) {
    const text = readFileSync(join(ROOT, 'bench', file), 'utf8');
    writeFileSync(join(folder, file), nativeConfig(text, 'otel-collector', {}, port));
  }
  const { settings } = stack.context;
  const program = programOf(component('otel-collector'), settings)!;
  const { file } = await obtainProgram(stack.context, program);
  const reader = `{host: localhost, port: ${own[8888]}}`;
  const configs = [
    ...files.map((name) => join(folder, name)),
    `yaml:service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: ${reader}}}}]`,
  ];
  const started = new ManagedProcess(
    'collector',
    {
      file,
      args: configs.flatMap((config) => ['--config', config]),
      env: baseEnvironment(process.env),
    },
    join(folder, 'collector.log'),
  );
  const url = `http://127.0.0.1:${own[13133]}`;
  await started.waitUntilReady({ url }, 20_000, new AbortController().signal);
  return {
    url: `http://127.0.0.1:${own[4318]}`,
    pid: started.pid!,
    metrics: own[8888]!,
    stop: () => started.stop(),
  };
}

async function measure(
  stack: NativeStack,
  { url, pid, metrics }: Collector,
  signal: Signal,
  seconds: number,
): Promise<Figures> {
  const unit = SIGNALS[signal];
  const stores = stack
    .record()
    .components.filter(({ name }) => ['loki', 'tempo', 'mimir'].includes(name));
  const cpu = () => cpuSeconds(pid) + stores.reduce((sum, store) => sum + cpuSeconds(store.pid), 0);
  // What the metrics pipeline sends of other origin (scrapes, span metrics) is counted as what it is: noise.
  const sent = async () => (await counted(metrics, 'exporter_sent', STORE[signal]))[unit];
  const [cpuBefore, sentBefore, began] = [cpu(), await sent(), performance.now()];
  const { acknowledged, refused } = await runK6<Record<'acknowledged' | 'refused', number>>(
    stack.context,
    'pipeline.js',
    { URL: url, SIGNAL: signal, SERVICE: 'bench', SECONDS: seconds, CLIENTS },
  );
  const isThrough = async () => (await sent()) - sentBefore >= acknowledged;
  await poll(isThrough, 120_000);
  const took = (performance.now() - began) / 1000;
  const stored = Math.min((await sent()) - sentBefore, acknowledged);
  await sleep(500);
  return {
    rate: stored / took,
    cpu: ((cpu() - cpuBefore) / stored) * 1e6,
    lost: acknowledged - stored,
    refused: (refused / (acknowledged + refused)) * 100,
  };
}

function report(
  found: Map<string, Figures[]>,
  rounds: number,
  seconds: number,
  hasTempo: boolean,
): string {
  const of = (name: string, signal: string, key: keyof Figures) =>
    found.get(`${name}/${signal}`)!.map((figures) => figures[key]);
  const rows = Object.entries(SIGNALS).flatMap(([signal, unit]) =>
    Object.keys(VARIANTS).map((name) => {
      const ratio = of(name, signal, 'rate').map(
        (rate, i) => rate / of('defaults', signal, 'rate')[i]!,
      );
      return [
        `${unit}, ${name}`,
        spread(of(name, signal, 'rate')),
        spread(ratio, 2),
        spread(of(name, signal, 'cpu')),
        spread(of(name, signal, 'lost')),
        spread(of(name, signal, 'refused'), 1),
      ];
    }),
  );
  return [
    `Median (smallest–largest) of ${rounds} rounds of ${seconds} s with ${CLIENTS} clients, which share the processors with all that is measured. Per second: until the last record has left the collector.${hasTempo ? '' : ' There was no Tempo: spans went to its stand-in, which keeps them in memory.'}`,
    table(
      [
        '',
        'per second',
        'of the defaults',
        'CPU of collector and stores, µs each',
        'acknowledged and lost',
        'refused, %',
      ],
      rows,
    ),
  ].join('\n\n');
}

import { existsSync, globSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { poll } from '../cli/checks.ts';
import { NativeStack } from '../test/support/native-stack.ts';
import { manyBooks } from '../test/support/signals.ts';
import { Visitors } from '../test/support/visitors.ts';
import type { Bench } from './bench.ts';
import { counted } from './collector.ts';
import { cpuSeconds, residentBytes } from './cpu.ts';
import { runK6 } from './k6.ts';
import { table } from './statistics.ts';

/** What the stack takes at one moment. */
interface Footprint {
  /** MB. */
  memory: Record<string, number>;
  disk: Record<string, number>;
  /** Series in Mimir, by the job that they come from. */
  series: Record<string, number>;
  /** CPU, ms per second, over the ten seconds before. */
  cpu: Record<string, number>;
}

/** Records per signal of the last step. */
const MANY = 1_000_000;

/** Memory, disk, CPU and series of each component: at rest, under the tutorial's load, after a million spans and lines. */
export const footprint: Bench = {
  title: 'Memory, disk and series',
  async run({ seconds, progress }) {
    const stack = await NativeStack.create();
    await stack.start();
    try {
      const found: Record<string, Footprint> = {};
      progress('at rest');
      await sleep(30_000);
      found['at rest'] = await look(stack);
      progress('under the load of the tutorial');
      await manyBooks(stack.stores, 20);
      const traffic = new Visitors(`${stack.stores.books}/books/find?limit=5`, 20);
      await sleep(seconds * 6000);
      found['20 requests/s'] = await look(stack);
      await traffic.stop();
      for (const signal of ['traces', 'logs'] as const) {
        progress(`a million ${signal}`);
        await push(stack, signal);
      }
      await sleep(20_000);
      found['after a million spans and lines'] = await look(stack);
      return report(found, stack.hasTempo());
    } finally {
      await stack.stop();
    }
  },
};

/** Pushes until a million records of a signal have gone through the collector. */
async function push(stack: NativeStack, signal: 'traces' | 'logs'): Promise<void> {
  const metrics = stack.ports()['otel-collector:8888']!;
  const unit = signal === 'traces' ? 'spans' : 'lines';
  const sent = async () => (await counted(metrics, 'exporter_sent'))[unit];
  const before = await sent();
  let acknowledged = 0;
  for (let run = 0; acknowledged < MANY; run++)
    acknowledged += (
      await runK6<{ acknowledged: number }>(stack.context, 'pipeline.js', {
        URL: `http://127.0.0.1:${stack.ports()['otel-collector:4318']}`,
        SIGNAL: signal,
        SERVICE: `bench-${run}`, // of its own: the same numbers again would be the same records
        SECONDS: 20,
        CLIENTS: 4,
      })
    ).acknowledged;
  await poll(async () => (await sent()) - before >= acknowledged, 120_000);
}

async function look(stack: NativeStack): Promise<Footprint> {
  const { components } = stack.record();
  const cpu = () => components.map(({ pid }) => cpuSeconds(pid));
  const before = cpu();
  await sleep(10_000);
  const used = cpu().map((after, i) => (after - before[i]!) * 100);
  const by = (value: (name: string, pid: number, i: number) => number) =>
    Object.fromEntries(components.map(({ name, pid }, i) => [name, value(name, pid, i)]));
  const series = await stack.stores.queryMetrics('count by (job) ({__name__=~".+"})');
  return {
    memory: by((_, pid) => residentBytes(pid) / 1e6),
    disk: by((name) => bytes(join(stack.folder, 'data', name)) / 1e6),
    cpu: by((_, __, i) => used[i]!),
    series: Object.fromEntries(series.map(({ labels, value }) => [labels.job ?? 'rules', value])),
  };
}

/** What the files below a folder hold. */
const bytes = (folder: string): number =>
  existsSync(folder)
    ? globSync('**/*', { cwd: folder })
        .map((file) => statSync(join(folder, file), { throwIfNoEntry: false }))
        .reduce((sum, file) => sum + (file?.isFile() ? file.blocks * 512 : 0), 0)
    : 0;

function report(found: Record<string, Footprint>, hasTempo: boolean): string {
  const moments = Object.keys(found);
  const tables = {
    'Memory, MB': 'memory',
    'Disk, MB': 'disk',
    'CPU, ms per second': 'cpu',
    'Series in Mimir, by job': 'series',
  } as const;
  return [
    hasTempo ? '' : 'There was no Tempo: the figures of `tempo` are those of its stand-in.',
    ...Object.entries(tables).flatMap(([title, key]) => {
      const names = [...new Set(moments.flatMap((moment) => Object.keys(found[moment]![key])))];
      const cell = (value = 0) => Math.round(value).toLocaleString('en-US');
      const sum = (moment: string) =>
        Object.values(found[moment]![key]).reduce((total, value) => total + value, 0);
      return [
        table(
          [title, ...moments],
          [
            ...names.map((name) => [name, ...moments.map((m) => cell(found[m]![key][name]))]),
            ['**together**', ...moments.map((m) => `**${cell(sum(m))}**`)],
          ],
        ),
      ];
    }),
  ]
    .filter(Boolean)
    .join('\n\n');
}

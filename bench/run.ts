import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { components } from '../cli/components/index.ts';
import { createContext } from '../cli/context.ts';
import { ROOT } from '../cli/paths.ts';
import { seconds as took } from '../cli/terminal.ts';
import type { Bench } from './bench.ts';
import { footprint } from './footprint.ts';
import { growth } from './growth.ts';
import { pipeline } from './pipeline.ts';
import { service } from './service.ts';
import { start } from './start.ts';
import { visible } from './visible.ts';

// `npm run bench`: measures, and writes the chapters that it measured into bench/RESULTS.md.
// `npm run bench -- service --rounds 3` measures one of them, more quickly.

const BENCHES: Record<string, Bench> = { service, visible, pipeline, start, footprint, growth };
const FILE = join(ROOT, 'bench/RESULTS.md');

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '10' },
    variants: { type: 'string' },
  },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !BENCHES[name]);
if (unknown.length > 0) {
  console.error(
    `There is no benchmark "${unknown.join('", "')}", but ${Object.keys(BENCHES).join(', ')}.`,
  );
  process.exit(2);
}

const context = createContext();
const PROCESSORS = availableParallelism(); // a benchmark may bind this process to some of them
for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHES)) {
  const { title, run } = BENCHES[name]!;
  const began = Date.now();
  const text = await run({
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    variants: values.variants?.split(','),
    progress: (what) => context.progress.update(name, what),
  });
  context.progress.clear();
  const command = [
    'npm run bench --',
    name,
    ...process.argv.slice(2).filter((arg) => arg.startsWith('-') || /^\d+$/.test(arg)),
  ].join(' ');
  const chapter = [`## ${title}`, about(command, Date.now() - began), text].join('\n\n');
  console.log(`\n${chapter}\n`);
  save(name, chapter);
}

/** Machine, versions, date, command: each chapter has its own, for they need not be of the same day. */
function about(command: string, ms: number): string {
  const machine = `${PROCESSORS} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()} ${release()}`;
  const versions = components.map((part) => `${part.title} ${part.version(context.settings)}`);
  const day = new Date().toISOString().slice(0, 10);
  return `\`${command}\` on ${day}, in ${took(ms)}. ${machine}; Node.js ${process.version}, ${versions.join(', ')}.`;
}

/** Replaces a chapter, or adds it at the end. */
function save(name: string, chapter: string): void {
  const [start, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const old = existsSync(FILE) ? readFileSync(FILE, 'utf8') : '# Results\n';
  const [before, after] = [old.indexOf(start), old.indexOf(end)];
  const text = `${start}\n\n${chapter}\n\n${end}`;
  const kept =
    before < 0
      ? [old.trimEnd() + '\n\n', '\n']
      : [old.slice(0, before), old.slice(after + end.length)];
  writeFileSync(FILE, kept.join(text));
}

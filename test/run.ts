import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { k6 } from '../cli/components/load-generator.ts';
import { components, programOf } from '../cli/components/index.ts';
import { createContext } from '../cli/context.ts';
import { obtainPrograms } from '../cli/native/programs.ts';
import { ROOT } from '../cli/paths.ts';
import { seconds } from '../cli/terminal.ts';
import { temporaryFolder } from './support/temporary-folder.ts';
import { tools } from './support/tools.ts';

// `npm test`, and with --all `npm run test:all`: every check, two side by side, and one line that counts
// them all. `npm test -- unit lint` runs only what has one of these words in its name.

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

interface Check {
  title: string;
  run: () => Promise<Count & { output: string }>;
}

/** How many run at the same time: more than half of them wait for something most of the time. */
const SIDE_BY_SIDE = 2;

const { values, positionals } = parseArgs({
  options: { all: { type: 'boolean' } },
  allowPositionals: true,
});
const results = temporaryFolder();
const context = createContext();
const began = performance.now();

const before = [command('build of the service', 'npm', 'run', 'build', '-w', 'backend-example')];
/** What only `npm run test:all` has, the longest first. */
const slow = [
  'alerts',
  'lessons',
  'containers',
  'faults',
  'doctor',
  'lifecycle',
  'clients',
  'limits',
  'hostile-otlp',
  'machine',
  'supervisor',
  'alertmanager',
  'tests',
].map((name) => nodeTests(`${name}`, `test/{slow,containers}/${name}.test.ts`));
/** The last, with nothing beside them: they measure how fast the service answers. */
const alone = [nodeTests('hostile-http', 'test/slow/hostile-http.test.ts')];
const always = [
  nodeTests('one start of the stack', 'test/stack/*.test.ts'),
  jest('service: end-to-end, telemetry', 'test/jest-e2e.js'),
  jest('service: unit'),
  nodeTests('unit', 'test/unit/*.test.ts'),
  nodeTests('configs, rules, dashboards, pages', 'test/config/*.test.ts'),
  command('lint', 'npm', 'run', 'lint'),
  command('types', 'npm', 'run', 'typecheck'),
];

const isWanted = ({ title }: Check) =>
  positionals.length === 0 || positionals.some((word) => title.includes(word));
await obtainEverything();
const counts: Count[] = [];
await runAll(before);
await runAll([...(values.all ? slow : []), ...always].filter(isWanted));
if (values.all) await runAll(alone.filter(isWanted), 1);
const sum = (key: keyof Count) => counts.reduce((total, count) => total + count[key], 0);
console.log(
  `\nIn ${seconds(performance.now() - began)}:\n${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`,
);
process.exitCode = sum('failed') > 0 ? 1 : 0;

/** The programs of all components and tools: now, with progress shown, and not in the middle of a test. */
async function obtainEverything(): Promise<void> {
  const { settings } = context;
  await obtainPrograms(context, [
    ...components.map((part) => programOf(part, settings)),
    k6(settings),
    ...Object.values(tools(settings)),
  ]);
  context.progress.clear();
}

async function runAll(checks: Check[], sideBySide = SIDE_BY_SIDE): Promise<void> {
  const queue = [...checks];
  const worker = async () => {
    for (let check = queue.shift(); check; check = queue.shift()) {
      const start = performance.now();
      context.progress.update(check.title, 'running');
      const { output, ...count } = await check.run();
      context.progress.update(check.title, '');
      context.progress.clear();
      counts.push(count);
      report(check.title, count, output, performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, worker));
}

/** One line for what passed, with a line for each test that was skipped; everything for what failed. */
function report(title: string, count: Count, output: string, ms: number): void {
  const { passed, failed, skipped } = count;
  if (failed > 0) console.log(`\n${output.trimEnd()}\n`);
  console.log(
    `${failed > 0 ? '✘' : '✔'} ${title.padEnd(34)} ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds(ms)}`,
  );
  if (failed === 0)
    for (const [line] of output.matchAll(/^ *﹣ .*$/gm)) console.log(`  ${line.trim()}`);
}

/** Runs a program to its end; what it prints is kept. Ctrl-C reaches it by itself. */
async function ends(
  file: string,
  args: string[],
  folder = ROOT,
): Promise<{ ok: boolean; output: string }> {
  const child = spawn(file, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { ok: code === 0, output };
}

function command(title: string, file: string, ...args: string[]): Check {
  return {
    title,
    async run() {
      const { ok, output } = await ends(file, args);
      return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0, output };
    },
  };
}

function jest(title: string, config?: string): Check {
  return {
    title,
    async run() {
      const file = join(results, `${title}.json`);
      const { output } = await ends(
        'npx',
        ['jest', '--json', `--outputFile=${file}`, '--runInBand'].concat(
          config ? ['--config', config] : [],
        ),
        join(ROOT, 'backend-example'),
      );
      const report = JSON.parse(readFileSync(file, 'utf8')) as {
        numPassedTests: number;
        numFailedTests: number;
        numPendingTests: number;
        numRuntimeErrorTestSuites: number;
      };
      return {
        passed: report.numPassedTests,
        failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
        skipped: report.numPendingTests,
        output,
      };
    },
  };
}

function nodeTests(title: string, pattern: string): Check {
  return {
    title,
    async run() {
      const file = join(results, `${basename(title)}.tap`);
      const { ok, output } = await ends(process.execPath, [
        '--test',
        '--test-reporter=spec',
        '--test-reporter-destination=stdout',
        '--test-reporter=tap',
        `--test-reporter-destination=${file}`,
        ...globSync(pattern, { cwd: ROOT }),
      ]);
      const tap = readFileSync(file, 'utf8');
      const count = (key: string) =>
        Number(new RegExp(`^# ${key} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0);
      const failed = count('fail') + count('cancelled');
      return {
        passed: count('pass'),
        // a suite that cannot be built fails without a failed test
        failed: ok ? failed : Math.max(failed, 1),
        skipped: count('skipped'),
        output,
      };
    },
  };
}

import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { obtainBinary } from '../stack/binaries.ts';
import { ROOT, components, loadGenerator, tools } from '../stack/components.ts';
import { obtainBinaries } from '../stack/native.ts';
import { runningNow } from '../stack/run-folder.ts';
import { ProgressLine, fail } from '../stack/terminal.ts';
import { temporaryFolder } from './temporary-folder.ts';

// `npm test`: every check of the repository, one after the other, and one line that counts them all.
// With --docker also `npm run test:docker`.

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

let results: string;

try {
  await requireNoStack();
  await obtainPrograms();
  results = temporaryFolder();
  const counts = [
    await command('lint', 'npm', 'run', 'lint'),
    await command('type check', 'npm', 'run', 'typecheck'),
    await command('build', 'npm', 'run', 'build', '-w', 'backend-example'),
    await jest('unit tests of the service'),
    await jest(
      'end-to-end and telemetry tests of the service',
      'test/jest-e2e.js',
    ),
    await nodeTests('tests of the runner', 'stack/*.test.ts'),
    await nodeTests('configs, and the whole stack', 'test/*.test.ts'),
  ];
  if (process.argv.includes('--docker'))
    counts.push(
      await nodeTests('the stack in containers', 'test/docker/*.test.ts'),
    );
  const sum = (key: keyof Count) =>
    counts.reduce((total, count) => total + count[key], 0);
  console.log(
    `\n${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`,
  );
  process.exitCode = sum('failed') > 0 ? 1 : 0;
} catch (error) {
  fail(error);
}

async function requireNoStack(): Promise<void> {
  if (await runningNow())
    throw new Error(
      'The stack is running, and the tests start one of their own on the same ports. Stop it first: npm stop',
    );
}

/** Now, with progress shown, and not in the middle of a test. */
async function obtainPrograms(): Promise<void> {
  const line = new ProgressLine();
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on('SIGINT', interrupt);
  try {
    await obtainBinaries(
      [...components, loadGenerator],
      (name) => (text) => line.update(name, text),
      stop.signal,
    );
    for (const tool of Object.values(tools))
      await obtainBinary(
        tool,
        (text) => line.update(tool.title, text),
        stop.signal,
      );
  } finally {
    line.clear();
    process.removeListener('SIGINT', interrupt);
  }
}

/** Runs a program to its end, and does not wait for it when Ctrl-C ends us. */
async function succeeds(
  file: string,
  args: string[],
  options: SpawnOptions,
): Promise<boolean> {
  const [code] = await once(spawn(file, args, options), 'close');
  return code === 0;
}

async function command(
  title: string,
  file: string,
  ...args: string[]
): Promise<Count> {
  heading(title);
  const ok = await succeeds(file, args, { cwd: ROOT, stdio: 'inherit' });
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

async function jest(title: string, config?: string): Promise<Count> {
  heading(title);
  const file = join(results, `${title}.json`);
  await succeeds(
    'npx',
    ['jest', '--json', `--outputFile=${file}`, '--runInBand'].concat(
      config ? ['--config', config] : [],
    ),
    {
      cwd: join(ROOT, 'backend-example'),
      stdio: ['ignore', 'ignore', 'inherit'],
    },
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
  };
}

async function nodeTests(title: string, files: string): Promise<Count> {
  heading(title);
  const file = join(results, `${title}.tap`);
  const ok = await succeeds(
    process.execPath,
    [
      '--test',
      '--test-concurrency=1', // the stack has fixed ports
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      '--test-reporter=tap',
      `--test-reporter-destination=${file}`,
      files,
    ],
    { cwd: ROOT, stdio: 'inherit' },
  );
  const tap = readFileSync(file, 'utf8');
  const count = (key: string) =>
    Number(new RegExp(`^# ${key} (\\d+)$`, 'm').exec(tap)![1]);
  const failed = count('fail') + count('cancelled');
  return {
    passed: count('pass'),
    // a suite that cannot be built fails without a failed test
    failed: ok ? failed : Math.max(failed, 1),
    skipped: count('skipped'),
  };
}

function heading(title: string): void {
  console.log(`\n=== ${title}`);
}

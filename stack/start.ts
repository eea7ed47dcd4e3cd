import { spawn } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, components, composeService } from './components.ts';
import { StopError, composeUp, dockerAnswers } from './docker.ts';
import { planNativeRun, type PlannedProcess } from './native.ts';
import { logFolder, runningNow } from './run-folder.ts';
import type { SupervisorMessage } from './supervisor.ts';
import { ProgressLine, fail } from './terminal.ts';

const RUNNING = 'The stack is already running (npm stop ends it).';
const began = performance.now();
const native = process.argv.includes('--native');
const stop = new AbortController();
const line = new ProgressLine();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stop.abort());

try {
  if (await runningNow()) {
    console.log(RUNNING);
  } else if (!native && (await dockerAnswers())) {
    console.log('Starting with Docker Compose.\n');
    await composeUp(
      (name, afterMs) => {
        const { title, version } = composeService(name);
        line.clear();
        printReady(title, version, afterMs, 'container');
      },
      (text) => line.update('docker compose', text),
      stop.signal,
    );
    line.clear();
    console.log(`\nAll ready in ${seconds(performance.now() - began)}.`);
  } else {
    console.log(
      native
        ? 'Starting as local processes.\n'
        : 'Docker does not answer: starting the same components as local processes.\n',
    );
    await startNative();
  }
  await printAddresses();
} catch (error) {
  line.clear();
  if (stop.signal.aborted && !(error instanceof StopError)) {
    console.error('\nStopped. Nothing is left running.');
    process.exitCode = 130;
  } else fail(error);
}

async function startNative(): Promise<void> {
  const plan = await planNativeRun(
    (name) => (text) => line.update(name, text),
    stop.signal,
  );
  line.clear();
  stop.signal.throwIfAborted();
  // Another npm start may have been faster.
  if (await runningNow()) return console.log(RUNNING);
  await superviseUntilReady(plan.processes);
  console.log(`\nAll ready in ${seconds(performance.now() - began)}.`);
  for (const remark of plan.remarks) console.log(`\nNote: ${remark}`);
  console.log(`\nLogs of each component: ${logFolder}`);
}

/** Starts the supervisor in the background and returns when every component is ready. */
function superviseUntilReady(processes: PlannedProcess[]): Promise<void> {
  mkdirSync(logFolder, { recursive: true });
  const log = openSync(join(logFolder, 'supervisor.log'), 'w');
  const supervisor = spawn(
    process.execPath,
    [join(ROOT, 'stack/supervisor.ts')],
    {
      cwd: ROOT,
      detached: true, // Ctrl-C reaches us; we pass it on and wait until all is stopped
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  stop.signal.addEventListener('abort', () => supervisor.kill('SIGTERM'));
  supervisor.send(processes);
  return new Promise((resolve, reject) => {
    supervisor.on('message', (message: SupervisorMessage) => {
      if (message.type === 'ready') {
        const { title, version, source } = processes.find(
          ({ name }) => name === message.name,
        )!;
        printReady(title, version, message.afterMs, source);
      } else if (message.type === 'all-ready') {
        supervisor.disconnect();
        supervisor.unref();
        resolve();
      } else reject(new Error(message.reason));
    });
    supervisor.once('error', reject);
    supervisor.once('exit', (code) =>
      reject(new Error(`the supervisor ended with code ${code}`)),
    );
  });
}

function printReady(
  title: string,
  version: string,
  afterMs: number,
  source: string,
): void {
  console.log(
    `  ${`${title} ${version}`.padEnd(32)} ready in ${seconds(afterMs).padStart(6)}   (${source})`,
  );
}

async function printAddresses(): Promise<void> {
  // In a native run only what is there: Grafana may not be.
  const run = await runningNow();
  const there = components.filter(
    ({ name, address }) =>
      address && (!run || run.components.some((part) => part.name === name)),
  );
  console.log(`
${there.map((c) => `  ${c.title.padEnd(16)} ${c.address}`).join('\n')}

Next:  npm run tour     follows one request through logs, trace and metrics
       npm run status   what runs, since when, with how much memory
       npm stop         stops everything; books, logs, traces and metrics are kept`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

import { spawn } from 'node:child_process';
import { on } from 'node:events';
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { address, components, find } from './components/index.ts';
import { Compose, StopError } from './compose/compose.ts';
import { Interrupted, type Context } from './context.ts';
import { roomOf } from './diagnosis/machine.ts';
import { planNativeRun } from './native/plan.ts';
import { baseEnvironment } from './native/process.ts';
import { checkPath, checkRules, lock } from './native/preflight.ts';
import type { SupervisorMessage } from './native/supervisor.ts';
import { ROOT } from './paths.ts';
import { RunFolder, runningNow } from './run.ts';
import { seconds } from './terminal.ts';

const RUNNING = 'The stack is already running (npm stop ends it).';

/** `npm start`: the stack in containers where Docker answers, else as local processes. */
export async function start(context: Context, options: { native?: true }): Promise<number> {
  const stop = context.interrupted();
  const { print, progress, settings } = context;
  const compose = new Compose(context);
  try {
    if (await runningNow(settings)) print(RUNNING);
    else {
      checkRules();
      if (!options.native && (await compose.answers())) await startContainers(context, stop);
      else {
        print(options.native ? 'Starting as local processes.\n' : await compose.absence());
        await startNative(context, stop);
      }
    }
    await printAddresses(context);
    return 0;
  } catch (error) {
    progress.clear();
    if (!stop.aborted || error instanceof StopError) throw error;
    const { signal } = stop.reason as Interrupted;
    throw new Interrupted(signal, 'Stopped. Nothing is left running.');
  }
}

async function startContainers(context: Context, stop: AbortSignal): Promise<void> {
  const { print, progress, settings } = context;
  print('Starting with Docker Compose.\n');
  const began = performance.now();
  await new Compose(context).up(
    (name) => {
      progress.clear();
      const { title = name, version } = find(name) ?? {}; // or a service of the user's own
      const afterMs = performance.now() - began;
      print(readyLine(title, version?.(settings) ?? '', afterMs, 'container'));
    },
    (text) => progress.update('docker compose', text),
    stop,
  );
  progress.clear();
  print(`\nAll ready in ${seconds(performance.now() - began)}.`);
}

async function startNative(context: Context, stop: AbortSignal): Promise<void> {
  const { print, settings } = context;
  checkPath(settings.STACK_FOLDER);
  const release = await lock(settings.STACK_FOLDER);
  try {
    // Another npm start may have been faster.
    if (await runningNow(settings)) print(RUNNING);
    else await supervise(context, stop);
  } finally {
    release();
  }
}

async function supervise(context: Context, stop: AbortSignal): Promise<void> {
  const { print, progress, settings } = context;
  const began = performance.now();
  const { plan, remarks } = await planNativeRun(context);
  progress.clear();
  stop.throwIfAborted();
  const { logs } = new RunFolder(settings);
  mkdirSync(logs, { recursive: true });
  const log = openSync(join(logs, 'supervisor.log'), 'w');
  const supervisor = spawn(process.execPath, [join(import.meta.dirname, 'native/supervisor.ts')], {
    cwd: ROOT,
    env: baseEnvironment(context.env),
    detached: true, // Ctrl-C reaches us; we pass it on and wait until all is stopped
    stdio: ['ignore', log, log, 'ipc'],
  });
  stop.addEventListener('abort', () => supervisor.kill('SIGTERM'));
  supervisor.send(plan);
  const messages = on(supervisor, 'message', { close: ['disconnect'] });
  for await (const [message] of messages as AsyncIterable<[SupervisorMessage]>) {
    if (message.type === 'ended') throw new Error(message.reason);
    if (message.type === 'all-ready') break;
    const { title, version, source } = plan.processes.find(({ name }) => name === message.name)!;
    print(readyLine(title, version, message.afterMs, source));
  }
  if (!supervisor.connected) throw new Error(`the supervisor ended; see ${logs}/supervisor.log`);
  supervisor.disconnect();
  supervisor.unref();
  print(`\nAll ready in ${seconds(performance.now() - began)}.`);
  const room = roomOf(context, settings.STACK_FOLDER);
  if (room.bad) remarks.push(`The disk of ${settings.STACK_FOLDER} ${room.text}.`);
  for (const remark of remarks) print(`\nNote: ${remark}`);
  print(`\nLogs of each component: ${logs}`);
}

const readyLine = (title: string, version: string, afterMs: number, source: string): string =>
  `  ${`${title} ${version}`.padEnd(32)} ready in ${seconds(afterMs).padStart(6)}   (${source})`;

async function printAddresses({ print, settings }: Context): Promise<void> {
  // In a native run only what is there: Grafana may not be.
  const run = await runningNow(settings);
  print();
  for (const part of components) {
    const url = address(part, settings);
    if (url && (!run || run.components.some(({ name }) => name === part.name)))
      print(`  ${part.title.padEnd(16)} ${url}`);
  }
  print(`
Next:  npm run tour     follows one request through logs, trace and metrics
       npm run status   what runs, since when, with how much memory
       npm stop         stops everything; books, logs, traces and metrics are kept`);
}

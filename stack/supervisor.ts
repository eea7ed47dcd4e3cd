import { mkdirSync } from 'node:fs';
import type { PlannedProcess } from './native.ts';
import { postgresReady } from './postgres.ts';
import { ManagedProcess, describeEnd, httpReady } from './processes.ts';
import {
  logFile,
  logFolder,
  writeRecord,
  type RunRecord,
} from './run-folder.ts';

/** What the supervisor tells `npm start`. */
export type SupervisorMessage =
  | { type: 'ready'; name: string; afterMs: number }
  | { type: 'all-ready' }
  | { type: 'ended'; reason: string };

// The process that holds a native run together: it starts what it is told, watches it, and stops
// everything when it is asked to, when one part ends, or when `npm start` goes away before all is ready.

const READY_TIMEOUT_MS = 120_000;
const stop = new AbortController();
const processes = new Map<string, ManagedProcess>();
const record: RunRecord = { supervisor: process.pid, components: [] };
let allReady = false;
let stopping: Promise<never> | undefined;

process.once('message', (planned: PlannedProcess[]) => void run(planned));
process.once('disconnect', () => {
  if (!allReady) void end('npm start was interrupted');
});
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
  process.on(signal, () => void end('it was asked to stop'));

async function run(planned: PlannedProcess[]): Promise<void> {
  writeRecord(record); // from now on another npm start sees this run
  mkdirSync(logFolder, { recursive: true });
  const ready = new Map<string, PromiseWithResolvers<void>>();
  for (const { name } of planned) ready.set(name, Promise.withResolvers());
  try {
    await Promise.all(
      planned.map(async (plan) => {
        if (plan.after) await ready.get(plan.after)!.promise;
        await start(plan);
        ready.get(plan.name)!.resolve();
      }),
    );
    allReady = true;
    await tell({ type: 'all-ready' });
  } catch (error) {
    if (!stop.signal.aborted) await end((error as Error).message, 1);
  }
}

async function start(plan: PlannedProcess): Promise<void> {
  stop.signal.throwIfAborted();
  const began = performance.now();
  const child = new ManagedProcess(plan.name, plan.command, logFile(plan.name));
  processes.set(plan.name, child);
  const entry = {
    name: plan.name,
    title: plan.title,
    version: plan.version,
    source: plan.source,
    pid: child.pid ?? 0,
    readyAfter: undefined as number | undefined,
  };
  record.components.push(entry);
  writeRecord(record);
  // When everything is being stopped already, this changes nothing.
  void child.whenEnded.then(() =>
    end(describeEnd(plan.name, child.ended!, child.logFile), 1),
  );
  await child.waitUntilReady(
    'url' in plan.ready
      ? httpReady(plan.ready.url)
      : postgresReady(plan.ready.port),
    READY_TIMEOUT_MS,
    stop.signal,
  );
  entry.readyAfter = Math.round(performance.now() - began);
  writeRecord(record);
  await tell({ type: 'ready', name: plan.name, afterMs: entry.readyAfter });
}

/** Stops everything in the order of the data: first who sends, last who stores. */
function end(reason: string, code = 0): Promise<never> {
  stopping ??= (async () => {
    stop.abort();
    const first = ['backend-example', 'otel-collector'];
    for (const name of first) await processes.get(name)?.stop();
    await Promise.all(
      [...processes.values()]
        .filter(({ name }) => !first.includes(name))
        .map((child) => child.stop(15_000)),
    );
    record.ended = `${new Date().toISOString()}: ${reason}`;
    writeRecord(record);
    await tell({ type: 'ended', reason });
    process.exit(code);
  })();
  return stopping;
}

/** Resolves when the message is on its way. */
async function tell(message: SupervisorMessage): Promise<void> {
  console.log(new Date().toISOString(), JSON.stringify(message));
  if (process.connected)
    await new Promise((sent) => process.send!(message, sent));
}

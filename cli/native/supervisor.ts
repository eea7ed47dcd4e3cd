import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { freeBytes } from '../checks.ts';
import { RunFolder } from '../run.ts';
import type { NativePlan, PlannedProcess } from './plan.ts';
import { ManagedProcess } from './process.ts';

// Holds a native run together, in the background: starts what is planned, watches it, and stops everything
// when it is asked to, or when one part ends or `npm start` goes away before all is ready. What crashes
// later is started again, as Docker does.

/** What the supervisor tells `npm start`. */
export type SupervisorMessage =
  | { type: 'ready'; name: string; afterMs: number }
  | { type: 'all-ready' }
  | { type: 'ended'; reason: string };

/** What `npm run lesson` asks for: a component started anew, with these variables over its own. */
export interface Wish {
  name: string;
  env: Record<string, string>;
}

interface Part extends PlannedProcess {
  pid: number;
  child?: ManagedProcess;
}

const READY_TIMEOUT_MS = 120_000;
/** What crashes more often than this within ten minutes stays down. */
const MOST_CRASHES = 5;
const CRASHES_COUNT_MS = 600_000;
/** Bytes that have to be free for what has crashed to be started again. */
const LEAST_FREE = 50e6;

const [plan] = (await once(process, 'message')) as [NativePlan];
const parts: Part[] = plan.processes.map((part) => ({ ...part, pid: 0 }));
const folder = new RunFolder({ STACK_FOLDER: plan.folder });
const stopping = new AbortController();
let allReady = false;
let end: Promise<never> | undefined;
const fail = (error: Error) => stop(error.message, 1);

process.once('disconnect', () => {
  if (!allReady) void stop('npm start was interrupted');
});
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
  process.on(signal, () => void stop('it was asked to stop'));
process.on('SIGUSR2', () => void startAnew().catch(fail));
await startAll().catch(fail);

async function startAll(): Promise<void> {
  record(); // from now on another npm start sees this run
  for (const { name } of parts) rmSync(folder.log(name), { force: true });
  const ready = new Map<string, Promise<void>>();
  const startInTurn = async (part: Part) => {
    await Promise.resolve(); // until all are in the map
    if (part.after) await ready.get(part.after);
    await start(part);
  };
  for (const part of parts) ready.set(part.name, startInTurn(part));
  await Promise.all(ready.values());
  allReady = true;
  await tell({ type: 'all-ready' });
}

/** Starts one, with these variables over its own, and returns when it is ready. */
async function start(part: Part, env: Record<string, string> = {}): Promise<void> {
  const { name, command } = part;
  stopping.signal.throwIfAborted();
  const began = performance.now();
  const withEnv = { ...command, env: { ...command.env, ...env } };
  const child = new ManagedProcess(name, withEnv, folder.log(name));
  Object.assign(part, { child, pid: child.pid, readyAfter: undefined });
  record();
  void child.whenEnded.then(() => {
    if (child.stopping) return;
    if (allReady) void startAgain(part, env, child);
    else void stop(child.story(), 1);
  });
  await child.waitUntilReady(part.ready, READY_TIMEOUT_MS, stopping.signal);
  part.readyAfter = Math.round(performance.now() - began);
  record();
  await tell({ type: 'ready', name, afterMs: part.readyAfter });
}

/** Starts one that has crashed, after a pause that grows; one that crashes again and again stays down, and only it. */
async function startAgain(
  part: Part,
  env: Record<string, string>,
  crashed: ManagedProcess,
): Promise<void> {
  const crash = { at: Date.now(), how: crashed.ended! };
  part.crashes = [...(part.crashes ?? []), crash];
  const recent = part.crashes.filter(({ at }) => crash.at - at < CRASHES_COUNT_MS).length;
  part.down = recent > MOST_CRASHES;
  part.readyAfter = undefined;
  record();
  console.log(new Date().toISOString(), part.name, crash.how);
  if (part.down) return;
  await sleep(500 * 2 ** recent);
  while (freeBytes(plan.folder) < LEAST_FREE) await sleep(2_000); // it would only crash again
  if (part.child !== crashed) return; // a lesson has started it meanwhile
  // That it does not get ready is told by status and doctor; that it ends, by its next crash.
  await start(part, env).catch((error: Error) => console.log(error.message));
}

/** Does what the file of wishes says. */
async function startAnew(): Promise<void> {
  const { name, env } = JSON.parse(readFileSync(folder.wish(), 'utf8')) as Wish;
  const part = parts.find((one) => one.name === name)!;
  await part.child?.stop();
  await start(Object.assign(part, { down: false }), env);
}

/** Stops everything in the order of the data: first who sends, last who stores. */
function stop(reason: string, code = 0): Promise<never> {
  return (end ??= (async () => {
    stopping.abort();
    const turns = Map.groupBy(parts, ({ stops = Infinity }) => stops);
    for (const [, together] of [...turns].sort(([a], [b]) => a - b))
      await Promise.all(together.map(async ({ child }) => child?.stop(15_000)));
    record(`${new Date().toISOString()}: ${reason}`);
    await tell({ type: 'ended', reason });
    process.exit(code);
  })());
}

/** Says for the other verbs what runs, and how it ended. */
function record(ended?: string): void {
  const components = parts
    .filter(({ child }) => child)
    .map(({ child: _child, command: _command, ...shown }) => shown);
  try {
    folder.write({ supervisor: process.pid, ended, ports: plan.ports, components });
  } catch (error) {
    console.log((error as Error).message); // the disk is full, say: what runs is worth more than the record
  }
}

/** Resolves when the message is on its way. */
async function tell(message: SupervisorMessage): Promise<void> {
  console.log(new Date().toISOString(), JSON.stringify(message));
  if (process.connected) await new Promise((sent) => process.send!(message, sent));
}

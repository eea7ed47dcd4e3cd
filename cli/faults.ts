import { writeFileSync } from 'node:fs';
import { poll } from './checks.ts';
import { Compose } from './compose/compose.ts';
import type { Context } from './context.ts';
import type { Wish } from './native/supervisor.ts';
import { RunFolder, runningNow, type RunRecord, type RunningComponent } from './run.ts';
import { Stores } from './stores.ts';

// What lessons and tests of the alerts break.

/** As in backend-example/src/faults. */
export type Faults = Partial<
  Record<'latencyMs' | 'errorRatio' | 'slowSqlMs' | 'blockMs' | 'memoryMb', number>
>;

/** Longer than the supervisor waits for a component, so that it says why it ended. */
const RESTART_MS = 180_000;

/** Whether the books service was started with FAULTS_ENABLED=true. */
export const faultsEnabled = async (context: Context): Promise<boolean> =>
  (await callFaults(context)).ok;

/**
 * Sets the faults of every request of the books service; no faults takes them back.
 * @throws Error with what the service answers when it refuses
 */
export async function setFaults(context: Context, faults: Faults): Promise<void> {
  const none = Object.keys(faults).length === 0;
  const headers = { 'content-type': 'application/json' };
  const put = { method: 'PUT', headers, body: JSON.stringify(faults) };
  const response = await callFaults(context, none ? { method: 'DELETE' } : put);
  if (!response.ok)
    throw new Error(
      `The books service refuses the fault: ${response.status} ${await response.text()}`,
    );
}

function callFaults(context: Context, request?: RequestInit): Promise<Response> {
  const signal = AbortSignal.timeout(10_000);
  return context.fetch(`${new Stores(context).books}/faults`, { ...request, signal });
}

/**
 * Starts a component anew with these variables over its own, in both ways to run.
 * @throws Error when it does not get ready
 */
export async function startAnew(context: Context, wish: Wish): Promise<void> {
  const folder = new RunFolder(context.settings);
  const run = await folder.running();
  if (!run) {
    await new Compose(context).command(['up', '--wait', '--no-deps', wish.name], wish.env);
    return;
  }
  const { pid } = part(run, wish.name);
  writeFileSync(folder.wish(), JSON.stringify(wish));
  process.kill(run.supervisor, 'SIGUSR2');
  const now = await poll(async () => {
    const newest = (await folder.newest())!;
    const { pid: newPid, readyAfter } = part(newest, wish.name);
    const isNew = newPid !== pid && readyAfter !== undefined;
    return (isNew || newest.ended !== undefined) && newest;
  }, RESTART_MS);
  if (!now || now.ended)
    throw new Error(`${wish.name} could not be started anew: ${now?.ended ?? 'it takes too long'}`);
}

/**
 * Asks for a page so many times a second, until the function that it answers is called. What the service
 * does not keep up with is not made up for: 20 at a time are open.
 */
export function sendRequests(url: string, perSecond: number): () => void {
  let open = 0;
  const timer = setInterval(() => {
    if (open === 20) return;
    open++;
    void fetch(url, { signal: AbortSignal.timeout(10_000) })
      .then((response) => response.arrayBuffer())
      .catch(() => undefined)
      .then(() => open--);
  }, 1000 / perSecond);
  return () => clearInterval(timer);
}

const signal =
  (native: NodeJS.Signals, compose: string) =>
  async (context: Context, name: string): Promise<void> => {
    const run = await runningNow(context.settings);
    if (run) process.kill(part(run, name).pid, native);
    else await new Compose(context).command([compose, name]);
  };

/** Stops a component from doing anything, without ending it. */
export const freeze = signal('SIGSTOP', 'pause');

/** Lets it go on. */
export const thaw = signal('SIGCONT', 'unpause');

const part = ({ components }: RunRecord, name: string): RunningComponent =>
  components.find((one) => one.name === name)!;

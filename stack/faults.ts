import { setTimeout as sleep } from 'node:timers/promises';
import { BOOKS, queryLogs, type LogLine } from './backends.ts';
import { composeCommand } from './docker.ts';
import { runningNow } from './run-folder.ts';

// What lessons and tests of the alerts break, and where they see what comes of it.

/** As in backend-example/src/faults/faults.ts. */
export type Faults = Partial<
  Record<
    'latencyMs' | 'errorRatio' | 'slowSqlMs' | 'blockMs' | 'memoryMb',
    number
  >
>;

/** The faults' own port of the service, reached from inside its container: it is not published. */
const FAULTS_URL = 'http://127.0.0.1:5556/faults';

/**
 * Sets the faults of every request of the books service; no faults takes them back.
 * @throws Error saying how to start the stack when it runs without fault injection
 */
export async function setFaults(faults: Faults): Promise<void> {
  const request = { method: 'PUT', body: JSON.stringify(faults) };
  try {
    if (await runningNow()) await fetch(FAULTS_URL, request);
    else
      await composeCommand(
        ...'exec -T backend-example node -e'.split(' '),
        `fetch('${FAULTS_URL}', ${JSON.stringify(request)}).catch(() => process.exit(1))`,
      );
  } catch {
    throw new Error(
      'The books service runs without fault injection. Start it with:\nnpm stop && FAULTS_ENABLED=true npm start',
    );
  }
}

/** Stops a component from doing anything, without ending it. */
export const freeze = (name: string) => signal(name, 'SIGSTOP', 'pause');

/** Lets it go on. */
export const thaw = (name: string) => signal(name, 'SIGCONT', 'unpause');

async function signal(
  name: string,
  native: NodeJS.Signals,
  compose: string,
): Promise<void> {
  const run = await runningNow();
  if (!run) return composeCommand(compose, name);
  const { pid } = run.components.find((part) => part.name === name)!;
  process.kill(pid, native);
}

/** Requests at a steady pace, until `stop()`. */
export class Traffic {
  /** Requests per second; may be changed at any time. */
  pace: number;
  private readonly path: () => string;
  private running = true;
  private readonly ended: Promise<void>;

  constructor(pace: number, path: () => string = () => '/books/find?limit=5') {
    this.pace = pace;
    this.path = path;
    this.ended = this.run();
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.ended;
  }

  private async run(): Promise<void> {
    const open = new Set<Promise<void>>();
    let due = 0;
    for (let last = Date.now(); this.running; await sleep(20)) {
      const now = Date.now();
      // What a slow service does not keep up with is not made up for: at most 20 calls at a time.
      due = Math.min(due + ((now - last) / 1000) * this.pace, 20);
      for (last = now; due >= 1 && open.size < 20; due--) {
        const call = fetch(BOOKS + this.path(), {
          signal: AbortSignal.timeout(10_000),
        })
          .then((response) => response.arrayBuffer())
          .catch(() => undefined)
          .then(() => void open.delete(call));
        open.add(call);
      }
    }
    await Promise.all(open);
  }
}

/**
 * The notifications of an alert that came back from Alertmanager to Loki, oldest first; of every alert
 * without a name.
 * @param since milliseconds since 1970
 */
export async function notifications(
  alert: string,
  since: number,
  status?: 'firing' | 'resolved',
): Promise<LogLine[]> {
  const lines = await queryLogs(
    `{service_name="alertmanager"}${alert && ` | alertname="${alert}"`}${status ? ` | status="${status}"` : ''}`,
  );
  return lines.filter(({ timeNs }) => timeNs > BigInt(since) * 1_000_000n);
}

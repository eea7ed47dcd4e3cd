import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { notReady, type Ready } from '../checks.ts';

/** What to run. `uid` and `gid` are only set where root must step down. */
export interface Command {
  file: string;
  args: string[];
  /** All of its environment. */
  env: NodeJS.ProcessEnv;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** The signal that asks for a clean stop. PostgreSQL's fast shutdown is SIGINT. */
  stopSignal?: 'SIGTERM' | 'SIGINT';
}

/** What every program may need of the shell: nothing that another tool has set there. */
export const baseEnvironment = ({ PATH, HOME, TMPDIR }: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  PATH,
  HOME,
  TMPDIR,
});

/** The proxies of the shell, for the world outside: what runs on this machine is reached directly. */
export function proxies(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { HTTP_PROXY, http_proxy, HTTPS_PROXY, https_proxy } = env;
  const direct = [env.NO_PROXY || env.no_proxy, 'localhost', '127.0.0.1', '::1'];
  const NO_PROXY = direct.filter(Boolean).join(',');
  return { HTTP_PROXY, http_proxy, HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy: NO_PROXY };
}

/**
 * A child process whose output goes to a file and that cannot outlive us: a small shell reads a pipe that
 * we hold open. When we are gone, however we went (`kill -9` too), it stops the child.
 */
export class ManagedProcess {
  readonly logFile: string;
  /** How it ended, for people: "exited with code 1", "was ended by SIGKILL". */
  ended: string | undefined;
  readonly whenEnded: Promise<void>;
  /** Its end is wanted. */
  stopping = false;
  private readonly name: string;
  private readonly child: ChildProcess;
  private readonly stopSignal: NodeJS.Signals;

  constructor(name: string, { file, args, stopSignal, ...options }: Command, logFile: string) {
    this.name = name;
    this.logFile = logFile;
    this.stopSignal = stopSignal ?? 'SIGTERM';
    const log = openSync(logFile, 'a'); // what it said before a crash stays
    // In a group of its own: Ctrl-C in the terminal reaches only us, and we stop things in order.
    this.child = spawn(file, args, { ...options, stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    const guard = this.pid ? watch(this.pid) : undefined;
    this.whenEnded = once(this.child, 'exit')
      .then(
        ([code, signal]) => (signal ? `was ended by ${signal}` : `exited with code ${code}`),
        (error: Error) => `could not be run: ${error.message}`,
      )
      .then((how) => {
        this.ended = how;
        guard?.kill('SIGKILL');
      });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** The lines of its log that tell most: the first error, and the last lines, newest last. */
  tail(): string {
    try {
      const lines = readFileSync(this.logFile, 'utf8').trimEnd().split('\n');
      const end = lines.slice(-20);
      const first = lines.find((line) => ERROR.test(line));
      return [...(first && !end.includes(first) ? [first, '…'] : []), ...end].join('\n');
    } catch {
      return '(no log)'; // somebody has removed it
    }
  }

  /** For people: what became of it, with what its log says and where the rest is. */
  story(what = this.ended): string {
    return `${this.name} ${what}. The end of ${this.logFile}:\n${this.tail().replace(/^/gm, '    ')}`;
  }

  /** Asks it to stop, and after `graceMs` makes it. Resolves when it is gone. */
  async stop(graceMs = 10_000): Promise<void> {
    this.stopping = true;
    if (this.ended === undefined) this.child.kill(this.stopSignal);
    await Promise.race([this.whenEnded, sleep(graceMs, undefined, { ref: false })]);
    try {
      process.kill(-this.pid!, 'SIGKILL'); // the whole group: a component may have children of its own
    } catch {
      // the group is already gone, or there never was one
    }
    await this.whenEnded;
  }

  /**
   * Waits until it is ready.
   * @throws Error when the process ends or `timeoutMs` passes first, with its last log lines.
   */
  async waitUntilReady(ready: Ready, timeoutMs: number, stop: AbortSignal): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const reason = await notReady(ready, AbortSignal.any([stop, AbortSignal.timeout(2_000)]));
      stop.throwIfAborted();
      if (this.ended) throw new Error(this.story());
      if (reason === undefined) return;
      if (Date.now() >= deadline)
        throw new Error(
          this.story(`was not ready after ${timeoutMs / 1000} s; last answer: ${reason}`),
        );
      await sleep(50, undefined, { signal: stop });
    }
  }
}

/** How the components, PostgreSQL and Node mark an error in their logs. */
const ERROR =
  /\b(?:level=(?:error|fatal)|"level":"(?:error|fatal)"|error\t|FATAL:|panic:|\w*Error:|error running|failed to)/;

function watch(pid: number): ChildProcess {
  const script =
    'while read -r _; do :; done; kill -s TERM -- "-$0"; sleep 5; kill -s KILL -- "-$0"';
  const stdio: StdioOptions = ['pipe', 'ignore', 'ignore'];
  const guard = spawn('sh', ['-c', script, `${pid}`], { stdio, detached: true });
  guard.unref();
  return guard;
}

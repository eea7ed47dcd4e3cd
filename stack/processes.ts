import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { execFile } from 'node:child_process';

/** What to run. `uid` and `gid` are only set where root must step down. */
export interface Command {
  file: string;
  args: string[];
  env?: Record<string, string | undefined>;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** The signal that asks for a clean stop. PostgreSQL's fast shutdown is SIGINT. */
  stopSignal?: 'SIGTERM' | 'SIGINT';
}

/** Answers undefined when ready, otherwise the reason why not yet. */
export type ReadyCheck = (signal: AbortSignal) => Promise<string | undefined>;

/** A component could not be started. The message holds its last log lines. */
class StartError extends Error {}

/**
 * A child process whose output goes to a file and that cannot outlive us:
 * a small shell watches a pipe that we hold open. When we are gone, however we
 * went (`kill -9` too), the pipe closes and the shell stops the child.
 */
export class ManagedProcess {
  readonly name: string;
  readonly logFile: string;
  /** How it ended, for people: "exited with code 1", "was ended by SIGKILL". */
  ended: string | undefined;
  readonly whenEnded: Promise<void>;
  private readonly child: ChildProcess;
  private readonly stopSignal: NodeJS.Signals;

  constructor(name: string, command: Command, logFile: string) {
    this.name = name;
    this.logFile = logFile;
    this.stopSignal = command.stopSignal ?? 'SIGTERM';
    const log = openSync(logFile, 'w');
    this.child = spawn(command.file, command.args, {
      cwd: command.cwd,
      env: { ...process.env, ...command.env },
      uid: command.uid,
      gid: command.gid,
      stdio: ['ignore', log, log],
      detached: true, // a group of its own: Ctrl-C in the terminal reaches only us, and we stop things in order
    });
    closeSync(log);
    const guard = this.child.pid ? watch(this.child.pid) : undefined;
    this.whenEnded = new Promise((resolve) => {
      const end = (how: string) => {
        this.ended ??= how;
        guard?.kill('SIGKILL');
        resolve();
      };
      this.child.once('error', (error) =>
        end(`could not be run: ${error.message}`),
      );
      this.child.once('exit', (code, signal) =>
        end(signal ? `was ended by ${signal}` : `exited with code ${code}`),
      );
    });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** The last lines of its log, newest last. */
  tail(lines = 20): string {
    return lastLines(this.logFile, lines);
  }

  /** Asks it to stop, and after `graceMs` makes it. Resolves when it is gone. */
  async stop(graceMs = 10_000): Promise<void> {
    if (this.ended === undefined) this.child.kill(this.stopSignal);
    const gone = await Promise.race([
      this.whenEnded.then(() => true),
      sleep(graceMs, false, { ref: false }),
    ]);
    // The whole group: a component may have children of its own.
    if (this.pid) killGroup(this.pid, 'SIGKILL');
    if (!gone) await this.whenEnded;
  }

  /**
   * Polls `check` until it is ready.
   * @throws StartError when the process ends or `timeoutMs` passes first, with its last log lines.
   */
  async waitUntilReady(
    check: ReadyCheck,
    timeoutMs: number,
    stop: AbortSignal,
  ): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const reason = await check(
        AbortSignal.any([stop, AbortSignal.timeout(2_000)]),
      );
      stop.throwIfAborted();
      if (this.ended) throw this.startError(this.ended);
      if (reason === undefined) return;
      if (Date.now() >= deadline)
        throw this.startError(
          `was not ready after ${timeoutMs / 1000} s; last answer: ${reason}`,
        );
      await sleep(50, undefined, { signal: stop });
    }
  }

  private startError(what: string): StartError {
    return new StartError(describeEnd(this.name, what, this.logFile));
  }
}

/** One readable text for "this ended", with the end of its log and where the rest is. */
export function describeEnd(
  name: string,
  what: string,
  logFile: string,
): string {
  return `${name} ${what}. The end of ${logFile}:\n${lastLines(logFile, 20).replace(/^/gm, '    ')}`;
}

function lastLines(file: string, lines: number): string {
  try {
    return readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-lines)
      .join('\n');
  } catch {
    return '(no log)';
  }
}

function watch(pid: number): ChildProcess {
  const guard = spawn(
    'sh',
    [
      '-c',
      'while read -r _; do :; done; kill -s TERM -- "-$0"; sleep 5; kill -s KILL -- "-$0"',
      String(pid),
    ],
    { stdio: ['pipe', 'ignore', 'ignore'], detached: true },
  );
  guard.unref();
  return guard;
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // the group is already gone
  }
}

/** Ready when a GET of `url` answers 2xx. */
export function httpReady(url: string): ReadyCheck {
  return async (signal) => {
    try {
      const response = await fetch(url, { signal });
      const body = await response.text();
      return response.ok
        ? undefined
        : `${url} answered ${response.status} ${body.trim().slice(0, 200)}`;
    } catch (error) {
      return `${url} does not answer (${reasonOf(error)})`;
    }
  };
}

/** What went wrong, with the cause that fetch hides behind "fetch failed". */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error & {
    cause?: { code?: string; message?: string };
  };
  return cause?.code ?? cause?.message ?? message;
}

/** True when something listens on this port of the loopback address, or of its like in IPv6. */
export async function isListening(
  port: number,
  host: '127.0.0.1' | '::1' = '127.0.0.1',
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** Who listens on a TCP port, at `::1` if that is asked: "process 4711 (nginx: master process)", or that it cannot be seen. */
export async function portHolder(port: number, host?: '::1'): Promise<string> {
  const pid =
    process.platform === 'linux'
      ? await listenerOnLinux(port, host)
      : await listenerByLsof(port, host);
  if (pid === undefined)
    return 'a process of another user, or one outside this container';
  return `process ${pid} (${(await commandLine(pid)) ?? 'already gone'})`;
}

/**
 * Refuses to start when something listens on one of these ports.
 * @param holder names who does; undefined when that is nobody who minds
 * @throws Error with one sentence for each port
 */
export async function refuseBusyPorts(
  needed: { title: string; port: number }[],
  holder: (port: number) => Promise<string | undefined>,
): Promise<void> {
  const busy = await Promise.all(
    needed.map(async ({ title, port }) => {
      const name = (await isListening(port)) && (await holder(port));
      return name
        ? `Port ${port}, which ${title} needs, is held by ${name}.`
        : undefined;
    }),
  );
  const messages = busy.filter((message) => message !== undefined);
  if (messages.length > 0)
    throw new Error(
      `${messages.join('\n')}\nNothing was started. End ${messages.length > 1 ? 'these processes' : 'that process'} and run the command again.`,
    );
}

/** The command line of a process, or undefined when there is no such process. */
export async function commandLine(pid: number): Promise<string | undefined> {
  try {
    if (process.platform === 'linux')
      return (await readFile(`/proc/${pid}/cmdline`, 'utf8'))
        .replaceAll('\0', ' ')
        .trim();
    return await ps('args=', pid);
  } catch {
    return undefined;
  }
}

async function ps(column: string, pid: number): Promise<string> {
  const args = ['-o', column, '-p', String(pid)];
  return (await promisify(execFile)('ps', args)).stdout.trim();
}

/** Resident memory in MB (10^6 bytes), or undefined where it cannot be read. */
export async function residentMegabytes(
  pid: number,
): Promise<number | undefined> {
  try {
    const kilobytes =
      process.platform === 'linux'
        ? /VmRSS:\s+(\d+) kB/.exec(
            await readFile(`/proc/${pid}/status`, 'utf8'),
          )?.[1]
        : await ps('rss=', pid);
    return Math.round((Number(kilobytes) * 1024) / 1e6);
  } catch {
    return undefined;
  }
}

// /proc/net/tcp*: column 1 is "address:PORT" in hex, column 3 the state (0A = LISTEN), column 9 the socket's inode.
async function listenerOnLinux(
  port: number,
  host?: '::1',
): Promise<number | undefined> {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const tables = await Promise.all(
    (host ? ['tcp6'] : ['tcp', 'tcp6']).map((table) =>
      readFile(`/proc/net/${table}`, 'utf8').catch(() => ''),
    ),
  );
  const inodes = tables
    .flatMap((table) => table.split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[1]?.endsWith(`:${hexPort}`) && row[3] === '0A')
    .map((row) => `socket:[${row[9]}]`);
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  for (const pid of pids) {
    const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const file of files) {
      const target = await readlink(`/proc/${pid}/fd/${file}`).catch(() => '');
      if (inodes.includes(target)) return Number(pid);
    }
  }
  return undefined;
}

async function listenerByLsof(
  port: number,
  host?: '::1',
): Promise<number | undefined> {
  const { stdout } = await promisify(execFile)('lsof', [
    '-nP',
    '-t',
    `-i${host ? 6 : ''}TCP:${port}`,
    '-sTCP:LISTEN',
  ]).catch(() => ({ stdout: '' }));
  return stdout ? Number(stdout.split('\n')[0]) : undefined;
}

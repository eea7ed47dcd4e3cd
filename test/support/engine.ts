import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { poll } from '../../cli/checks.ts';
import { commandLine } from '../../cli/native/ports.ts';
import { run } from './run.ts';

// The Docker engine of these tests: the one that answers, else a private one.

/** Short, because the path of a socket has at most 107 bytes. Its images are kept from run to run. */
const FOLDER = '/var/tmp/lgtm-docker';
const PID_FILE = `${FOLDER}/docker.pid`;

/** Runs docker and answers what it printed. @throws Error with its output when it fails */
export async function docker(...args: string[]): Promise<string> {
  const { code, output } = await run('docker', args);
  if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${output}`);
  return output.trim();
}

const answers = async () =>
  (await run('docker', ['version', '--format', '{{.Server.Version}}'])).code === 0;

/**
 * Makes `docker` work for this process and its children. Where no engine answers, root starts a
 * private one with its own socket. Answers how to end it, or why there is none.
 */
export async function engine(): Promise<{ stop: () => Promise<void> } | string> {
  if ((await run('docker', ['compose', 'version'])).code !== 0)
    return 'Docker Compose v2 is not installed here';
  if (await answers()) return { stop: async () => {} };
  if (process.getuid?.() !== 0) return 'no Docker engine answers, and only root can start one';
  if (spawnSync('dockerd', ['--version']).status !== 0)
    return 'no Docker engine answers, and none is installed here';

  process.env.DOCKER_HOST = `unix://${FOLDER}/docker.sock`;
  // one may be left of a run that was killed
  if (!(await answers())) await startDaemon(process.env.DOCKER_HOST);
  return {
    stop: async () => {
      const pid = Number(readFileSync(PID_FILE, 'utf8'));
      process.kill(pid, 'SIGTERM');
      while (await commandLine(pid)) await sleep(100);
    },
  };
}

async function startDaemon(host: string): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const logFile = `${FOLDER}/dockerd.log`;
  const log = openSync(logFile, 'w');
  const daemon = spawn(
    'dockerd',
    [
      `--data-root=${FOLDER}/data`,
      `--exec-root=${FOLDER}/exec`,
      `--pidfile=${PID_FILE}`,
      `--host=${host}`,
      '--log-level=warn',
    ],
    { stdio: ['ignore', log, log], detached: true }, // Ctrl-C is for us; we stop it when all is cleaned up
  );
  closeSync(log);
  daemon.unref();
  const ready = await poll(async () => daemon.exitCode !== null || answers(), 60_000);
  if (!ready || daemon.exitCode !== null) {
    daemon.kill('SIGKILL');
    throw new Error(
      `dockerd did not start:\n${readFileSync(logFile, 'utf8').split('\n').slice(-20).join('\n')}`,
    );
  }
}

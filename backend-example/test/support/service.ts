import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './free-port';

/** The built application. */
export const MAIN = join(__dirname, '../../dist/main.js');

/** What it is started with in every test. */
export const baseEnv = () => ({
  PATH: process.env.PATH,
  NODE_ENV: 'production',
  DATABASE_URL: process.env.TEST_DATABASE_URL,
  HOST: '127.0.0.1',
  PORT: '0',
  // never into a stack that runs on this machine
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
});

export type Service = Awaited<ReturnType<typeof startService>>;

/**
 * Runs the built application as its own process and waits until it listens.
 *
 * @param env over the settings of the test run; all ports are free ones
 * @param nodeOptions arguments for node, before the script
 */
export async function startService(
  env: Record<string, string> = {},
  nodeOptions: string[] = [],
) {
  const metricsPort = await freePort();
  const child = spawn(process.execPath, [...nodeOptions, MAIN], {
    env: {
      ...baseEnv(),
      OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
      OTEL_EXPORTER_PROMETHEUS_PORT: String(metricsPort),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const exited = once(child, 'exit') as Promise<
    [code: number | null, signal: NodeJS.Signals | null]
  >;
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));

  const output: string[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface(stream).on('line', (line) => {
        output.push(line);
        const address = /Listening on (http:\/\/[\w.:]+)/.exec(line)?.[1];
        if (address) resolve(address);
      });
    }
    child.once('exit', () => {
      reject(new Error(`The service did not start:\n${output.join('\n')}`));
    });
  });

  return {
    url,
    child,
    metricsUrl: `http://127.0.0.1:${metricsPort}`,
    /** Everything written to stdout and stderr so far, by line. */
    output,
    /** Sends a signal and waits for the end. */
    async stop(by: NodeJS.Signals = 'SIGTERM') {
      child.kill(by);
      const [code, signal] = await exited;
      return { code, signal };
    },
    /** For afterAll: ends what a failed test has left running. */
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await exited;
    },
  };
}

import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Context } from '../context.ts';
import { ROOT } from '../paths.ts';
import type { Component } from './component.ts';
import { databaseUrl } from './postgres.ts';

const FOLDER = join(ROOT, 'backend-example');
const MAIN = join(FOLDER, 'dist/main.js');

export const backend: Component = {
  name: 'backend-example',
  title: 'Books service',
  version: () =>
    (JSON.parse(readFileSync(join(FOLDER, 'package.json'), 'utf8')) as { version: string }).version,
  ports: [{ inside: 5555, setting: 'BOOKS_PORT' }, { inside: 8081 }],
  readiness: { port: 5555, path: '/health/ready' },
  page: '/api',
  after: 'postgres',
  stops: 1,
  async prepare({ context, port }) {
    await build(context);
    const { DATABASE_URL, FAULTS_ENABLED } = context.settings;
    return {
      file: process.execPath,
      args: [MAIN],
      cwd: FOLDER,
      // As docker-compose.yaml has it, on the loopback address.
      env: {
        NODE_ENV: 'production',
        HOST: '127.0.0.1',
        PORT: String(port('backend-example', 5555)),
        DATABASE_URL: DATABASE_URL || databaseUrl(port('postgres', 5432)),
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port('otel-collector', 4318)}`,
        OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
        OTEL_EXPORTER_PROMETHEUS_PORT: String(port('backend-example', 8081)),
        FAULTS_ENABLED,
      },
    };
  },
};

// Only when a source file is newer than the build: a warm start is a matter of seconds.
async function build({ env, progress, interrupted }: Context): Promise<void> {
  const modified = (file: string) => statSync(join(FOLDER, file)).mtimeMs;
  const sources = globSync(['src/**/*.ts', '*.json'], { cwd: FOLDER });
  if (existsSync(MAIN) && sources.every((file) => modified(file) < statSync(MAIN).mtimeMs)) return;
  progress.update('backend-example', 'building the service');
  const signal = interrupted();
  await promisify(execFile)('npm', ['run', 'build', '-w', 'backend-example'], {
    cwd: ROOT,
    env,
    signal,
  }).catch(({ stdout, stderr }: { stdout: string; stderr: string }) => {
    signal.throwIfAborted();
    throw new Error(`The service does not compile:\n${stdout}${stderr}`);
  });
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { baseEnvironment, type Command } from '../native/process.ts';
import type { Program } from '../native/programs.ts';
import { ROOT } from '../paths.ts';
import type { Settings } from '../settings.ts';

/** Its service in docker-compose.yaml. It is no part of the stack, which starts without it. */
export const LOAD_GENERATOR = 'load-generator';

const [OS, ARCHIVE] = process.platform === 'darwin' ? ['macos', 'zip'] : ['{os}', 'tar.gz'];

/** k6, which `npm run load` runs. */
export const k6 = ({ K6_VERSION }: Settings): Program => ({
  title: 'k6',
  name: 'k6',
  version: K6_VERSION,
  setting: 'K6_BINARY',
  release: {
    url: `https://github.com/grafana/k6/releases/download/v{version}/k6-v{version}-${OS}-{arch}.${ARCHIVE}`,
    checksums: 'k6-v{version}-checksums.txt',
    path: `k6-v{version}-${OS}-{arch}/k6`,
  },
});

/** How it is run beside a native stack: with load-generator/k6.env, which Compose reads too. */
export function loadCommand(settings: Settings, env: NodeJS.ProcessEnv): Omit<Command, 'file'> {
  const { BOOKS_PORT, OTLP_GRPC_PORT, LOAD_RATE, LOAD_DURATION } = settings;
  return {
    args: ['run', '--out=opentelemetry', join(ROOT, 'load-generator/books.js')],
    env: {
      ...baseEnvironment(env),
      ...parseEnv(readFileSync(join(ROOT, 'load-generator/k6.env'), 'utf8')),
      BOOKS_URL: `http://127.0.0.1:${BOOKS_PORT}`,
      LOAD_RATE: String(LOAD_RATE),
      LOAD_DURATION,
      K6_OTEL_GRPC_EXPORTER_ENDPOINT: `127.0.0.1:${OTLP_GRPC_PORT}`,
    },
  };
}

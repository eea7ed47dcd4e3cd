import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import type { Context } from '../context.ts';
import { baseEnvironment } from '../native/process.ts';
import type { Program } from '../native/programs.ts';
import { ROOT } from '../paths.ts';
import type { Settings } from '../settings.ts';

/** Its service in docker-compose.yaml. It is no part of the stack, which starts without it. */
export const LOAD_GENERATOR = 'load-generator';

const [OS, ARCHIVE] = process.platform === 'darwin' ? ['macos', 'zip'] : ['linux', 'tar.gz'];

/** k6, which `npm run load` runs. */
export const k6 = ({ K6_VERSION }: Settings): Program => ({
  title: 'k6',
  name: 'k6',
  version: K6_VERSION,
  setting: 'K6_BINARY',
  release: ({ version, arch }) => ({
    url: `https://github.com/grafana/k6/releases/download/v${version}/k6-v${version}-${OS}-${arch}.${ARCHIVE}`,
    checksums: `k6-v${version}-checksums.txt`,
    path: `k6-v${version}-${OS}-${arch}/k6`,
  }),
});

/**
 * How it is run beside a native stack: with load-generator/k6.env, which Compose reads too.
 * @param load LOAD_RATE and LOAD_DURATION
 */
export function loadCommand({ settings, env }: Context, load: NodeJS.ProcessEnv = {}) {
  const k6Env = readFileSync(join(ROOT, 'load-generator/k6.env'), 'utf8');
  return {
    args: ['run', '--out=opentelemetry', join(ROOT, 'load-generator/books.js')],
    env: {
      ...baseEnvironment(env),
      ...parseEnv(k6Env),
      ...load,
      BOOKS_URL: `http://127.0.0.1:${settings.BOOKS_PORT}`,
      K6_OTEL_GRPC_EXPORTER_ENDPOINT: `127.0.0.1:${settings.OTLP_GRPC_PORT}`,
    },
  };
}

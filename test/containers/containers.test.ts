import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { components } from '../../cli/components/index.ts';
import { createContext, type Context } from '../../cli/context.ts';
import { faultsEnabled, setFaults, startAnew } from '../../cli/faults.ts';
import { ROOT } from '../../cli/paths.ts';
import { Stores } from '../../cli/stores.ts';
import {
  imagesOf,
  provideImages,
  removeStandIns,
  type Origin,
} from '../../offline/images/images.ts';
import { docker, engine } from '../support/engine.ts';
import { freePorts } from '../support/native-stack.ts';
import { readPage } from '../support/pages.ts';
import { run } from '../support/run.ts';
import { assertTour, eventually, logsOf, makeData, traceOf, traffic } from '../support/signals.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  NAMES,
  PROJECT,
  allBecome,
  inspectAll,
  ofEach,
  onHost,
  processesOf,
  removeHelper,
  same,
  startHelper,
} from './containers.ts';
import { assertLockedUp, itIsLockedUp } from './hardening.ts';

// The repository's docker-compose.yaml and Dockerfiles on a real engine, brought up and taken down by
// the commands that people use, as a Compose project with ports of its own.

/** How README starts the stack, and makes its first request. */
const [UP, FIRST_REQUEST] = readPage('README.md')
  .blocks.filter(({ language }) => language === 'sh')
  .map(({ text }) => text) as [string, string];
const CREATED = 'POST /books/create 201';
const STACK = `label=com.docker.compose.project=${PROJECT}`;

/** Runs a verb as npm would. */
const command = (verb: string, env?: NodeJS.ProcessEnv) =>
  run(process.execPath, [join(ROOT, 'cli/main.js'), verb], env);

/** What Docker has of this test's project: containers with `ps`, volumes with `volume ls`. */
const listed = async (...what: string[]) =>
  (await docker(...what, '--quiet', '--filter', STACK)).split('\n').filter(Boolean).toSorted();

const started = await engine();
const skip = typeof started === 'string' && started;

describe('the stack in containers', { concurrency: 1, skip }, () => {
  let context: Context;
  let stores: Stores;
  let busybox: string;
  let origins: Map<string, Origin>;
  let traces: Record<string, string>;

  const isReal = (name: string) =>
    origins.get(imagesOf(name, process.env).at(-1)!) !== 'something else';

  before(async () => {
    process.chdir(ROOT);
    Object.assign(process.env, await freePorts(), {
      COMPOSE_PROJECT_NAME: PROJECT,
      STACK_FOLDER: temporaryFolder(),
      FAULTS_ENABLED: 'false',
      DATABASE_URL: '',
    });
    origins = await provideImages(createContext());
    console.log('Images that the containers are built from:');
    for (const [image, origin] of origins) console.log(`  ${image}: ${origin}`);
    process.env.COMPOSE_FILE = isReal('tempo')
      ? 'docker-compose.yaml'
      : 'docker-compose.yaml:offline/images/tempo-stand-in.yaml';
    context = createContext();
    stores = new Stores(context);
    [busybox] = imagesOf('mimir', context.env) as [string];
    await run('docker', ['compose', 'down', '--volumes']); // of a run that was killed
    await startHelper(busybox);
    assert.match(UP, /^docker compose up /);
    const up = await run('sh', ['-c', UP]);
    assert.equal(up.code, 0, up.output);
  });

  after(async () => {
    await removeHelper();
    await run('docker', ['compose', 'down', '--volumes', '--rmi=local']);
    await removeStandIns();
    if (typeof started !== 'string') await started.stop();
  });

  it("the first request of README leads to its log lines, to its trace, and to Grafana's home page", async (t) => {
    const { code, output } = await run('sh', [
      '-c',
      FIRST_REQUEST.replace('localhost:5555', new URL(stores.books).host),
    ]);
    assert.equal(code, 0, output);
    assert.match(output, /^HTTP\/1\.1 201 Created/m);
    const [, id] = /^X-Trace-Id: ([0-9a-f]{32})\s*$/m.exec(output)!;
    const lines = (await logsOf(stores, id!)).map(({ line }) => line);
    assert.deepEqual(lines, ['book created', 'POST /books/create 201']);
    await traceOf(stores, id!, 4);
    if (!isReal('grafana'))
      return t.skip('the logs and the trace are there; Grafana cannot be had');
    const headers = { authorization: `Basic ${Buffer.from('admin1:admin1').toString('base64')}` };
    const home = await fetch(`${stores.grafana}/api/dashboards/home`, { headers });
    assert.equal(((await home.json()) as any).dashboard.title, 'Follow one request');
  });

  it('npm start on top of docker compose up changes nothing, and tells what is ready', async () => {
    const runs = () => ofEach(({ Id, State }) => [Id, State.Status, State.StartedAt]);
    const containers = await runs();
    const { code, output } = await command('start');
    assert.equal(code, 0, output);
    assert.deepEqual(await runs(), containers);
    assert.match(output, /^Starting with Docker Compose\.$/m);
    for (const { title, version } of components)
      assert.match(
        output,
        new RegExp(
          `^  ${title} ${version(context.settings)} +ready in +\\d+\\.\\d s   \\(container\\)$`,
          'm',
        ),
      );
    assert.match(output, /^All ready in \d+\.\d s\.$/m);
    assert.ok(output.includes(`http://localhost:${context.settings.GRAFANA_PORT}\n`), output);
  });

  // ---- the signals arrive; what is in them is checked without containers

  it('npm run tour finds logs, trace and metrics of its own request', async () => {
    const { code, output } = await command('tour');
    assert.equal(code, 0, output);
    assertTour(output, { books: 1, requests: 1 }); // README's first request
  });

  it('a request is found by its trace id, in the logs and in the traces', async () => {
    traces = await traffic(stores);
    const [lines, spans] = await Promise.all([
      logsOf(stores, traces[CREATED]!),
      traceOf(stores, traces[CREATED]!, 4),
    ]);
    const [, route, status] = CREATED.split(' ');
    const line = lines.find(({ labels }) => labels.http_response_status_code === status);
    assert.equal(line?.labels.http_route, route);
    const root = spans.find(({ kind }) => kind === 'SERVER');
    assert.equal(root?.spanId, line?.labels.span_id);
  });

  it('every scrape target is up', async () => {
    // PostgreSQL has no metrics, and what stands in for Grafana has none either.
    const expected = NAMES.filter(
      (name) => name !== 'postgres' && (name !== 'grafana' || isReal(name)),
    ).toSorted();
    const up = await eventually(`${expected.join(', ')}, all up`, async () => {
      const jobs = (await stores.queryMetrics('up == 1')).map(({ labels }) => labels.job!);
      return jobs.length >= expected.length && jobs;
    });
    assert.deepEqual(up.toSorted(), expected);
  });

  it('npm run load sends its traffic from a container that is locked up like the others', async () => {
    const load = command('load', { LOAD_RATE: '20', LOAD_DURATION: '5s' });
    const id = await eventually('its container', () =>
      docker(
        'ps',
        '--quiet',
        `--filter=${STACK}`,
        '--filter=label=com.docker.compose.service=load-generator',
      ),
    );
    const [found] = JSON.parse(await docker('inspect', id));
    const lockedUp = await assertLockedUp(found).catch((error: unknown) => error);
    const { code, output } = await load; // before anything can fail, so that it is gone then
    assert.equal(lockedUp, undefined);
    assert.equal(code, 0, output);
    const count = Number(/http_reqs\.+: (\d+) /.exec(output)?.[1]);
    assert.ok(count > 0, output);
    await eventually(
      `its ${count} requests in Mimir`,
      async () => (await stores.queryNumber('sum(k6_http_reqs_total)')) === count,
    );
  });

  itIsLockedUp(() => ({ settings: context.settings, busybox }));

  it('logs, traces and metrics are deleted after seven days', async (t) => {
    const config = async (url: string) => {
      const text = await (await fetch(url)).text();
      return parse(text.replace(/^GET .*\n/, '')) as any; // Tempo repeats the request first
    };
    const loki = await config(`${stores.loki}/config`);
    assert.equal(loki.limits_config.retention_period, '1w');
    assert.equal(loki.compactor.retention_enabled, true);
    const mimir = await config(`${stores.mimir}/config`);
    assert.equal(mimir.limits.compactor_blocks_retention_period, '1w');
    if (!isReal('tempo')) return t.diagnostic('not checked for the stand-in of Tempo');
    const tempo = await config(`${stores.tempo}/status/config`);
    assert.equal(tempo.backend_worker.compaction.block_retention, '168h0m0s');
  });

  // ---- what happens when something breaks, is stopped, or started anew

  it('each health check fails when its service does not answer; what is killed is started again', async () => {
    // Frozen, not ended: nothing restarts it. The service itself runs, but its database does not answer.
    const frozen = NAMES.filter((name) => name !== 'backend-example');
    const processes = (await Promise.all(frozen.map(processesOf))).flat();
    // One that has ended since, such as a health check's own, is passed over.
    const signal = (name: string) =>
      onHost('sh', '-c', `kill -${name} ${processes.join(' ')} || true`);
    const { Pid } = (await inspectAll()).loki.State;
    try {
      await signal('STOP');
      await allBecome(true, ({ Health }) => Health.FailingStreak > 0);
      // by a signal from outside: after `docker kill` Docker takes it for wanted and leaves it stopped
      await onHost('kill', '-9', String(Pid));
    } finally {
      await signal('CONT');
    }
    await allBecome('healthy 0', ({ Health }) => `${Health.Status} ${Health.FailingStreak}`);
    const restarts = await ofEach(({ RestartCount }) => RestartCount as number);
    assert.deepEqual(restarts, { ...same(0), loki: 1 });
    assert.ok((await logsOf(stores, traces[CREATED]!)).length > 0);
  });

  it('npm stop and npm start keep books, logs, metrics, and traces where it is Tempo; a proxy of Docker is used by nothing inside', async (t) => {
    const stillThere = await makeData(stores, traces[CREATED]!);
    const kept = await listed('volume', 'ls');
    assert.ok(kept.length > 0);

    const stopped = await command('stop');
    assert.equal(stopped.code, 0, stopped.output);
    assert.deepEqual(await listed('ps', '--all'), []);
    assert.deepEqual(await listed('volume', 'ls'), kept);
    // Meanwhile Docker's client was given a proxy, which it hands to every container.
    const proxy = 'http://192.0.2.1:1'; // nobody answers there
    const config = temporaryFolder();
    const proxies = { default: { httpProxy: proxy, httpsProxy: proxy } };
    writeFileSync(join(config, 'config.json'), JSON.stringify({ proxies }));
    const again = await command('start', { DOCKER_CONFIG: config });
    assert.equal(again.code, 0, again.output);
    const given = await ofEach(({ Config }) => Config.Env.includes(`HTTP_PROXY=${proxy}`));
    assert.deepEqual(given, same(true));
    await allBecome('healthy', ({ Health }) => Health.Status);
    const tour = await command('tour');
    assert.equal(tour.code, 0, tour.output);

    await stillThere();
    if (isReal('tempo')) await traceOf(stores, traces[CREATED]!, 4);
    else t.diagnostic('traces not checked: the stand-in keeps them in memory');
  });

  it('a lesson starts the service anew with fault injection, and then without', async () => {
    const name = 'backend-example';
    const faults = () => fetch(`${stores.books}/faults`);
    assert.equal(await faultsEnabled(context), false);
    await startAnew(context, { name, env: { FAULTS_ENABLED: 'true' } });
    try {
      assert.equal((await faults()).status, 200);
      await setFaults(context, { errorRatio: 1 });
      assert.equal((await fetch(`${stores.books}/books/find`)).status, 500);
      await setFaults(context, {});
      assert.equal((await fetch(`${stores.books}/books/find`)).status, 200);
    } finally {
      await startAnew(context, { name, env: { FAULTS_ENABLED: 'false' } });
    }
    assert.equal((await faults()).status, 404);
  });

  // ---- npm start, when it cannot

  it('npm start says that an image cannot be pulled', async () => {
    const { code, output } = await command('start', { LOKI_VERSION: '0.0.0' });
    assert.equal(code, 1);
    assert.match(
      output,
      /^Docker failed: an image cannot be pulled: .*\nThe end of what it said:\n {4}/m,
    );
  });

  it('npm start says which component does not get ready, and why', async () => {
    const file = join(context.settings.STACK_FOLDER, 'broken.yaml');
    writeFileSync(file, 'services: { loki: { command: [-not-a-flag] } }');
    const { code, output } = await command('start', {
      COMPOSE_FILE: `${process.env.COMPOSE_FILE}:${file}`,
    });
    assert.equal(code, 1);
    assert.match(output, /^Loki did not get ready\. The end of its log .*:\n {4}.*not-a-flag/ms);
  });

  it('docker compose down --volumes removes everything', async () => {
    assert.notDeepEqual(await listed('volume', 'ls'), []);
    await docker('compose', 'down', '--volumes');
    assert.deepEqual(await listed('ps', '--all'), []);
    assert.deepEqual(await listed('volume', 'ls'), []);
  });

  it('npm start names who holds a port: a process or a container', async () => {
    const { LOKI_PORT, MIMIR_PORT } = context.settings;
    const server = createServer().listen(LOKI_PORT, '127.0.0.1');
    await once(server, 'listening');
    const holder = `${PROJECT}-holder`;
    const publish = `--publish=127.0.0.1:${MIMIR_PORT}:80`;
    try {
      await docker('run', '--detach', '--rm', `--name=${holder}`, publish, busybox, 'sleep', '600');
      const { code, output } = await command('start');
      assert.equal(code, 1);
      for (const sentence of [
        `Port ${LOKI_PORT}, which Loki needs, is held by process ${process.pid} (`,
        `Port ${MIMIR_PORT}, which Mimir needs, is held by the container ${holder}.\nNothing was started.`,
      ])
        assert.ok(output.includes(sentence), output);
      assert.deepEqual(await listed('ps', '--all'), []);
    } finally {
      server.close();
      await run('docker', ['rm', '--force', holder]);
    }
  });
});

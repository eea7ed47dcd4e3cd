import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ROOT } from '../../cli/paths.ts';
import { NativeStack } from '../support/native-stack.ts';
import { assertTour, eventually } from '../support/signals.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// A native stack on the machines that readers have.

/** What other tools leave in a shell. */
const SHELL = {
  // AI coding tools export these
  OTEL_METRICS_EXPORTER: 'otlp',
  OTEL_LOGS_EXPORTER: 'otlp',
  OTEL_TRACES_EXPORTER: 'console',
  OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
  OTEL_SDK_DISABLED: 'true',
  OTEL_RESOURCE_ATTRIBUTES: 'service.name=mine',
  // of the reader's own project
  PORT: '1',
  HOST: '192.0.2.1',
  LOG_LEVEL: 'verbose',
  NODE_ENV: 'test',
  NODE_OPTIONS: '--no-warnings',
  PGHOST: '192.0.2.1',
  PGDATA: '/nowhere',
  GF_SERVER_HTTP_PORT: '1',
  K6_VUS: '5',
  K6_ITERATIONS: '1',
  // a company's proxy, through which nothing on this machine is reached
  HTTP_PROXY: 'http://127.0.0.1:1',
  https_proxy: 'http://127.0.0.1:1',
  NODE_USE_ENV_PROXY: '1',
  NO_PROXY: '',
  // empty is as good as unset
  COMPOSE_PROJECT_NAME: '',
  XDG_CACHE_HOME: '',
  TZ: 'Pacific/Kiritimati',
  LC_ALL: 'tr_TR.UTF-8',
};

describe("a native stack in a reader's shell", { concurrency: 1 }, () => {
  let stack: NativeStack;
  let umask: number;

  before(async () => {
    // a path that looks like a container's, with a space, in a folder that nobody else may enter
    const folder = join(temporaryFolder(), 'data/loki/my stack');
    stack = await NativeStack.create({ ...SHELL, STACK_FOLDER: folder });
    umask = process.umask(0o077);
    await stack.start();
  });
  after(async () => {
    await stack.stop();
    process.umask(umask);
  });

  it('sends logs, trace and metrics as ever', async () => {
    const tour = await stack.command('tour');
    assert.equal(tour.code, 0, tour.output);
    assertTour(tour.output);
    const doctor = await stack.command('doctor');
    assert.equal(doctor.code, 0, doctor.output);
  });

  it('is traced by nobody but the service: Mimir and Tempo have not seen the shell', async () => {
    const found = await stack.stores.queryMetrics(
      'group by (service_name) (traces_spanmetrics_calls_total)',
    );
    const names = found.map(({ labels }) => labels.service_name);
    assert.deepEqual(new Set(names), new Set(['backend-example', 'doctor']));
  });

  it('gives each process these variables, and no other', () => {
    const allowed: Record<string, string[]> = {
      'backend-example':
        'DATABASE_URL FAULTS_ENABLED HOST NODE_ENV OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_PROMETHEUS_HOST OTEL_EXPORTER_PROMETHEUS_PORT PORT'.split(
          ' ',
        ),
      alertmanager: ['HTTP_PROXY', 'NO_PROXY', 'https_proxy', 'no_proxy'],
    };
    for (const { name, pid } of stack.record().components) {
      const names = readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .filter(Boolean)
        .map((pair) => pair.split('=')[0]!)
        .filter((variable) => !['PATH', 'HOME', 'TMPDIR', 'PG_GRANDPARENT_PID'].includes(variable));
      assert.deepEqual(names.toSorted(), (allowed[name] ?? []).toSorted(), name);
    }
  });

  it('npm run load makes as many requests as it is asked to', async () => {
    const { code, output } = await stack.command('load', '--rate=10', '--duration=3s');
    assert.equal(code, 0, output);
    assert.ok(Number(/http_reqs\.+: (\d+) /.exec(output)?.[1]) > 20, output);
  });

  it('whoever reads its output may stop reading', async () => {
    for (const verb of ['status', 'doctor']) {
      const { code, output } = await stack.run(
        'env',
        '-u',
        'LC_ALL', // bash has something to say about a locale that is not installed
        'bash',
        '-o',
        'pipefail',
        '-c',
        `'${process.execPath}' cli/main.js ${verb} 2>&1 | head -1`,
      );
      assert.equal(output.trim().split('\n').length, 1, output);
      assert.doesNotMatch(output, /EPIPE|at .*node:/);
      assert.ok(code === 0 || code === 1, output);
    }
    await stack.stop();
    const start = `'${process.execPath}' cli/main.js start --native 2>&1 | head -3`;
    const { output } = await stack.run('env', '-u', 'LC_ALL', 'bash', '-c', start);
    assert.doesNotMatch(output, /EPIPE/);
    await eventually('the whole stack', async () => {
      const { code, output } = await stack.command('status');
      return code === 0 && !/starting|NOT READY/.test(output) && output.includes('Books service');
    });
  });

  it('two npm start at once: one wins, and the other says so', async () => {
    await stack.stop();
    const both = await Promise.all([
      stack.command('start', '--native'),
      stack.command('start', '--native'),
    ]);
    const outputs = both.map(({ output }) => output);
    assert.equal(
      both.filter(({ output }) => /^All ready in /m.test(output)).length,
      1,
      outputs.join(),
    );
    assert.ok(
      outputs.some((output) => /Another npm start is under way|is already running/.test(output)),
      outputs.join(),
    );
    assert.equal((await stack.command('status')).code, 0);
  });

  it('npm stop while it starts ends it', async () => {
    await stack.stop();
    const starting = spawn(process.execPath, ['cli/main.js', 'start', '--native'], {
      cwd: ROOT,
      env: stack.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = once(starting, 'exit');
    await eventually('the first process', async () => {
      const { ended, components } = stack.record();
      return !ended && components.length > 0;
    });
    await stack.stop();
    assert.equal((await ended)[0], 1);
    assert.match((await stack.command('status')).output, /it was asked to stop/);
  });
});

describe('a native stack on a disk that fills', { concurrency: 1 }, () => {
  it('says so, and goes on when there is space again', async (t) => {
    const folder = join(temporaryFolder(), 'disk');
    mkdirSync(folder);
    const stack = await NativeStack.create({ STACK_FOLDER: folder });
    const mount = await stack.run('mount', '-t', 'tmpfs', '-o', 'size=1200m', 'tmpfs', folder);
    if (mount.code !== 0) return t.skip(`no small disk can be made here: ${mount.output.trim()}`);
    try {
      await stack.start();
      await stack.run('sh', '-c', `cat /dev/zero > '${folder}/ballast'`);
      const full = await stack.command('doctor');
      assert.match(full.output, /✘ Disk +has only 0\.0 GB left/);
      assert.match(
        (await stack.command('status')).output,
        /^The disk of .* has only 0\.0 GB left/m,
      );
      rmSync(join(folder, 'ballast'));
      await eventually('a stack without a fault', async () => {
        const { code } = await stack.command('tour');
        return code === 0;
      });
    } finally {
      await stack.stop();
      await stack.run('umount', folder);
    }
  });
});

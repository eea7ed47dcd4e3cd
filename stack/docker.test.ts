import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { run, type Outcome } from '../test/docker/engine.ts';
import { temporaryFolder } from '../test/temporary-folder.ts';
import { ROOT } from './components.ts';
import type { RunRecord } from './run-folder.ts';

/** Runs `node stack/<name>.ts` with a `docker` that answers like this shell script. */
function command(
  name: string,
  script: string,
  env: Record<string, string> = {},
  folder = temporaryFolder(),
  ...args: string[]
): Promise<Outcome> {
  const file = join(folder, 'docker');
  writeFileSync(file, `#!/bin/sh\n${script}`);
  chmodSync(file, 0o755);
  return run(process.execPath, [join(ROOT, `stack/${name}.ts`), ...args], {
    PATH: `${folder}:${process.env.PATH}`,
    STACK_FOLDER: folder,
    ...env,
  });
}

/** An engine and a Compose that answer; `up` is what `docker compose up` does, before them these lines. */
const working = (up: string, ...lines: string[]) => `case "$1 $2" in
${lines.join('\n')}
'version --format') echo 26.1.5;;
'compose version') echo v2.26.1;;
'compose config') echo '{"services": {}}';;
'compose up') ${up};;
'compose logs') echo 'permission denied: /loki/wal';;
esac`;

describe('npm start', () => {
  for (const [failure, script, message] of [
    [
      'without Docker uses local processes',
      'exit 127',
      /^Docker does not answer: starting the same components as local processes\.\n+Without Docker, ports and versions are fixed: unset .*LOKI_PORT/m,
    ],
    [
      'uses local processes when the engine does not run',
      `echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2; exit 1`,
      /^Docker does not answer: /m,
    ],
    [
      'says that the socket may not be used',
      `echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1`,
      /^Docker runs, but you may not use its socket: .*usermod/m,
    ],
    [
      'says that Compose v2 is missing',
      `[ "$1" = compose ] && { echo "docker: 'compose' is not a docker command." >&2; exit 1; }; echo 26.1.5`,
      /^Docker answers, but Compose v2 is missing/m,
    ],
    [
      'says that the disk is full',
      working(
        `echo 'write /var/lib/docker/tmp/x: no space left on device' >&2; exit 1`,
      ),
      /^The disk is full: .*docker system prune.*\nThe end of what docker compose said:\n {4}write .* no space left on device$/m,
    ],
    [
      'says that an image cannot be pulled',
      working(
        `echo 'failed to solve: grafana/loki:3.7.8: failed to resolve source metadata for docker.io/grafana/loki:3.7.8' >&2; exit 1`,
      ),
      /^An image could not be pulled: /m,
    ],
    [
      'says that the engine is too old',
      working(
        `echo "can't set healthcheck.start_interval as feature require Docker Engine v25 or later" >&2; exit 1`,
      ),
      /^The Docker engine is too old .*: version 25 or newer is needed/m,
    ],
    [
      'shows the log of the container that does not get ready',
      working(
        `echo 'dependency failed to start: container lgtm-stack-loki-1 is unhealthy' >&2; exit 1`,
      ),
      /^Loki did not get ready\. .*docker compose logs loki.*:\n {4}permission denied: \/loki\/wal$/m,
    ],
    [
      'shows the log of a service of your own that does not get ready',
      working(
        `echo 'dependency failed to start: container lgtm-stack-my-own-1 is unhealthy' >&2; exit 1`,
      ),
      /^my-own did not get ready\. /m,
    ],
    [
      'shows what Compose said about anything else',
      working(`echo 'yaml: line 7: surprise' >&2; exit 14`),
      /^docker compose failed\. .*\nThe end of what docker compose said:\n {4}yaml: line 7: surprise$/m,
    ],
  ] as const)
    it(failure, async () => {
      const { code, output } = await command('start', script, {
        LOKI_PORT: '1', // a native run refuses this: it tells us that it came so far, and starts nothing
      });
      assert.equal(code, 1, output);
      assert.match(output, message);
    });

  it('starts a service of your own, too', async () => {
    const { code, output } = await command(
      'start',
      working(
        'sleep 1',
        `'compose config') echo '{"services": {"my-own": {"ports": [{"published": "1"}, {}, {"published": "8000-8010"}]}}}';;`,
        `'ps --filter') case "$*" in *--quiet) echo 4711;; esac;;`,
        `'inspect --format') echo my-own 2026-01-01T00:00:00Z healthy;;`,
      ),
    );
    assert.equal(code, 0, output);
    assert.match(output, /^  my-own +ready in +\d\.\d s   \(container\)$/m);
  });

  const STOP = 'kill -INT $PPID; sleep 0.5';

  it('starts no container after Ctrl-C', async () => {
    const { code, output } = await command(
      'start',
      working(
        '',
        `'compose stop') exit 1;;`, // it would have to, had something been started
        `'compose config') ${STOP}; echo '{"services": {}}';;`,
      ),
    );
    assert.equal(code, 130, output);
    assert.match(output, /^Stopped\. Nothing is left running\.$/m);
  });

  it('says so when containers are left after Ctrl-C', async () => {
    const { code, output } = await command(
      'start',
      working(STOP, `'compose stop') exit 1;;`),
    );
    assert.equal(code, 1, output);
    assert.match(
      output,
      /^"docker compose stop" ended .* Try again: npm stop$/m,
    );
    assert.doesNotMatch(output, /Nothing is left/);
  });
});

describe('npm run status', () => {
  /** Runs it after a native run that has left this record. */
  function status(record: RunRecord, script: string): Promise<Outcome> {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'run.json'), JSON.stringify(record));
    return command('status', script, {}, folder);
  }
  const crashed = { supervisor: 0, ended: 'yesterday: mimir', components: [] };

  it('tells of a crashed native run where there are no containers', async () => {
    const { code, output } = await status(crashed, working(''));
    assert.equal(code, 1, output);
    assert.match(
      output,
      /^The stack is not running\. It ended yesterday: mimir/,
    );
  });

  it('shows containers where there are any', async () => {
    const ps = `'compose ps') echo the table;;`;
    const { code, output } = await status(crashed, working('', ps));
    assert.equal(code, 0, output);
    assert.match(output, /^the table/);
  });

  it('tells what is starting and what is not ready', async () => {
    const supervisor = spawn(process.execPath, [
      '-e',
      'setInterval(() => {}, 1000)',
      'supervisor.ts',
    ]);
    const part = { version: '1', source: 'cache', pid: supervisor.pid! };
    const components = [
      { ...part, name: 'loki', title: 'Loki' },
      { ...part, name: 'postgres', title: 'PostgreSQL', readyAfter: 900 },
    ];
    try {
      const { output } = await status(
        { supervisor: supervisor.pid!, components },
        'exit 1',
      );
      assert.match(output, /^Loki +1 +starting +\d+ MB +pid/m);
      assert.match(
        output,
        /^PostgreSQL +1 +NOT READY +\d+ MB +started in 0\.9 s .* nothing listens on port 15432$/m,
      );
    } finally {
      supervisor.kill();
    }
  });
});

describe('npm run doctor', () => {
  it('asks for the ports of the containers while these do not run', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const services = { loki: { ports: [{ published: String(port) }] } };
    const config = JSON.stringify({ services });
    try {
      const { output } = await command(
        'doctor',
        working('', `'compose config') echo '${config}';;`),
      );
      assert.match(
        output,
        new RegExp(
          `^✘ Ports +Port ${port}, which Loki needs, is held by process ${process.pid} `,
          'm',
        ),
      );
    } finally {
      other.close();
    }
  });

  it('does not take an error of Compose for a stack that runs', async () => {
    const { output } = await command(
      'doctor',
      working('', `'compose ps') echo 'yaml: line 7: surprise' >&2; exit 15;;`),
    );
    assert.match(output, /^✘ Stack +does not run/m);
  });
});

describe('npm run lesson', () => {
  /** Runs one that pauses a container, and presses Ctrl-C twice; `unpause` is how the repair goes. */
  async function lesson(unpause: string): Promise<Outcome> {
    const stores = createServer((request, response) =>
      response.end(
        request.url!.startsWith('/api/v2/alerts')
          ? '[]'
          : '{"data": {"result": []}}',
      ),
    );
    await once(stores.listen(0, '127.0.0.1'), 'listening');
    const port = String((stores.address() as AddressInfo).port);
    const script = working(
      '',
      `'compose pause') (for i in 1 2; do sleep 0.5; kill -INT $PPID; done) >/dev/null 2>&1 &;;`,
      `'compose unpause') sleep 1; ${unpause};;`,
    );
    return command(
      'lesson',
      script,
      { BOOKS_PORT: port, LOKI_PORT: port, ALERTMANAGER_PORT: port },
      undefined,
      'collector-down',
    ).finally(() => {
      stores.close();
      stores.closeAllConnections();
    });
  }

  it('repairs what it broke after Ctrl-C, and is not cut short by another', async () => {
    const folder = temporaryFolder();
    const { code, output } = await lesson(`echo > ${folder}/repaired`);
    assert.equal(code, 130, output);
    assert.ok(existsSync(join(folder, 'repaired')), output);
  });

  it('says so when the repair fails', async () => {
    const { code, output } = await lesson('echo no such container >&2; exit 1');
    assert.equal(code, 130, output);
    assert.match(
      output,
      /^"docker compose unpause otel-collector" failed: no such container$/m,
    );
  });
});

describe('npm run load', () => {
  /** Runs it, with a service that answers 200; `k6` is what `docker compose run` does. */
  async function load(k6: string): Promise<Outcome> {
    const service = createServer((_, response) => response.end());
    await once(service.listen(0, '127.0.0.1'), 'listening');
    const { port } = service.address() as AddressInfo;
    const script = working('', `'compose run') ${k6};;`);
    return command('load', script, { BOOKS_PORT: String(port) }).finally(() => {
      service.close();
      service.closeAllConnections();
    });
  }

  it('ends with the code of k6 in its container', async () => {
    const { code, output } = await load('exit 99');
    assert.equal(code, 99, output);
  });

  it('hands on that it is asked to end', async () => {
    const { code, output } = await load(
      'trap "exit 7" TERM; kill -TERM $PPID; while :; do sleep 0.1; done',
    );
    assert.equal(code, 7, output);
  });
});

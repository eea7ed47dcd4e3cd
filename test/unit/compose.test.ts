import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { Context } from '../../cli/context.ts';
import { doctor } from '../../cli/doctor.ts';
import { load } from '../../cli/load.ts';
import type { RunRecord } from '../../cli/run.ts';
import { readSettings } from '../../cli/settings.ts';
import { start } from '../../cli/start.ts';
import { status } from '../../cli/status.ts';
import { ProgressLine } from '../../cli/terminal.ts';
import type { Verb } from '../../cli/verbs.ts';
import type { Outcome } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { command } from './command.ts';

// The verbs, where `docker` is a shell script of the test. They run in this process, but for those that
// have to be interrupted, or that show what docker itself prints.

/** The variables with which `docker` answers like this shell script; the stack's folder is new. */
function fakeDocker(script: string, folder = temporaryFolder()): Record<string, string> {
  writeFileSync(join(folder, 'docker'), `#!/bin/sh\n${script}`, { mode: 0o755 });
  return { PATH: `${folder}:${process.env.PATH}`, STACK_FOLDER: folder };
}

class SilentProgress extends ProgressLine {
  override update(): void {}
}

/** Runs a verb in this process; its output is what it prints, and the message with which it fails. */
async function call(verb: Verb, env: Record<string, string>): Promise<Outcome> {
  const lines: string[] = [];
  const context: Context = {
    settings: readSettings(env),
    env,
    now: Date.now,
    fetch,
    freeBytes: () => 1e12,
    print: (line = '') => void lines.push(line),
    progress: new SilentProgress(),
    interrupted: () => new AbortController().signal,
  };
  const code = await verb(context, {}).catch((error: Error) => {
    lines.push(error.message);
    return 1;
  });
  return { code, output: stripVTControlCharacters(lines.join('\n')) };
}

/** Stands for the books service, without faults, and for every store: well, and with nothing to tell. */
const server = createServer(({ url }, response) => {
  if (url === '/faults') response.statusCode = 404;
  response.end(url!.startsWith('/api/v2/alerts') ? '[]' : '{"data": {"result": []}}');
});
let port: string;
before(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  port = String((server.address() as AddressInfo).port);
});
after(() => {
  server.close();
  server.closeAllConnections();
});

/** An engine and a Compose that answer; `up` is what `docker compose up` does, before them these lines. */
const working = (up: string, ...lines: string[]) => `case "$1 $2" in
${lines.join('\n')}
'version --format') echo 26.1.5;;
'compose version') echo v2.26.1;;
'ps --filter') echo lgtm-stack-loki-1 lgtm-stack;;
'compose up') ${up};;
'compose logs') echo 'permission denied: /loki/wal';;
esac`;

describe('npm start', () => {
  // Its port is taken, so that a native run starts nothing; that tells us that it came so far.
  const nativeAfter = (first: string) =>
    new RegExp(
      `^${first}[^]*?\\n\\n(Port .*\\n)*Port \\d+, which Loki needs, is held by process ${process.pid} \\(`,
      'm',
    );

  for (const [failure, script, message] of [
    [
      'without Docker uses local processes',
      'exit 127',
      nativeAfter('There is no Docker: starting the same components as local processes\\.'),
    ],
    [
      'uses local processes when the engine does not run, and says how to use it instead',
      `[ "$1" = --version ] && exit; echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2; exit 1`,
      nativeAfter(
        'Docker is installed, but no engine answers\\. To use it, press Ctrl-C, start it ',
      ),
    ],
    [
      'does not use an engine on another machine',
      working('', `'context inspect') echo ssh://me@nas;;`),
      /^Docker's engine is on another machine \(ssh:\/\/me@nas\), .* npm start -- --native/m,
    ],
    [
      'says that the engine cannot limit processors',
      working(
        `echo 'Error response from daemon: NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler' >&2; exit 1`,
      ),
      /^Docker failed: the engine cannot limit processors: .* What helps: delete the line `cpus: 1` in docker-compose\.yaml$/m,
    ],
    [
      'says that Docker from snap cannot start what may not get privileges',
      working(
        `echo 'dependency failed to start: container lgtm-stack-loki-1 exited (255)' >&2; exit 1`,
        `'compose logs') echo 'exec /usr/bin/loki: operation not permitted';;`,
      ),
      /^Loki did not get ready: Docker from snap starts nothing .* Docker from its own packages \(https:/m,
    ],
    [
      'says that the socket may not be used',
      `echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1`,
      /^Docker failed: your user may not use Docker's socket\. .*usermod/m,
    ],
    [
      'says that Compose v2 is missing',
      `[ "$1" = compose ] && { echo "docker: 'compose' is not a docker command." >&2; exit 1; }; echo 26.1.5`,
      /^Docker failed: Compose v2 is missing/m,
    ],
    [
      'says that the disk is full',
      working(`echo 'write /var/lib/docker/tmp/x: no space left on device' >&2; exit 1`),
      /^Docker failed: the disk is full\. .*docker system prune.*\nThe end of what it said:\n {4}write .* no space left on device$/m,
    ],
    [
      'says that an image cannot be pulled',
      working(
        `echo 'failed to solve: grafana/loki:3.7.8: failed to resolve source metadata for docker.io/grafana/loki:3.7.8' >&2; exit 1`,
      ),
      /^Docker failed: an image cannot be pulled: .* What helps: `npm start -- --native`$/m,
    ],
    [
      'says that the engine is too old',
      working(
        `echo "can't set healthcheck.start_interval as feature require Docker Engine v25 or later" >&2; exit 1`,
      ),
      /^Docker failed: the Docker engine is too old .*: version 25 or newer is needed/m,
    ],
    [
      'says that a port was taken while the containers started',
      working(`echo 'Bind for 127.0.0.1:3100 failed: port is already allocated' >&2; exit 1`),
      /^Docker failed: a port was taken in the meantime\. /m,
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
      /^Docker failed\. npm start -- --native .*\nThe end of what it said:\n {4}yaml: line 7: surprise$/m,
    ],
  ] as const)
    it(failure, async () => {
      const { code, output } = await call(start, { ...fakeDocker(script), LOKI_PORT: port });
      assert.equal(code, 1, output);
      assert.match(output, message);
    });

  it('starts a service of your own, too', async () => {
    const { code, output } = await call(
      start,
      fakeDocker(
        working(
          `for part in loki my-own; do echo " Container lgtm-stack-$part-1  Healthy"; done >&2`,
        ),
      ),
    );
    assert.equal(code, 0, output);
    assert.match(output, /^ {2}Loki \S+ +ready in +\d+\.\d s {3}\(container\)$/m);
    assert.match(output, /^ {2}my-own +ready in +\d+\.\d s {3}\(container\)$/m);
  });

  const STOP = 'kill -INT $PPID; sleep 0.5';

  it('starts no container after Ctrl-C', async () => {
    const { code, output } = await command(
      fakeDocker(
        working(
          '',
          `'compose stop') exit 1;;`, // it would have to, had something been started
          `'compose version') ${STOP};;`,
        ),
      ),
      'start',
    );
    assert.equal(code, 130, output);
    assert.match(output, /^Stopped\. Nothing is left running\.$/m);
  });

  it('says so when containers are left after Ctrl-C', async () => {
    const { code, output } = await command(
      fakeDocker(working(STOP, `'compose stop') exit 1;;`)),
      'start',
    );
    assert.equal(code, 1, output);
    assert.match(output, /^Command failed .*: docker compose stop\. Try again: npm stop$/m);
    assert.doesNotMatch(output, /Nothing is left/);
  });
});

describe('npm run status', () => {
  /** The variables after a native run that has left this record. */
  function afterRun(record: RunRecord, script: string): Record<string, string> {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'run.json'), JSON.stringify(record));
    return fakeDocker(script, folder);
  }
  const crashed = { supervisor: 0, ended: 'yesterday: mimir', ports: {}, components: [] };

  it('tells of a crashed native run where there are no containers', async () => {
    const { code, output } = await call(status, afterRun(crashed, working('')));
    assert.equal(code, 1, output);
    assert.match(output, /^The stack is not running\. It ended yesterday: mimir/);
  });

  it('shows containers where there are any', async () => {
    const ps = `'compose ps') echo the table;;`;
    const { code, output } = await command(afterRun(crashed, working('', ps)), 'status');
    assert.equal(code, 0, output);
    assert.match(output, /^the table/);
  });

  it('tells what is starting and what is not ready', async () => {
    const forever = ['-e', 'setInterval(() => {}, 1000)', 'supervisor.ts'];
    const supervisor = spawn(process.execPath, forever);
    const part = { version: '1', source: 'cache', pid: supervisor.pid!, ready: { port: 1 } };
    const components = [
      { ...part, name: 'loki', title: 'Loki' },
      { ...part, name: 'postgres', title: 'PostgreSQL', readyAfter: 900 },
    ];
    try {
      const record = { supervisor: supervisor.pid!, ports: {}, components };
      const { output } = await call(status, afterRun(record, 'exit 1'));
      assert.match(output, /^Loki +1 +starting +\d+ MB +pid/m);
      assert.match(
        output,
        /^PostgreSQL +1 +NOT READY +\d+ MB +started in 0\.9 s .* nothing listens on port 1$/m,
      );
    } finally {
      supervisor.kill();
    }
  });
});

describe('npm run doctor', () => {
  it('asks for the ports of the containers while these do not run', async () => {
    const { output } = await call(doctor, {
      ...fakeDocker(working('', `'ps --filter') ;;`)),
      LOKI_PORT: port,
    });
    assert.match(
      output,
      new RegExp(
        `^✘ Ports +Port ${port}, which Loki needs, is held by process ${process.pid} `,
        'm',
      ),
    );
  });

  it('does not take an error of Compose for a stack that runs', async () => {
    const { output } = await call(
      doctor,
      fakeDocker(working('', `'compose ps') echo 'yaml: line 7: surprise' >&2; exit 15;;`)),
    );
    assert.match(
      output,
      /^✘ Stack +The stack is not running; it was never started here\. Start it: npm start$/m,
    );
  });
});

describe('npm run lesson', () => {
  const run = (name: string, script: string): Promise<Outcome> => {
    const ports = { BOOKS_PORT: port, LOKI_PORT: port, ALERTMANAGER_PORT: port };
    return command({ ...fakeDocker(script), ...ports }, 'lesson', name);
  };

  /** Runs one that pauses a container, and presses Ctrl-C twice; `unpause` is how the repair goes. */
  const lesson = (unpause: string): Promise<Outcome> =>
    run(
      'collector-down',
      working(
        '',
        `'compose pause') (for i in 1 2; do sleep 0.5; kill -INT $PPID; done) >/dev/null 2>&1 &;;`,
        `'compose unpause') sleep 1; ${unpause};;`,
      ),
    );

  it('repairs what it broke after Ctrl-C, and is not cut short by another', async () => {
    const folder = temporaryFolder();
    const { code, output } = await lesson(`echo > ${folder}/repaired`);
    assert.equal(code, 130, output);
    assert.ok(existsSync(join(folder, 'repaired')), output);
  });

  it('says so when the repair fails', async () => {
    const { code, output } = await lesson('echo no such container >&2; exit 1');
    assert.equal(code, 1, output);
    assert.match(
      output,
      /^Command failed .*: docker compose unpause otel-collector\n\nno such container$/m,
    );
  });

  for (const [failure, up, reason] of [
    ['the service does not start with them', 'echo unhealthy >&2; exit 1', /^unhealthy$/m],
    ['the service refuses them', '', /^The books service (refuses|runs without) /m],
  ] as const)
    it(`takes the faults away when ${failure}, and says so`, async () => {
      const log = join(temporaryFolder(), 'starts');
      const script = `echo $FAULTS_ENABLED >> ${log}; $FAULTS_ENABLED || exit 0; ${up}`;
      const { code, output } = await run('slow-query', working(script));
      assert.equal(code, 1, output);
      assert.match(output, reason);
      assert.equal(readFileSync(log, 'utf8'), 'true\nfalse\n');
    });
});

describe('npm run load', () => {
  /** The variables with which `docker compose run` does this. */
  const container = (k6: string): Record<string, string> => ({
    ...fakeDocker(working('', `'compose run') ${k6};;`)),
    BOOKS_PORT: port,
  });

  it('ends with the code of k6 in its container', async () => {
    const { code, output } = await call(load, container('exit 99'));
    assert.equal(code, 99, output);
  });

  it('hands on that it is asked to end', async () => {
    const k6 = 'trap "exit 7" TERM; kill -TERM $PPID; while :; do sleep 0.1; done';
    const { code, output } = await command(container(k6), 'load');
    assert.equal(code, 7, output);
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT, components } from '../stack/components.ts';
import { commandLine } from '../stack/processes.ts';
import { itAnswersGrafana } from './grafana-answers.ts';
import { itShowsInGrafana } from './grafana-browser.ts';
import {
  command,
  folder,
  record,
  signal,
  start,
  type Outcome,
} from './native-stack.ts';
import {
  assertTour,
  eventually,
  faultyRequests,
  itSendsSignals,
  makeData,
  manyBooks,
  seriesAndStreams,
  traceOf,
  traffic,
} from './signals.ts';

// The whole native stack, started and stopped by the commands that people use, with data of its own.

/** The processes of the newest run that are still there. */
async function leftOver(): Promise<string[]> {
  const { supervisor, components: parts } = record();
  const pids = [supervisor, ...parts.map(({ pid }) => pid)];
  const commands = await Promise.all(pids.map(commandLine));
  return commands.filter(
    (line) => line !== undefined && line !== '',
  ) as string[];
}

const nothingLeft = () =>
  eventually('the end of every process', async () => {
    const left = await leftOver();
    return left.length === 0;
  });

describe('the native stack', { concurrency: 1 }, () => {
  let started: Outcome;
  let traces: Record<string, string>;
  let running: string[];
  let hasGrafana: boolean;
  let hasTempo: boolean;

  before(async () => {
    started = await start();
    running = record().components.map(({ name }) => name);
    hasGrafana = running.includes('grafana');
    hasTempo = !started.output.includes('Tempo stand-in');
    // Twice, with a flush of the connectors in between: rates need two points.
    await traffic();
    await sleep(6_000);
    traces = await traffic();
  });

  after(async () => {
    await command('stop');
  });

  it('tells how long each component took and where the logs are', () => {
    for (const { name, title, readyAfter } of record().components) {
      assert.ok(readyAfter! > 0, name);
      assert.match(
        started.output,
        new RegExp(`^  ${title}.* ready in +\\d+\\.\\d s   \\(\\w`, 'm'),
      );
      assert.ok(existsSync(join(folder, 'logs', `${name}.log`)));
    }
    assert.match(started.output, /^All ready in \d+\.\d s\.$/m);
  });

  itSendsSignals(() => ({ traces, running }));

  // ---- the commands

  it('npm run tour finds logs, trace and metrics of its own request', async () => {
    const { code, output } = await command('tour');
    assert.equal(code, 0, output);
    assertTour(output);
  });

  it('npm run status lists every component as ready', async () => {
    const { code, output } = await command('status');
    assert.equal(code, 0, output);
    const ready = output.split('\n').filter((line) => / ready /.test(line));
    assert.equal(ready.length, running.length, output);
    assert.doesNotMatch(output, /NOT READY/);
  });

  it('npm start says that it is running already', async () => {
    const { code, output } = await command('start', '--native');
    assert.equal(code, 0);
    assert.match(output, /^The stack is already running/);
  });

  it('the tour says which hop is missing when the collector does not pass data on', async () => {
    signal('otel-collector', 'STOP');
    try {
      const { code, output } = await command('tour');
      assert.equal(code, 1);
      assert.match(
        output,
        /^Loki has no log line of this request\. The collector does not answer on port 4318 \(.+\)\.$/m,
      );
      assert.match(output, /^Tempo has no complete trace of this request\./m);
    } finally {
      signal('otel-collector', 'CONT');
    }
  });

  // ---- stop and start, and what goes wrong

  it('stopping and starting again keeps books, logs and metrics, and traces where it is Tempo', async (t) => {
    const stillThere = await makeData(5, traces['POST /books/create 201']!);

    const stopped = await command('stop');
    assert.equal(stopped.code, 0, stopped.output);
    assert.match(stopped.output, /^Stopped: .*The data is kept\.$/m);
    assert.deepEqual(await leftOver(), []);
    process.env.FAULTS_ENABLED = 'true'; // from here on: what is empty as long as nothing goes wrong
    await start();

    await stillThere();
    // Right after a restart, when Mimir still shows the counters of the run before.
    const tour = await command('tour');
    assert.equal(tour.code, 0, tour.output);
    if (hasTempo) await traceOf(traces['POST /books/create 201']!, 4);
    else t.diagnostic('traces not checked: the stand-in keeps them in memory');
  });

  describe('what Grafana asks', { concurrency: 1 }, () => {
    const done = new AbortController();
    let flow: Promise<void>;
    before(() => {
      // Rates over the last minute need requests in it, all the time.
      flow = (async () => {
        while (!done.signal.aborted) {
          traces = await traffic();
          await faultyRequests();
          await sleep(1_000);
        }
      })();
    });
    after(async () => {
      done.abort();
      await flow;
    });
    itAnswersGrafana(() => ({ traces, hasTempo }));
    itShowsInGrafana(() => ({ traces, hasGrafana }));
  });

  it('a thousand different books make no new series and no new streams', async () => {
    const before = new Set(await seriesAndStreams());
    assert.ok(before.size > 500);
    await manyBooks(1_000);
    const added = (await seriesAndStreams()).filter((s) => !before.has(s));
    assert.deepEqual(added, []);
  });

  it('when one part crashes, everything stops and the reason is told', async () => {
    const { pid } = record().components.find(({ name }) => name === 'mimir')!;
    process.kill(pid, 'SIGKILL');
    await nothingLeft();
    const { code, output } = await command('status');
    assert.equal(code, 1);
    assert.match(
      output,
      /^The stack is not running\. It ended .*: mimir was ended by SIGKILL\. The end of .*mimir\.log:\n {4}ts=/,
    );
    const tour = await command('tour');
    assert.equal(tour.code, 1);
    assert.match(
      tour.output,
      /Start the stack with: npm start\n.*mimir was ended/,
    );
  });

  it('when the supervisor is killed, nothing is left behind', async () => {
    await start();
    process.kill(record().supervisor, 'SIGKILL');
    await nothingLeft();
    assert.match((await command('status')).output, /its supervisor was killed/);
  });

  it('Ctrl-C while it starts stops everything', async () => {
    const before = record().supervisor;
    const child = spawn(
      process.execPath,
      [join(ROOT, 'stack/start.ts'), '--native'],
      {
        cwd: ROOT,
        env: { ...process.env, STACK_FOLDER: folder },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    await once(child.stdout.setEncoding('utf8'), 'data');
    await eventually('the first processes', async () => {
      const { supervisor, components: parts } = record();
      return supervisor !== before && parts.length > 0;
    });
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    assert.equal(code, 130);
    await nothingLeft();
  });

  it('a busy port is named with the process that holds it, and nothing is started', async () => {
    const server = createServer().listen(3100, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { code, output } = await command('start', '--native');
      assert.equal(code, 1);
      assert.match(
        output,
        new RegExp(
          `Port 3100, which Loki needs, is held by process ${process.pid} \\(.*\\)\\.\nNothing was started\\.`,
        ),
      );
    } finally {
      server.close();
    }
  });

  it('every component of the table took part', () => {
    const missing = components
      .map(({ name }) => name)
      .filter((name) => !running.includes(name));
    assert.deepEqual(missing, hasGrafana ? [] : ['grafana']);
  });
});

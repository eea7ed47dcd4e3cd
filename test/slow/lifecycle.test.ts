import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine } from '../../cli/native/ports.ts';
import { ROOT } from '../../cli/paths.ts';
import { itAnswersGrafana } from '../support/grafana-answers.ts';
import { itShowsInGrafana } from '../support/grafana-browser.ts';
import { NativeStack } from '../support/native-stack.ts';
import {
  eventually,
  faultyRequests,
  makeData,
  manyBooks,
  seriesAndStreams,
  traceOf,
  traffic,
} from '../support/signals.ts';

// A native stack in use, stopped and started again, and what happens when something goes wrong with it.

describe('the native stack', { concurrency: 1 }, () => {
  let stack: NativeStack;
  let traces: Record<string, string>;

  /** The processes of the newest run that are still there. */
  async function leftOver(): Promise<string[]> {
    const { supervisor, components } = stack.record();
    const pids = [supervisor, ...components.map(({ pid }) => pid)];
    return (await Promise.all(pids.map(commandLine))).filter((line) => line) as string[];
  }
  const nothingLeft = () =>
    eventually('the end of every process', async () => (await leftOver()).length === 0);

  before(async () => {
    // with faults: what is empty as long as nothing goes wrong
    stack = await NativeStack.create({ FAULTS_ENABLED: 'true' });
    await stack.start();
    // Twice, with a flush of the connectors in between: rates need two points.
    await traffic(stack.stores);
    await sleep(6_000);
    traces = await traffic(stack.stores);
  });
  after(() => stack.stop());

  describe('what Grafana asks', { concurrency: 1 }, () => {
    const done = new AbortController();
    let flow: Promise<void>;
    before(() => {
      // Rates over the last minute need requests in it, all the time.
      flow = (async () => {
        while (!done.signal.aborted) {
          traces = await traffic(stack.stores);
          await faultyRequests(stack.stores);
          await sleep(1_000);
        }
      })();
    });
    after(async () => {
      done.abort();
      await flow;
    });
    itAnswersGrafana(
      () => stack,
      () => traces,
    );
    itShowsInGrafana(
      () => stack,
      () => traces,
    );
  });

  it('a thousand different books make no new series and no new streams', async () => {
    const before = new Set(await seriesAndStreams(stack.stores));
    assert.ok(before.size > 500);
    await manyBooks(stack.stores, 1_000);
    const added = (await seriesAndStreams(stack.stores)).filter((s) => !before.has(s));
    assert.deepEqual(added, []);
  });

  it('the tour tells the hop that is broken as the doctor does', async () => {
    stack.signal('otel-collector', 'STOP');
    try {
      const { code, output } = await stack.command('tour');
      assert.equal(code, 1);
      assert.match(output, /^Loki has no log line of this request\.$/m);
      assert.match(output, /^Tempo has no complete trace of this request\.$/m);
      assert.match(
        output,
        /^.*✘ OTLP → Collector +The collector does not answer on port \d+ \(.+\)\. OpenTelemetry Collector has ended or hangs: tail /m,
      );
    } finally {
      stack.signal('otel-collector', 'CONT');
    }
  });

  it('stopping and starting again keeps books, logs and metrics, and traces where it is Tempo', async (t) => {
    const created = (await traffic(stack.stores))['POST /books/create 201']!;
    const stillThere = await makeData(stack.stores, created);

    const stopped = await stack.stop();
    assert.equal(stopped.code, 0, stopped.output);
    assert.match(stopped.output, /^Stopped: .*The data is kept\.$/m);
    assert.deepEqual(await leftOver(), []);
    await stack.start();

    await stillThere();
    // Right after a restart, when Mimir still shows the counters of the run before.
    const tour = await stack.command('tour');
    assert.equal(tour.code, 0, tour.output);
    if (stack.hasTempo()) await traceOf(stack.stores, created, 4);
    else t.diagnostic('traces not checked: the stand-in keeps them in memory');
  });

  it('what crashes is started again, and the rest goes on; status and doctor say so', async () => {
    const before = stack.record().components;
    const pidOf = (name: string, parts = stack.record().components) =>
      parts.find((part) => part.name === name)!.pid;
    process.kill(pidOf('mimir'), 'SIGKILL');
    await eventually('another Mimir', async () => {
      const mimir = stack.record().components.find(({ name }) => name === 'mimir')!;
      return mimir.pid !== pidOf('mimir', before) && mimir.readyAfter !== undefined;
    });
    for (const { name, pid } of before) if (name !== 'mimir') assert.equal(pidOf(name), pid, name);
    const { code, output } = await stack.command('status');
    assert.equal(code, 0);
    assert.match(output, /^Mimir .* ready .* crashed once, last at \S+: was ended by SIGKILL$/m);
    const { output: doctor } = await stack.command('doctor');
    assert.match(doctor, /✔ Stack +runs as \d local processes; Mimir crashed once, /);
    const tour = await stack.command('tour');
    assert.equal(tour.code, 0, tour.output);
  });

  it('when it does not run, status and tour say how it ended', async () => {
    await stack.stop();
    const { code, output } = await stack.command('status');
    assert.equal(code, 1);
    assert.match(output, /^The stack is not running\. It ended \S+: it was asked to stop$/m);
    const tour = await stack.command('tour');
    assert.equal(tour.code, 1);
    assert.match(
      tour.output,
      /^The stack is not running\. It ended .*: it was asked to stop\nStart the stack with: npm start$/m,
    );
  });

  it('when the supervisor is killed, nothing is left behind', async () => {
    await stack.start();
    process.kill(stack.record().supervisor, 'SIGKILL');
    await nothingLeft();
    assert.match((await stack.command('status')).output, /its supervisor was killed/);
  });

  it('Ctrl-C while it starts stops everything', async () => {
    const before = stack.record().supervisor;
    const child = spawn(process.execPath, ['cli/main.js', 'start', '--native'], {
      cwd: ROOT,
      env: stack.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await once(child.stdout.setEncoding('utf8'), 'data');
    await eventually('the first processes', async () => {
      const { supervisor, components } = stack.record();
      return supervisor !== before && components.length > 0;
    });
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.equal(code, 130);
    await nothingLeft();
  });

  it('a busy port is named with the process that holds it and the setting that chooses another, and nothing is started', async () => {
    const { LOKI_PORT } = stack.settings;
    const server = createServer().listen(LOKI_PORT, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { code, output } = await stack.command('start', '--native');
      assert.equal(code, 1);
      assert.match(
        output,
        new RegExp(
          `Port ${LOKI_PORT}, which Loki needs, is held by process ${process.pid} \\(.*\\)\\.\nNothing was started\\. .*LOKI_PORT=`,
        ),
      );
    } finally {
      server.close();
    }
  });
});

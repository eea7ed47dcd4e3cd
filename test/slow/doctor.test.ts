import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { notReady } from '../../cli/checks.ts';
import type { Context } from '../../cli/context.ts';
import { diagnose, type Finding } from '../../cli/diagnosis/diagnosis.ts';
import { doctor } from '../../cli/doctor.ts';
import { startAnew } from '../../cli/faults.ts';
import { NativeStack } from '../support/native-stack.ts';
import { eventually } from '../support/signals.ts';

// Each hop is broken on purpose, and the doctor has to see that one and no other.

/** What arrives does so within 7 s; the default of 20 s is for slow machines. */
const DEADLINE_MS = 12_000;

const titles = (findings: Finding[], wanted: Finding['state']) =>
  findings.filter(({ state }) => state === wanted).map(({ title }) => title);
const text = (findings: Finding[]) => findings.map((f) => Object.values(f).join('  ')).join('\n');

describe('npm run doctor', { concurrency: 1 }, () => {
  let stack: NativeStack;
  const config = (file: string) => join(stack.folder, 'config', file);

  before(async () => {
    stack = await NativeStack.create();
    await stack.start();
  });
  after(() => stack.stop());

  /** What the doctor finds, told something else than what is. */
  const examine = async (told: Partial<Context> = {}): Promise<Finding[]> => {
    const findings: Finding[] = [];
    for await (const finding of diagnose({ ...stack.context, ...told }, DEADLINE_MS))
      findings.push(finding);
    return findings;
  };

  /** Fails when not exactly this is wrong, or when its line does not match. */
  async function assertWrong(title: string, line: RegExp, told?: Partial<Context>): Promise<void> {
    const findings = await examine(told);
    assert.deepEqual(titles(findings, 'wrong'), [title], text(findings));
    assert.match(findings.find(({ state }) => state === 'wrong')!.text, line);
  }

  async function assertWell(): Promise<Finding[]> {
    let last: Finding[] = [];
    return eventually('a stack without a fault', async () => {
      last = await examine();
      return titles(last, 'wrong').length === 0 && last;
    }).catch(() => assert.fail(text(last)));
  }

  // This comes first: with the wrong clock its canaries have to be older than those of other runs, not
  // of their age.
  it('a missing file, a full disk, a wrong clock, another version: Configuration, Disk, Clock, Versions', async () => {
    const found = await examine({
      settings: { ...stack.settings, SLACK_WEBHOOK_URL_FILE: '/nowhere' },
      freeBytes: () => 1e8,
      now: () => Date.now() - 20_000,
      fetch: (url, options) =>
        (url as string).endsWith('buildinfo')
          ? Promise.resolve(Response.json({ version: '1.2.3' }))
          : fetch(url, options),
    });
    const wrong = found.filter(({ state }) => state === 'wrong');
    const expected: [string, RegExp][] = [
      ['Configuration', /^SLACK_WEBHOOK_URL_FILE names the file \/nowhere, which does not exist/],
      ['Disk', /^has only 0\.1 GB left/],
      ['Clock', /^of Books service differs by \d+ s from this machine's/],
      ['Versions', /^Loki 1\.2\.3 runs, but \d+\.\d+\.\d+ is in loki\/Dockerfile/],
    ];
    assert.deepEqual(
      wrong.map(({ title }) => title),
      expected.map(([title]) => title),
      text(found),
    );
    expected.forEach(([, line], n) => assert.match(wrong[n]!.text, line));
  });

  it('finds nothing wrong with a stack that runs, and ends with code 0', async () => {
    await assertWell();
    const lines: string[] = [];
    const print = (line = '') => void lines.push(line);
    assert.equal(await doctor({ ...stack.context, print }), 0);
    const output = lines.join('\n');
    assert.match(output, /✔ Collector → Loki +the canary was there after \d\.\d s/);
    assert.match(output, /^\d+ ok, 0 wrong, \d+ not checked$/m);
    const hasGrafana = stack.running().includes('grafana');
    assert.equal(/– Grafana +does not run here/.test(output), !hasGrafana);
  });

  // ---- a component that does not answer

  for (const [name, title] of [
    ['backend-example', 'Books service'],
    ['postgres', 'Books service → PostgreSQL'],
    ['otel-collector', 'OTLP → Collector'],
    ['loki', 'Collector → Loki'],
    ['tempo', 'Collector → Tempo'],
    ['mimir', 'Collector → Mimir'],
    ['alertmanager', 'Alertmanager'],
  ] as const)
    it(`${name} stands still: ${title}`, async () => {
      stack.signal(name, 'STOP');
      try {
        const log = join(stack.folder, 'logs', `${name}.log`);
        await assertWrong(
          title,
          new RegExp(`has ended or hangs: tail ${log}; start it anew: npm stop && npm start$`),
        );
      } finally {
        stack.signal(name, 'CONT');
      }
      await eventually(`${name} again`, async () => {
        const { ready } = stack.record().components.find((part) => part.name === name)!;
        return !(await notReady(ready));
      });
    });

  // ---- a component that answers, but does not pass on

  for (const [name, title, tenant] of [
    ['mimir', 'Mimir → Alertmanager', 'anonymous'],
    ['loki', 'Loki → Alertmanager', 'fake'],
  ] as const)
    it(`the ruler of ${name} has lost the rule: ${title}`, async () => {
      const file = config(`${name}/rules/${tenant}/doctor.yaml`);
      const rule = readFileSync(file);
      const url = `${stack.stores[name]}/prometheus/api/v1/rules?type=alert`;
      const hasRule = async () => (await (await fetch(url)).text()).includes('DoctorCanary');
      rmSync(file);
      try {
        await eventually('a ruler without it', async () => !(await hasRule()));
        await assertWrong(title, /the alert of the canary is not there after/);
      } finally {
        writeFileSync(file, rule);
      }
      await eventually('a ruler with it', hasRule);
    });

  it('Alertmanager has another address: Alertmanager → Collector', async () => {
    const undo = await stack.configureAlertmanager(/:\d+(\/alertmanager)/, ':1$1');
    try {
      await assertWrong(
        'Alertmanager → Collector',
        /not in Loki after 12 s\. Is the address of "local" in/,
      );
    } finally {
      await undo();
    }
  });

  // ---- a service whose telemetry goes elsewhere

  const startServiceWith = (env: Record<string, string>) =>
    startAnew(stack.context, { name: 'backend-example', env });

  it('it sends its telemetry elsewhere: Books service → Collector', async () => {
    await startServiceWith({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
    try {
      await assertWrong(
        'Books service → Collector',
        /log lines or trace of request [0-9a-f]{32} are missing after 12 s\. Does OTEL_EXPORTER_OTLP_ENDPOINT/,
      );
    } finally {
      await startServiceWith({});
    }
  });

  it('its metrics are at another port: Collector ← /metrics', async () => {
    const scraped = readFileSync(config('otel-collector/otel-collector-config.yaml'), 'utf8');
    const [, port] = /job_name: backend-example[^]*?targets: \['127\.0\.0\.1:(\d+)'\]/.exec(
      scraped,
    )!;
    await startServiceWith({ OTEL_EXPORTER_PROMETHEUS_PORT: '20999' });
    // Until the service has it again, so that no other test's stack takes it.
    const holder = createTcpServer((socket) => socket.destroy()).listen(Number(port), '127.0.0.1');
    try {
      await eventually('a scrape since then', async () => {
        const up = await stack.stores.queryNumber('up{job="backend-example"}');
        return up === 0;
      });
      await assertWrong('Collector ← /metrics', /the metrics of backend-example cannot be fetched/);
    } finally {
      holder.close();
      await startServiceWith({});
    }
  });

  // ---- Grafana: a stand-in of a few lines, because the real one cannot be had everywhere

  describe('with a stand-in for Grafana', { concurrency: 1 }, () => {
    let server: Server | undefined;
    const broken = new Set<string>();
    let hasGrafana: boolean;

    const listen = async () => {
      const { loki, tempo, mimir } = stack.stores;
      const stores: Record<string, string> = { loki, tempo, mimir: `${mimir}/prometheus` };
      server = createServer(async (request, response) => {
        const [, uid, path] =
          /^\/api\/datasources\/proxy\/uid\/(\w+)(\/.*)$/.exec(request.url!) ?? [];
        if (!uid) return void response.end(); // its /metrics, its health
        const store = broken.has(uid) ? 'http://127.0.0.1:1' : stores[uid]!;
        const answer = await fetch(store + path).catch(() => undefined);
        response.writeHead(answer?.status ?? 502);
        response.end(await answer?.text());
      });
      await once(server.listen(stack.settings.GRAFANA_PORT, '127.0.0.1'), 'listening');
    };
    const close = () => server?.close().closeAllConnections();

    before(async () => {
      hasGrafana = stack.running().includes('grafana');
      if (hasGrafana) return;
      await listen();
      const run = stack.record();
      const { pid } = process;
      const ready = { port: stack.settings.GRAFANA_PORT };
      run.components.push({ name: 'grafana', title: '', version: '', source: '', pid, ready });
      writeFileSync(join(stack.folder, 'run.json'), JSON.stringify(run));
    });
    after(close);

    it('finds nothing wrong', async () =>
      assert.deepEqual(titles(await assertWell(), 'not checked'), []));

    it('the data sources have other addresses: Grafana → Loki, Tempo, Mimir', async (t) => {
      if (hasGrafana) return t.skip('real Grafana runs');
      const uids = ['loki', 'tempo', 'mimir'];
      for (const uid of uids) broken.add(uid);
      const findings = await examine();
      broken.clear();
      const wrong = findings.filter(({ state }) => state === 'wrong');
      assert.deepEqual(
        wrong.map(({ title }) => title),
        ['Grafana → Loki', 'Grafana → Tempo', 'Grafana → Mimir'],
        text(findings),
      );
      uids.forEach((uid, n) =>
        assert.match(wrong[n]!.text, new RegExp(`not seen through the data source "${uid}": 502`)),
      );
    });

    it('it does not answer: Grafana', async () => {
      if (hasGrafana) stack.signal('grafana', 'STOP');
      else close();
      try {
        await assertWrong('Grafana', /has ended or hangs/);
      } finally {
        if (hasGrafana) stack.signal('grafana', 'CONT');
      }
    });
  });

  // ---- no stack

  it('nothing runs: Stack, and nothing after it is checked', async () => {
    await stack.stop();
    const findings = await examine();
    assert.deepEqual(titles(findings, 'wrong'), ['Stack'], text(findings));
    assert.match(findings[0]!.text, /^The stack is not running\. It ended .* Start it: npm start$/);
    assert.deepEqual(titles(findings, 'ok'), ['Configuration', 'Ports', 'Disk']);
  });

  it('nothing runs, and somebody has a port: Ports, too', async () => {
    const other = createTcpServer().listen(stack.settings.LOKI_PORT, '127.0.0.1');
    await once(other, 'listening');
    try {
      const findings = await examine();
      assert.deepEqual(titles(findings, 'wrong'), ['Stack', 'Ports']);
      assert.match(
        findings.find(({ title }) => title === 'Ports')!.text,
        new RegExp(
          `^Port ${stack.settings.LOKI_PORT}, which Loki needs, is held by process ${process.pid} `,
        ),
      );
    } finally {
      other.close();
    }
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LOKI, MIMIR, TEMPO } from '../stack/backends.ts';
import {
  configureAlertmanager,
  command,
  folder,
  record,
  signal,
  start,
} from './native-stack.ts';
import { eventually } from './signals.ts';

// Each hop is broken on purpose, and the doctor has to see that one and no other.

interface Diagnosis {
  code: number | null;
  wrong: string[];
  notChecked: string[];
  output: string;
}

/** Runs the doctor, with these variables. */
async function diagnose(env: Record<string, string> = {}): Promise<Diagnosis> {
  Object.assign(process.env, env);
  try {
    const { code, output } = await command('doctor');
    const titles = (sign: string) =>
      [...output.matchAll(new RegExp(`^${sign} (.{26})`, 'gm'))].map(
        ([, title]) => title!.trim(),
      );
    return { code, wrong: titles('✘'), notChecked: titles('–'), output };
  } finally {
    for (const name of Object.keys(env)) delete process.env[name];
  }
}

/** Fails when not exactly this is wrong, or when its line does not match. */
async function assertWrong(
  title: string,
  line: RegExp,
  env?: Record<string, string>,
): Promise<void> {
  const { code, wrong, output } = await diagnose(env);
  assert.deepEqual(wrong, [title], output);
  assert.equal(code, 1);
  assert.match(
    output.split('\n').find((l) => l.startsWith('✘'))!,
    line,
  );
}

async function assertWell(): Promise<Diagnosis> {
  let last: Diagnosis | undefined;
  return eventually('a stack without a fault', async () => {
    last = await diagnose();
    return last.wrong.length === 0 && last;
  }).catch(() => assert.fail(last?.output));
}

/** Code that the doctor's process runs first. */
const preload = (code: string) => ({
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}`,
});

describe('npm run doctor', { concurrency: 1 }, () => {
  const config = (file: string) => join(folder, 'config', file);

  before(async () => void (await start()));
  after(() => command('stop'));

  it('finds nothing wrong with a stack that runs', async () => {
    const { code, output, notChecked } = await assertWell();
    assert.equal(code, 0);
    const grafana = record().components.some(({ name }) => name === 'grafana');
    assert.deepEqual(
      notChecked,
      grafana
        ? []
        : ['Grafana', 'Grafana → Loki', 'Grafana → Tempo', 'Grafana → Mimir'],
    );
    assert.match(output, /^✔ Collector → Loki +the canary was there after/m);
  });

  // Here, and for the disk and the versions, the doctor's own process is told something else than what is.
  // This one comes early: its canaries have to be older than those of other runs, not of their age.
  it('the clock is wrong: Clock', () =>
    assertWrong(
      'Clock',
      /differs by \d+ s from this machine's/,
      preload(
        `const { now } = Date; Date.now = () => now.call(Date) - 20_000;`,
      ),
    ));

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
      signal(name, 'STOP');
      try {
        const log = join(folder, 'logs', `${name}.log`);
        await assertWrong(
          title,
          new RegExp(
            `has ended or hangs: tail ${log}; start it anew: npm stop && npm start$`,
          ),
        );
      } finally {
        signal(name, 'CONT');
      }
      await assertWell();
    });

  // ---- a component that answers, but does not pass on

  for (const [name, title, url] of [
    [
      'mimir',
      'Mimir → Alertmanager',
      `${MIMIR}/prometheus/api/v1/rules?type=alert`,
    ],
    [
      'loki',
      'Loki → Alertmanager',
      `${LOKI}/prometheus/api/v1/rules?type=alert`,
    ],
  ] as const)
    it(`the ruler of ${name} has lost the rule: ${title}`, async () => {
      const file = config(
        `${name}/rules/${name === 'loki' ? 'fake' : 'anonymous'}/doctor.yaml`,
      );
      const rule = readFileSync(file);
      const hasRule = async () =>
        (await (await fetch(url)).text()).includes('DoctorCanary');
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
    const undo = await configureAlertmanager(':8088/', ':8089/');
    try {
      await assertWrong(
        'Alertmanager → Collector',
        /not in Loki after 20 s\. Is the address of "local" in/,
      );
    } finally {
      await undo();
    }
    await assertWell();
  });

  // ---- the machine

  it('a file that a setting names is missing: Configuration', () =>
    assertWrong(
      'Configuration',
      /SLACK_WEBHOOK_URL_FILE names the file \/nowhere, which does not exist/,
      { SLACK_WEBHOOK_URL_FILE: '/nowhere' },
    ));

  it('ports are set for a native run: Configuration', () =>
    assertWrong('Configuration', /unset TEMPO_VERSION/, {
      TEMPO_VERSION: '0.0.0',
    }));

  it('another program answers at localhost: Ports', async (t) => {
    const other = createTcpServer().listen(5555, '::1');
    try {
      await once(other, 'listening');
    } catch {
      return t.skip('there is no IPv6 here');
    }
    try {
      await assertWrong(
        'Ports',
        new RegExp(`\\[::1\\]:5555, which is held by process ${process.pid} `),
      );
    } finally {
      other.close();
    }
  });

  it('the disk is full: Disk', () =>
    assertWrong(
      'Disk',
      /has only 0\.1 GB left/,
      preload(
        `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
         fs.statfsSync = () => ({ bavail: 1e5, bsize: 1e3 }); syncBuiltinESMExports();`,
      ),
    ));

  it('another version runs: Versions', () =>
    assertWrong(
      'Versions',
      /Loki 1\.2\.3 runs, but \d+\.\d+\.\d+ is in loki\/Dockerfile/,
      preload(
        `const real = fetch;
         globalThis.fetch = (url, options) => String(url).endsWith('buildinfo')
           ? Promise.resolve(Response.json({ version: '1.2.3' })) : real(url, options);`,
      ),
    ));

  // ---- Grafana: a stand-in of a few lines, because the real one cannot be had everywhere

  describe('with a stand-in for Grafana', () => {
    let server: Server | undefined;
    const broken = new Set<string>();
    const stores = { loki: LOKI, tempo: TEMPO, mimir: `${MIMIR}/prometheus` };

    const listen = async () => {
      server = createServer(async (request, response) => {
        const [, uid, path] =
          /^\/api\/datasources\/proxy\/uid\/(\w+)(\/.*)$/.exec(request.url!) ??
          [];
        if (!uid) return void response.end(); // its /metrics, its health
        const store = broken.has(uid)
          ? 'http://127.0.0.1:1'
          : stores[uid as keyof typeof stores];
        const answer = await fetch(store + path).catch(() => undefined);
        response.writeHead(answer?.status ?? 502);
        response.end(await answer?.text());
      });
      await once(server.listen(3000, '127.0.0.1'), 'listening');
    };
    const close = () => server?.close().closeAllConnections();
    let hasGrafana: boolean;

    before(async () => {
      const run = record();
      hasGrafana = run.components.some(({ name }) => name === 'grafana');
      if (hasGrafana) return;
      await listen();
      const { pid } = process;
      const part = { title: '', version: '', source: '', pid };
      run.components.push({ name: 'grafana', ...part });
      writeFileSync(join(folder, 'run.json'), JSON.stringify(run));
    });
    after(close);

    it('finds nothing wrong', async () =>
      assert.deepEqual((await assertWell()).notChecked, []));

    for (const [uid, title] of [
      ['loki', 'Grafana → Loki'],
      ['tempo', 'Grafana → Tempo'],
      ['mimir', 'Grafana → Mimir'],
    ] as const)
      it(`the data source ${uid} has another address: ${title}`, async (t) => {
        if (hasGrafana) return t.skip('real Grafana runs');
        broken.add(uid);
        try {
          await assertWrong(
            title,
            new RegExp(`not seen through the data source "${uid}": 502`),
          );
        } finally {
          broken.delete(uid);
        }
      });

    it('it does not answer: Grafana', async () => {
      if (hasGrafana) signal('grafana', 'STOP');
      else close();
      try {
        await assertWrong('Grafana', /has ended or hangs/);
      } finally {
        if (hasGrafana) signal('grafana', 'CONT');
      }
    });
  });

  // ---- a service whose telemetry goes elsewhere

  for (const [variable, value, title, line] of [
    [
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      'http://127.0.0.1:1',
      'Books service → Collector',
      /log lines or trace of request [0-9a-f]{32} are missing after 20 s\. Does OTEL_EXPORTER_OTLP_ENDPOINT/,
    ],
    [
      'OTEL_EXPORTER_PROMETHEUS_PORT',
      '8089',
      'Collector ← /metrics',
      /the metrics of backend-example cannot be fetched/,
    ],
  ] as const)
    it(`${variable} is wrong: ${title}`, async () => {
      await command('stop');
      process.env[variable] = value;
      try {
        await start();
      } finally {
        delete process.env[variable];
      }
      await assertWrong(title, line);
    });

  // ---- no stack

  it('nothing runs: Stack, and nothing after it is checked', async () => {
    await command('stop');
    await assertWrong('Stack', /Start it: npm start$/);
    assert.equal((await diagnose()).notChecked.length, 18);
  });

  it('nothing runs, and somebody has a port: Ports, too', async () => {
    const other = createTcpServer().listen(3100, '127.0.0.1');
    await once(other, 'listening');
    try {
      const { wrong, output } = await diagnose();
      assert.deepEqual(wrong, ['Stack', 'Ports']);
      assert.match(
        output,
        new RegExp(
          `✘ Ports .*3100, which Loki needs, is held by process ${process.pid} `,
        ),
      );
    } finally {
      other.close();
    }
  });
});

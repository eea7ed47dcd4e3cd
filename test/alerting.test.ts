import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import {
  BOOKS,
  LOKI,
  MIMIR,
  poll,
  queryAlerts,
  sendAlert,
  sendOtlp,
  type LogLine,
} from '../stack/backends.ts';
import { ROOT } from '../stack/components.ts';
import {
  command,
  configureAlertmanager,
  folder,
  signal,
  start,
  startAlone,
} from './native-stack.ts';
import { alertsIn, rulesIn } from './rule-files.ts';

// Every alert on the real Mimir, Loki, collector and Alertmanager, with the rules as they are shipped:
// its cause, its notification in Loki and in Slack (a server here that answers as Slack does), its end.
// The lessons are run as people run them; while one alert ends, the next cause is already there.

process.env.STACK_FOLDER = folder; // read when these are loaded
process.env.FAULTS_ENABLED = 'true';
const { Traffic, notifications } = await import('../stack/faults.ts');
const { configFolder } = await import('../stack/run-folder.ts');

interface SlackMessage {
  attachments: {
    title: string;
    title_link: string;
    text: string;
    color: string;
    fallback: string;
  }[];
}

/** Answers every message with "ok", as Slack's incoming webhooks do. */
async function receiver<T>(port = 0) {
  const messages: T[] = [];
  const server: Server = createServer((request, response) => {
    void json(request).then((body) => {
      messages.push(body as T);
      response.end('ok');
    });
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: bound } = server.address() as { port: number };
  return {
    messages,
    url: `http://127.0.0.1:${bound}/services/T0/B0/secret`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Asks for up to five minutes. */
async function wait<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
): Promise<T> {
  const answer = await poll(ask, 300_000);
  assert.ok(answer, `${what}: not seen within five minutes`);
  return answer;
}

/** Begins a lesson. */
function lesson(name: string) {
  const child = spawn(process.execPath, [join(ROOT, 'stack/lesson.ts'), name], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const ended = once(child, 'close') as Promise<[number | null]>;
  return {
    /** Resolves when this is in what it printed. */
    prints: (text: string) =>
      wait(`"${text}" in ${output}`, () => {
        assert.equal(child.exitCode ?? 0, 0, output);
        return Promise.resolve(output.includes(text));
      }),
    async succeeds() {
      const [code] = await ended;
      assert.equal(code, 0, output);
      return output;
    },
  };
}

describe('alerts', { concurrency: 1 }, () => {
  const urlFile = join(folder, 'own-webhook-url');
  const began = Date.now();
  const times: string[] = [];
  let slack: Awaited<ReturnType<typeof receiver<SlackMessage>>>;

  before(async () => {
    slack = await receiver<SlackMessage>();
    writeFileSync(urlFile, `${slack.url}\n`);
    process.env.SLACK_WEBHOOK_URL_FILE = urlFile;
    await start();
  });
  after(async () => {
    await command('stop');
    slack.close();
    console.log(`From cause to notification:\n${times.join('\n')}`);
  });

  const inSlack = (status: string, alert: string, service: string) =>
    slack.messages
      .flatMap(({ attachments }) => attachments)
      .find(({ title }) => title === `[${status}] ${alert} · ${service}`);

  /** Waits until an alert has arrived in Loki and in Slack, and asserts what is in it. */
  async function arrives(
    alert: string,
    service: string,
    cause: number,
    summary: RegExp,
    onlyIn?: 'loki' | 'slack',
  ): Promise<void> {
    if (onlyIn !== 'slack') {
      const { timeNs, line, labels } = await wait(
        `${alert} in Loki`,
        async () =>
          (await notifications(alert, cause, 'firing')).find(
            (found: LogLine) => found.labels.affected_service === service,
          ),
      );
      assert.match(line, new RegExp(`^firing ${alert} `));
      assert.match(labels.summary!, summary);
      assert.ok(['critical', 'warning'].includes(labels.severity!));
      assert.equal(
        labels.detected_level,
        labels.severity === 'critical' ? 'error' : 'warn',
      );
      assert.match(labels.runbook_url!, /^docs\/runbooks\.md#/);
      assert.match(labels.dashboard_url!, /^http:\/\/localhost:3000\/d\//);
      const seconds = Math.round(Number(timeNs / 1_000_000n) - cause) / 1000;
      times.push(`  ${alert}: ${Math.round(seconds)} s`);
    }
    if (onlyIn !== 'loki') {
      const message = await wait(`${alert} in Slack`, () =>
        Promise.resolve(inSlack('FIRING', alert, service)),
      );
      assert.equal(message.color, 'danger');
      assert.equal(message.fallback, message.title);
      assert.match(message.title_link, /^http:\/\/localhost:3000\/d\//);
      assert.match(message.text, summary);
      assert.match(message.text, /^Severity (critical|warning) · <http/m);
      assert.match(message.text, /runbook: docs\/runbooks\.md#/);
    }
  }

  /** Waits until its end has arrived, too. */
  async function resolves(
    alert: string,
    service: string,
    since: number,
    onlyIn?: 'loki',
  ): Promise<void> {
    const { labels } = await wait(`the end of ${alert} in Loki`, async () =>
      (await notifications(alert, since, 'resolved')).find(
        (found: LogLine) => found.labels.affected_service === service,
      ),
    );
    assert.equal(labels.detected_level, 'info');
    if (onlyIn) return;
    const message = await wait(`the end of ${alert} in Slack`, () =>
      Promise.resolve(inSlack('RESOLVED', alert, service)),
    );
    assert.equal(message.color, 'good');
  }

  /** Which alerts have been told so far. */
  async function told(): Promise<string[]> {
    const lines = await notifications('', began);
    return [...new Set(lines.map(({ labels }) => labels.alertname!))].sort();
  }

  let errorBurst: ReturnType<typeof lesson>;
  let slowQuery: ReturnType<typeof lesson>;
  let noisyLogs: ReturnType<typeof lesson>;
  let cause: number;

  it('while all is well, every rule is evaluated and nothing fires', async () => {
    const traffic = new Traffic(10);
    const count: Record<string, number> = {};
    try {
      for (const store of [MIMIR, LOKI])
        await wait(`every rule of ${store}`, async () => {
          const response = await fetch(`${store}/prometheus/api/v1/rules`);
          const { data } = (await response.json()) as {
            data: { groups: { rules: { health: string }[] }[] };
          };
          const rules = data.groups.flatMap((group) => group.rules);
          count[store] = rules.length;
          return rules.every(({ health }) => health === 'ok');
        });
    } finally {
      await traffic.stop();
    }
    assert.deepEqual(count, {
      [MIMIR]: rulesIn('mimir/rules/*/*.yaml').length,
      [LOKI]: rulesIn('loki/rules/*/*.yaml').length,
    });
    assert.deepEqual(await told(), []);
  });

  it('failing requests, a scanner, and logs that Loki refuses', async () => {
    cause = Date.now();
    errorBurst = lesson('error-burst');
    for (const path of '/.env /.git/config /wp-login.php /phpmyadmin/ /books/find/1%27%20OR%201=1 /books/find/..%2f..%2fetc /.aws/credentials'.split(
      ' ',
    ))
      await fetch(BOOKS + path);
    const yearAgo = BigInt(Date.now() - 365 * 86_400_000) * 1_000_000n;
    const fromWrongClock = {
      timeUnixNano: `${yearAgo}`,
      body: { stringValue: 'from a wrong clock' },
    };
    await sendOtlp('logs', 'clock', [fromWrongClock]);
    await Promise.all([
      arrives('ProbingRequests', 'backend-example', cause, /: 7 requests/),
      arrives('CollectorDropping', 'otel-collector', cause, /otlp_http\/loki/),
      arrives('LogErrorBurst', 'backend-example', cause, /logged \d+ errors/),
      arrives('ErrorBudgetBurn', 'backend-example', cause, / \d[\d.]* times /),
    ]);
    assert.deepEqual(await told(), [
      'CollectorDropping',
      'ErrorBudgetBurn',
      'LogErrorBurst',
      'ProbingRequests',
    ]);
    await errorBurst.prints('4. Wait until');
  });

  it('slow SQL, a blocked event loop, and a store that does not answer', async () => {
    cause = Date.now();
    slowQuery = lesson('slow-query');
    signal('tempo', 'STOP');
    const blocking = setInterval(() => {
      const headers = { 'x-fault': 'blockMs=250' };
      void fetch(`${BOOKS}/books/find?limit=1`, { headers }).catch(() => {});
    }, 500);
    try {
      await Promise.all([
        arrives('LatencyHigh', 'backend-example', cause, /longer than [\d.]+s/),
        arrives('EventLoopLag', 'backend-example', cause, /for \d+(\.\d+)?ms/),
        arrives('CollectorQueueing', 'otel-collector', cause, /\d+ batches/),
        arrives('ServiceDown', 'tempo', cause, /up is 0/),
      ]);
    } finally {
      clearInterval(blocking);
      signal('tempo', 'CONT');
    }
    assert.equal((await told()).length, 8);
    await slowQuery.prints('4. Wait until');
  });

  it('a flood of lines, and a wrong address of Slack', async () => {
    cause = Date.now();
    writeFileSync(
      join(configFolder('alertmanager'), 'slack-webhook-url'),
      'http://127.0.0.1:1/wrong',
    );
    noisyLogs = lesson('noisy-logs');
    await arrives(
      'NotificationsFailing',
      'alertmanager',
      cause,
      /to slack within/,
      'loki',
    );
    await arrives('LogFlood', 'backend-example', cause, /log lines/, 'loki');
    writeFileSync(
      join(configFolder('alertmanager'), 'slack-webhook-url'),
      slack.url,
    );
    // What did not arrive is sent again.
    await arrives('LogFlood', 'backend-example', cause, /log lines/, 'slack');
    assert.equal(
      inSlack('FIRING', 'NotificationsFailing', 'alertmanager'),
      undefined,
    );
    assert.equal((await told()).length, 10);
    await noisyLogs.prints('4. Wait until');
  });

  it("a database that does not answer, and a wrong address of the collector's webhook", async () => {
    cause = Date.now();
    const service = 'backend-example';
    const database = (only: 'loki' | 'slack') =>
      arrives('DatabaseUnreachable', service, cause, /database_up is 0/, only);
    const undo = await configureAlertmanager(
      ':8088/alertmanager',
      ':8088/wrong',
    );
    signal('postgres', 'STOP');
    try {
      await database('slack');
      await arrives(
        'NotificationsFailing',
        'alertmanager',
        cause,
        /to webhook within/,
        'slack',
      );
      await undo();
      // What did not arrive is sent again.
      await database('loki');
    } finally {
      signal('postgres', 'CONT');
    }
    for (const { labels } of await notifications(
      'NotificationsFailing',
      began,
      'firing',
    ))
      assert.match(labels.summary!, /to slack within/);
    assert.equal((await told()).length, 11);
  });

  it('each of them has ended', async () => {
    const service = 'backend-example';
    await Promise.all([
      errorBurst.succeeds(),
      slowQuery.succeeds(),
      noisyLogs.succeeds(),
      ...[
        'ErrorBudgetBurn',
        'LogErrorBurst',
        'ProbingRequests',
        'LatencyHigh',
        'EventLoopLag',
        'LogFlood',
        'DatabaseUnreachable',
      ].map((alert) => resolves(alert, service, began)),
      resolves('CollectorDropping', 'otel-collector', began),
      resolves('CollectorQueueing', 'otel-collector', began),
      resolves('ServiceDown', 'tempo', began),
      resolves('NotificationsFailing', 'alertmanager', began, 'loki'),
      wait('the end of NotificationsFailing in Slack', () =>
        Promise.resolve(
          inSlack('RESOLVED', 'NotificationsFailing', 'alertmanager'),
        ),
      ),
    ]);
  });

  it('a collector that stands still, told in Slack meanwhile and in Loki afterwards', async () => {
    cause = Date.now();
    const output = await lesson('collector-down').succeeds();
    assert.match(output, /^No telemetry arrives: /m);
    await arrives('NoTelemetry', 'otel-collector', cause, /for more than/);
    await resolves('NoTelemetry', 'otel-collector', cause);
  });

  it('no alert was left out', async () => {
    const all = alertsIn('{mimir,loki}/rules/*/*.yaml')
      .map(({ alert }) => alert)
      .filter((alert) => alert !== 'DoctorCanary'); // doctor.test.ts has it
    assert.deepEqual(new Set(await told()), new Set(all));
  });
});

describe('Alertmanager', { concurrency: 1 }, () => {
  interface Webhook {
    status: string;
    groupLabels: { alertname: string };
  }

  it('loses no notification when it is killed and started again', async () => {
    // The place of the collector's webhook.
    const local = await receiver<Webhook>(8088);
    const told = () =>
      local.messages.map((m) => `${m.status} ${m.groupLabels.alertname}`);
    /** As a ruler does it: every alert that fires, again and again. */
    const post = (alertname: string, endsAt = new Date(Date.now() + 240_000)) =>
      sendAlert({
        labels: { alertname, service_name: 'a', severity: 'warning' },
        endsAt,
      });
    const seen = (text: string) =>
      wait(text, () => Promise.resolve(told().includes(text)));
    let alertmanager = await startAlone('alertmanager');
    try {
      // Held back: the cause is told, what follows from it is not.
      await post('ServiceDown');
      await post('LatencyHigh');
      await seen('firing ServiceDown');
      await post('LogFlood');
      process.kill(alertmanager.pid!, 'SIGKILL'); // before LogFlood has waited for its group
      await alertmanager.whenEnded;
      alertmanager = await startAlone('alertmanager');
      await post('ServiceDown');
      await post('LatencyHigh');
      await post('LogFlood');
      await seen('firing LogFlood');
      const [flood] = await queryAlerts('LogFlood');
      assert.equal(flood?.labels.service_name, 'a');
      assert.deepEqual(await queryAlerts('LatencyHigh'), []);

      await alertmanager.stop(); // as npm stop does
      alertmanager = await startAlone('alertmanager');
      await post('ServiceDown', new Date());
      await post('LogFlood', new Date());
      await seen('resolved ServiceDown');
      await seen('resolved LogFlood');
      assert.ok(!told().includes('firing LatencyHigh'));
    } finally {
      await alertmanager.stop();
      local.close();
    }
  });
});

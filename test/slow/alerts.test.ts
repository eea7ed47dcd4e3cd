import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { sendRequests } from '../../cli/faults.ts';
import type { LogLine } from '../../cli/stores.ts';
import { beginLesson, wait } from '../support/lesson.ts';
import { NativeStack } from '../support/native-stack.ts';
import { alertsIn, rulesIn } from '../support/rule-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { startWebhook } from '../support/webhook.ts';

// Every alert on the real Mimir, Loki, collector and Alertmanager, with the rules as they are shipped:
// its cause, its notification in Loki and in Slack (a server here that answers as Slack does), its end.
// The lessons are run as people run them; while one alert ends, the next cause is already there.

interface SlackMessage {
  attachments: {
    title: string;
    title_link: string;
    text: string;
    color: string;
    fallback: string;
  }[];
}

/** A metric with a point for each value of the label i. */
const gauge = (labels: number[], timeNs: bigint, asDouble: number) => ({
  name: 'twins',
  gauge: {
    dataPoints: labels.map((i) => ({
      timeUnixNano: `${timeNs}`,
      asDouble,
      attributes: [{ key: 'i', value: { intValue: `${i}` } }],
    })),
  },
});

/** A histogram whose buckets are wider than Prometheus knows. */
const coarse = (timeNs: bigint) => ({
  name: 'coarse',
  exponentialHistogram: {
    aggregationTemporality: 2,
    dataPoints: [
      { timeUnixNano: `${timeNs}`, count: '1', scale: -11, positive: { bucketCounts: ['1'] } },
    ],
  },
});

/** So many spans, each in a trace of its own. */
const spans = (count: number, more: (n: number) => object) =>
  Array.from({ length: count }, (_, n) => ({
    traceId: randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
    startTimeUnixNano: `${Date.now()}000000`,
    endTimeUnixNano: `${Date.now()}000000`,
    ...more(n),
  }));

describe('alerts', { concurrency: 1 }, () => {
  const urlFile = join(temporaryFolder(), 'own-webhook-url');
  let stack: NativeStack;
  const began = Date.now();
  const times: string[] = [];
  let slack: Awaited<ReturnType<typeof startWebhook<SlackMessage>>>;

  before(async () => {
    slack = await startWebhook<SlackMessage>();
    writeFileSync(urlFile, `${slack.url}\n`);
    stack = await NativeStack.create({ SLACK_WEBHOOK_URL_FILE: urlFile, FAULTS_ENABLED: 'true' });
    await stack.start();
  });
  after(async () => {
    await stack.stop();
    slack.close();
    console.log(`From cause to notification:\n${times.join('\n')}`);
  });

  const grafanaLink = /^http:\/\/localhost:\d+\/d\//;
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
      const { timeNs, line, labels } = await wait(`${alert} in Loki`, async () =>
        (await stack.stores.notifications(alert, cause, 'firing')).find(
          (found: LogLine) => found.labels.affected_service === service,
        ),
      );
      assert.match(line, new RegExp(`^firing ${alert} `));
      assert.match(labels.summary!, summary);
      assert.ok(['critical', 'warning'].includes(labels.severity!));
      assert.equal(labels.detected_level, labels.severity === 'critical' ? 'error' : 'warn');
      assert.match(labels.runbook_url!, /^docs\/runbooks\.md#/);
      assert.match(labels.dashboard_url!, grafanaLink);
      const seconds = Math.round(Number(timeNs / 1_000_000n) - cause) / 1000;
      times.push(`  ${alert}: ${Math.round(seconds)} s`);
    }
    if (onlyIn !== 'loki') {
      const message = await wait(`${alert} in Slack`, () =>
        Promise.resolve(inSlack('FIRING', alert, service)),
      );
      assert.equal(message.color, 'danger');
      assert.equal(message.fallback, message.title);
      assert.match(message.title_link, grafanaLink);
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
      (await stack.stores.notifications(alert, since, 'resolved')).find(
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

  /** Fails when other alerts have been sent so far than those of the steps before and these. */
  const expected = new Set<string>();
  async function assertTold(...alerts: string[]): Promise<void> {
    for (const alert of alerts) expected.add(alert);
    const lines = await stack.stores.notifications('.+', began);
    assert.deepEqual(new Set(lines.map(({ labels }) => labels.alertname!)), expected);
  }

  let errorBurst: ReturnType<typeof beginLesson>;
  let slowQuery: ReturnType<typeof beginLesson>;
  let noisyLogs: ReturnType<typeof beginLesson>;
  let cause: number;

  /** Gives the queues of the collector that runs another size in bytes; answers how to undo that. */
  async function resizeQueues(bytes: number): Promise<() => Promise<void>> {
    const folder = join(stack.folder, 'config/otel-collector');
    const shipped = readdirSync(folder).map((name) => {
      const file = join(folder, name);
      return { file, text: readFileSync(file, 'utf8') };
    });
    const reload = async (change: (text: string) => string) => {
      for (const { file, text } of shipped) writeFileSync(file, change(text));
      const { pid } = stack.record().components.find(({ name }) => name === 'otel-collector')!;
      process.kill(pid, 'SIGHUP'); // it reads its config again
      await wait('the collector', async () => !(await stack.stores.whyDown('otel-collector')));
    };
    await reload((text) => text.replaceAll(/queue_size: \d+/g, `queue_size: ${bytes}`));
    return () => reload((text) => text);
  }

  it('while all is well, every rule is evaluated and nothing fires', async () => {
    const endRequests = sendRequests(`${stack.stores.books}/books/find?limit=5`, 10);
    const count: Record<string, number> = {};
    try {
      const { mimir, loki } = stack.stores;
      for (const store of [mimir, loki])
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
      endRequests();
    }
    assert.deepEqual(count, {
      [stack.stores.mimir]: rulesIn('mimir/rules/*/*.yaml').length,
      [stack.stores.loki]: rulesIn('loki/rules/*/*.yaml').length,
    });
    await assertTold();
  });

  it('failing requests, a scanner, and logs that Loki refuses', async () => {
    cause = Date.now();
    errorBurst = beginLesson(stack, 'error-burst');
    for (const path of '/.env /.git/config /wp-login.php /phpmyadmin/ /books/find/1%27%20OR%201=1 /books/find/..%2f..%2fetc /.aws/credentials'.split(
      ' ',
    ))
      await fetch(stack.stores.books + path);
    const now = BigInt(Date.now()) * 1_000_000n;
    const day = 86_400_000_000_000n;
    const body = { stringValue: 'from a wrong clock' };
    await stack.stores.sendOtlp('logs', 'clock', [
      { timeUnixNano: `${now - 365n * day}`, body },
      { timeUnixNano: `${now + day}`, body },
      { timeUnixNano: `${now}`, body },
    ]);
    await stack.stores.sendOtlp('metrics', 'sundial', [gauge([1, 2, 3], now - 8n * day, 1)]);
    // Not for the collector, which would cut it; of the three lines Loki takes one.
    const tooLong = 'x'.repeat(300_000);
    const pushed = await fetch(`${stack.stores.loki}/loki/api/v1/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        streams: [
          {
            stream: { service_name: 'direct' },
            values: [tooLong, tooLong, 'short'].map((line) => [`${now}`, line]),
          },
        ],
      }),
    });
    assert.equal(pushed.status, 400);
    // Two values for one moment: Mimir refuses the second of each series, and stores what else there is.
    await stack.stores.sendOtlp('metrics', 'twins', [gauge([1, 2, 3], now, 1)]);
    await wait(
      'the first values',
      async () => (await stack.stores.queryNumber('count(twins{job="twins"})')) === 3,
    );
    await stack.stores.sendOtlp('metrics', 'twins', [gauge([1, 2, 3, 4], now, 2)]);
    await stack.stores.sendOtlp('metrics', 'coarse', [coarse(now)]);
    await stack.stores.sendOtlp(
      'traces',
      'noisy',
      spans(1_200, (n) => ({ name: `GET /users/${n}`, kind: 1 })),
    );
    await Promise.all([
      arrives('ProbingRequests', 'backend-example', cause, /: 7 requests/),
      arrives('WrongClock', 'clock', cause, /: 2 lines/),
      arrives('WrongClock', 'sundial', cause, /: 3 of its series/),
      arrives('StoreDiscarding', 'loki', cause, /loki discarded 2 log records .*line_too_long/),
      arrives('StoreDiscarding', 'mimir', cause, /mimir discarded 3 metric points .*new-value/),
      arrives('CollectorDropping', 'otel-collector', cause, /gave up 1 pushes with metrics that/),
      arrives('SpanMetricsOverflow', 'noisy', cause, /: 700 spans/),
      arrives('LogErrorBurst', 'backend-example', cause, /logged \d+ errors/),
      arrives('ErrorBudgetBurn', 'backend-example', cause, /fails: [\d.]+% of/),
    ]);
    await assertTold(
      'CollectorDropping',
      'ErrorBudgetBurn',
      'LogErrorBurst',
      'ProbingRequests',
      'SpanMetricsOverflow',
      'StoreDiscarding',
      'WrongClock',
    );
    // Mimir says how much of the refused push is lost; that the collector gave up all of it is not told.
    for (const { line } of await stack.stores.notifications('CollectorDropping', began))
      assert.doesNotMatch(line, /metric points/);
    await errorBurst.prints('4. Wait until');
  });

  it('slow SQL, a blocked event loop, and a store that does not answer', async () => {
    cause = Date.now();
    slowQuery = beginLesson(stack, 'slow-query');
    const undo = await resizeQueues(3_000_000);
    stack.signal('tempo', 'STOP');
    const blocking = setInterval(() => {
      const headers = { 'x-fault': 'blockMs=250' };
      void fetch(`${stack.stores.books}/books/find?limit=1`, { headers }).catch(() => {});
    }, 500);
    try {
      // Calls that nobody answers: more than the service graph has room for, and half of the queue.
      for (let pushes = 0; pushes < 5; pushes++)
        await stack.stores.sendOtlp(
          'traces',
          'caller',
          spans(5_000, () => ({ name: 'call', kind: 3 })),
        );
      await Promise.all([
        arrives('LatencyBudgetBurn', 'backend-example', cause, /slow: [\d.]+% of/),
        arrives('EventLoopLag', 'backend-example', cause, /for \d+(\.\d+)?ms/),
        arrives('ServiceGraphDropping', 'otel-collector', cause, /: 5\d\d\d spans/),
        arrives(
          'CollectorQueueing',
          'otel-collector',
          cause,
          /is [\d.]+% full; at this rate there is room for \d.* more/,
        ),
        arrives('ServiceDown', 'tempo', cause, /up is 0/),
      ]);
      const attributes = [{ key: 'padding', value: { stringValue: 'x'.repeat(10_000) } }];
      const heavy = spans(400, () => ({ name: 'heavy', kind: 1, attributes }));
      await assert.rejects(
        stack.stores.sendOtlp('traces', 'heavy', heavy),
        /answers traces with 503/,
      );
      await arrives('CollectorRefusing', 'otel-collector', cause, /: \d+ spans .* receiver otlp/);
    } finally {
      clearInterval(blocking);
      stack.signal('tempo', 'CONT');
      await undo();
    }
    await assertTold(
      'LatencyBudgetBurn',
      'EventLoopLag',
      'ServiceGraphDropping',
      'CollectorQueueing',
      'CollectorRefusing',
      'ServiceDown',
    );
    await slowQuery.prints('4. Wait until');
  });

  it('a flood of lines, and a wrong address of Slack', async () => {
    cause = Date.now();
    writeFileSync(
      join(stack.folder, 'config/alertmanager/slack-webhook-url'),
      'http://127.0.0.1:1/wrong',
    );
    noisyLogs = beginLesson(stack, 'noisy-logs');
    await arrives('NotificationsFailing', 'alertmanager', cause, /to slack within/, 'loki');
    await arrives('LogFlood', 'backend-example', cause, /log lines/, 'loki');
    writeFileSync(join(stack.folder, 'config/alertmanager/slack-webhook-url'), slack.url);
    // What did not arrive is sent again.
    await arrives('LogFlood', 'backend-example', cause, /log lines/, 'slack');
    assert.equal(inSlack('FIRING', 'NotificationsFailing', 'alertmanager'), undefined);
    await assertTold('NotificationsFailing', 'LogFlood');
    await noisyLogs.prints('4. Wait until');
  });

  it('the lessons see the ends of their alerts', async () => {
    // Before the next one: without a database every request fails, and each alert on requests goes on.
    await Promise.all([errorBurst.succeeds(), slowQuery.succeeds(), noisyLogs.succeeds()]);
  });

  it("a database that does not answer, and a wrong address of the collector's webhook", async () => {
    cause = Date.now();
    const service = 'backend-example';
    const database = (only: 'loki' | 'slack') =>
      arrives('DatabaseUnreachable', service, cause, /database_up is 0/, only);
    const undo = await stack.configureAlertmanager(/(:\d+)\/alertmanager/, '$1/wrong');
    stack.signal('postgres', 'STOP');
    try {
      await database('slack');
      await arrives('NotificationsFailing', 'alertmanager', cause, /to webhook within/, 'slack');
      await undo();
      // What did not arrive is sent again.
      await database('loki');
    } finally {
      stack.signal('postgres', 'CONT');
    }
    for (const { labels } of await stack.stores.notifications(
      'NotificationsFailing',
      began,
      'firing',
    ))
      assert.match(labels.summary!, /to slack within/);
    await assertTold('DatabaseUnreachable');
  });

  it('each of them has ended', async () => {
    const service = 'backend-example';
    await Promise.all([
      ...[
        'ErrorBudgetBurn',
        'LogErrorBurst',
        'ProbingRequests',
        'LatencyBudgetBurn',
        'EventLoopLag',
        'LogFlood',
        'DatabaseUnreachable',
      ].map((alert) => resolves(alert, service, began)),
      resolves('WrongClock', 'clock', began),
      resolves('WrongClock', 'sundial', began),
      resolves('StoreDiscarding', 'loki', began),
      resolves('StoreDiscarding', 'mimir', began),
      resolves('SpanMetricsOverflow', 'noisy', began),
      ...[
        'CollectorDropping',
        'CollectorQueueing',
        'CollectorRefusing',
        'ServiceGraphDropping',
      ].map((alert) => resolves(alert, 'otel-collector', began)),
      resolves('ServiceDown', 'tempo', began),
      resolves('NotificationsFailing', 'alertmanager', began, 'loki'),
      wait('the end of NotificationsFailing in Slack', () =>
        Promise.resolve(inSlack('RESOLVED', 'NotificationsFailing', 'alertmanager')),
      ),
    ]);
  });

  it('no alert was left out', async () => {
    const all = alertsIn('{mimir,loki}/rules/*/*.yaml')
      .map(({ alert }) => alert)
      .filter((alert) => alert !== 'DoctorCanary'); // doctor.test.ts has it
    expected.add('NoTelemetry'); // lessons.test.ts has it
    expected.add('ErrorBudgetSlowBurn'); // takes more than an hour: mimir-rules.test.yaml
    expected.add('SeriesNearLimit'); // takes 200,000 series: mimir-rules.test.yaml
    assert.deepEqual(expected, new Set(all));
  });
});

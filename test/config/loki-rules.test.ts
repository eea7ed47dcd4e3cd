import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ManagedProcess } from '../../cli/native/process.ts';
import { otlpRequest } from '../../cli/stores.ts';
import type { Sample } from '../../cli/stores.ts';
import { NativeStack } from '../support/native-stack.ts';
import { alertsIn } from '../support/rule-files.ts';
import type { TestedStores } from '../support/stores.ts';

// Unit tests of loki/rules, as promtool has them for Mimir: each alert fires for its cause, and only then.
// Loki has no such tool, so Loki itself runs, with nothing around it: every case gets a minute of the past
// with log lines of its own, and the rule is asked at its end. That the ruler asks, too, and what it sends
// then, is tested on the running stack: alerts.test.ts.

interface Line {
  service: string;
  /** OTLP's severityNumber: 9 is info, 13 warn, 17 error, 21 fatal. */
  severity?: number;
  attributes?: Record<string, string>;
  /** How long before the end of the minute. */
  secondsBefore: number;
}

/** So many lines, spread over the minute. */
const lines = (count: number, line: Omit<Line, 'secondsBefore'>): Line[] =>
  Array.from({ length: count }, (_, n) => ({ ...line, secondsBefore: (59 * n) / count }));

const books = 'backend-example';
const asks = (count: number, path: string, service = books) =>
  lines(count, { service, attributes: { 'url.path': path } });

/** What the rule answers: one sample for each alert that fires. */
const nothing: Sample[] = [];
const fires = (value: number, service_name = books): Sample[] => [
  { labels: { service_name }, value },
];

const cases: Record<string, [title: string, lines: Line[], Sample[]][]> = {
  LogErrorBurst: [
    [
      'for eleven errors, fatal ones among them',
      [
        ...lines(9, { service: books, severity: 17 }),
        ...lines(2, { service: books, severity: 21 }),
      ],
      fires(11),
    ],
    ['not for ten', lines(10, { service: books, severity: 17 }), nothing],
    [
      'not for ten and one of the minute before',
      [
        ...lines(10, { service: books, severity: 17 }),
        { service: books, severity: 17, secondsBefore: 61 },
      ],
      nothing,
    ],
    ['not for warnings', lines(50, { service: books, severity: 13 }), nothing],
    ['not for errors of another service', lines(50, { service: 'another', severity: 17 }), nothing],
  ],
  LogFlood: [
    [
      'for 61 lines per second, of any service',
      lines(61 * 60, { service: 'another', severity: 9 }),
      fires(61, 'another'),
    ],
    ['not for 60 lines per second', lines(60 * 60, { service: books, severity: 9 }), nothing],
    [
      'not for 40 lines per second of each of two services',
      ['another', books].flatMap((service) => lines(40 * 60, { service, severity: 17 })),
      nothing,
    ],
  ],
  WrongClock: [
    [
      'for each line that claims another time, of any service',
      lines(2, { service: 'clock', attributes: { claimed_timestamp: '2025-11-26T08:00:00Z' } }),
      fires(2, 'clock'),
    ],
    [
      'not for lines without a claim, nor for one of the minute before',
      [
        ...lines(20, { service: books, severity: 9 }),
        {
          service: 'clock',
          attributes: { claimed_timestamp: '2025-11-26T08:00:00Z' },
          secondsBefore: 61,
        },
      ],
      nothing,
    ],
  ],
  ProbingRequests: [
    ...[
      '/.env',
      '/api/.ENV.production',
      '/.git/config',
      '/.aws/credentials',
      '/.ssh/id_rsa',
      '/wp-login.php',
      '/blog/wp-admin/',
      '/phpMyAdmin/index.php',
      '/books/find/../../etc/passwd',
      '/books/find/..%2fetc%2fpasswd',
      '/books/find/%2E%2E%2Fetc',
      '/books/find/1%27%20or%201=1',
      '/books/find/1%20UNION%20SELECT%20title',
      '/books/find/1+union++select+title',
      '/books/<script>alert(1)</script>',
      '/books/%3Cscript%3E',
    ].map((path): [string, Line[], Sample[]] => [
      `for six requests of ${path}`,
      asks(6, path),
      fires(6),
    ]),
    ['not for five', asks(5, '/.env'), nothing],
    ['not for those of another service', asks(50, '/.env', 'another'), nothing],
    [
      'not for what clients ask for, nor for what only sounds like it',
      [
        '/books/find',
        '/books/find/42',
        '/api',
        '/health/ready',
        '/books/find/union%20of%20select%20committees',
        '/environment',
        '/books/the-git-book',
        '/description/of/a/script',
      ].flatMap((path) => asks(20, path)),
      nothing,
    ],
  ],
  DoctorCanary: [
    [
      'with the value of the last canary of each slot',
      ['42', '41'].map((canary, n) => ({
        service: 'doctor',
        attributes: { slot: '7', canary },
        secondsBefore: 20 - n,
      })),
      [{ labels: { slot: '7' }, value: 41 }],
    ],
    [
      'not for a canary of the minute before, nor of another service',
      [
        { service: 'doctor', attributes: { slot: '8', canary: '1' }, secondsBefore: 61 },
        ...lines(1, { service: books, attributes: { slot: '8', canary: '1' } }),
      ],
      nothing,
    ],
  ],
};

const rules = new Map(alertsIn('loki/rules/*/*.yaml').map(({ alert, expr }) => [alert, expr]));

describe('the rules of Loki', () => {
  let stores: TestedStores;
  let loki: ManagedProcess;
  before(async () => {
    const stack = await NativeStack.create();
    stores = stack.stores;
    loki = await stack.startAlone('loki');
  });
  after(() => loki?.stop());

  it('have a case in which they fire and one in which they do not', () => {
    assert.deepEqual(
      [...rules.keys()].sort(),
      Object.keys(cases).sort(),
      'loki/rules and the cases here name the same alerts',
    );
    for (const [alert, list] of Object.entries(cases))
      assert.deepEqual(
        new Set(list.map(([, , expected]) => expected.length > 0)),
        new Set([true, false]),
        alert,
      );
  });

  // The oldest first: Loki takes no line that is much older than the newest of its stream.
  const all = Object.entries(cases).flatMap(([alert, list]) =>
    list.map((one) => [alert, ...one] as const),
  );
  const now = Date.now();
  for (const [n, [alert, title, given, expected]] of all.entries())
    it(`${alert} fires ${title}`, async () => {
      const end = BigInt(now - (all.length - n) * 120_000) * 1_000_000n;
      await push(stores.loki, given, end);
      assert.deepEqual(await stores.queryLogMetrics(rules.get(alert)!, end), expected);
    });
});

/** Sends lines to Loki as the collector does. */
async function push(loki: string, given: Line[], endNs: bigint): Promise<void> {
  for (const service of new Set(given.map((line) => line.service))) {
    const records = given
      .filter((line) => line.service === service)
      .map(({ severity, attributes = {}, secondsBefore }) => ({
        timeUnixNano: `${endNs - BigInt(Math.round(secondsBefore * 1e9))}`,
        severityNumber: severity,
        body: { stringValue: 'a line' },
        attributes: Object.entries(attributes).map(([key, stringValue]) => ({
          key,
          value: { stringValue },
        })),
      }));
    const response = await fetch(`${loki}/otlp/v1/logs`, otlpRequest('logs', service, records));
    assert.equal(response.status, 204, await response.text());
  }
}

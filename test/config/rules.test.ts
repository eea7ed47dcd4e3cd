import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import { createContext } from '../../cli/context.ts';
import { obtainProgram } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';
import { dashboards } from '../../grafana/src/dashboards.ts';
import { dashboardQuestions } from '../support/grafana-questions.ts';
import { readPage } from '../support/pages.ts';
import { alertsIn, rulesIn } from '../support/rule-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tools } from '../support/tools.ts';

// What can be checked of the alerts without data. That each fires for its cause is checked on the
// running stack: alerts.test.ts.

const MIMIR = 'mimir/rules/anonymous/alerts.yaml';
const LOKI = 'loki/rules/fake/alerts.yaml';
const ALERTMANAGER = 'alertmanager/alertmanager.yml';

const context = createContext();
const rules = [...alertsIn(MIMIR), ...alertsIn(LOKI)];

/** Runs a tool in the repository's folder; it has to find nothing wrong. */
async function run(name: keyof ReturnType<typeof tools>, ...args: string[]): Promise<void> {
  const { file } = await obtainProgram(context, tools(context.settings)[name]);
  const { status, stdout, stderr } = spawnSync(file, args, { cwd: ROOT, encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

describe('the rules', () => {
  for (const [store, tool] of [
    ['mimir', 'mimirtool'],
    ['loki', 'lokitool'],
  ] as const)
    it(`of ${store} are valid, and named as ${tool} wants it`, () =>
      run(
        tool,
        'rules',
        'check',
        '--strict',
        ...globSync(`${store}/rules/*/*.yaml`, { cwd: ROOT }),
      ));

  it('are not there twice', () =>
    run(
      'promtool',
      'check',
      'rules',
      '--lint=duplicate-rules',
      '--lint-fatal',
      ...globSync('mimir/rules/*/*.yaml', { cwd: ROOT }),
    ));
});

it('each recorded series is read by an alert or a panel, if need be through another rule', () => {
  const all = rulesIn('{mimir,loki}/rules/*/*.yaml');
  const names = (text: string) => text.match(/[\w:]+/g) ?? [];
  const read = new Set([
    ...all.flatMap(({ alert, expr }) => (alert ? names(expr) : [])),
    ...all.flatMap(({ annotations }) => names(annotations?.summary ?? '')), // it may ask, too
    ...dashboardQuestions.flatMap(({ query }) => names(query)),
  ]);
  for (const name of read)
    // which grows
    for (const { record, expr } of all)
      if (record === name) for (const inner of names(expr)) read.add(inner);
  const recorded = all.flatMap(({ record }) => record ?? []);
  assert.ok(recorded.length > 0);
  assert.deepEqual(
    recorded.filter((name) => !read.has(name)),
    [],
  );
});

it('the latency that the objective allows is a boundary of the buckets, which are the same for requests and spans', () => {
  const seconds = (list: string) =>
    list
      .match(/[\d.]+(ms|s)?/g)!
      .map((text) => parseFloat(text) / (text.endsWith('ms') ? 1000 : 1));
  const inFile = (file: string, list: RegExp) =>
    seconds(list.exec(readFileSync(join(ROOT, file), 'utf8'))![1]!);
  const requests = inFile(
    'backend-example/src/instrumentation.ts',
    /LATENCY_BUCKETS = \[([^\]]*)\]/,
  );
  const spans = inFile('otel-collector/otel-collector-config.yaml', /buckets:\s*\[([^\]]*)\]/);
  assert.deepEqual(spans, requests);
  const [, objective] = /http_server_request_duration_bucket\{[^}]*le="([\d.]+)"/.exec(
    rulesIn('mimir/rules/*/slo.yaml')
      .map(({ expr }) => expr)
      .join(),
  )!;
  assert.ok(requests.includes(Number(objective)));
});

it('what is summed is not compared with its past: the sum comes last', () => {
  const all = rulesIn('{mimir,loki}/rules/*/*.yaml');
  const summed = new Set(
    all.flatMap(({ record, expr }) =>
      record && /\b(sum|count|min|max|avg)\b/.test(expr) ? record : [],
    ),
  );
  const queries = [...all.map(({ expr }) => expr), ...dashboardQuestions.map(({ query }) => query)];
  const compared = queries.flatMap((query) =>
    [...query.matchAll(/\b(?:rate|increase|irate|delta|last_over_time)\s*\(\s*([\w:]+)/g)].map(
      ([, name]) => name!,
    ),
  );
  assert.ok(compared.length > 10);
  assert.deepEqual(
    compared.filter((name) => summed.has(name) || name === 'sum'),
    [],
  );
});

describe('the burn rates', () => {
  /** "3.36 1h 5m": how fast, and over which windows. */
  const burnRates = new Set(
    alertsIn(MIMIR).flatMap(({ alert, expr }) => {
      const windows = [...expr.matchAll(/ratio_rate(\w+)\S* > ([\d.]+) \* slo:error_budget/g)];
      if (windows.length === 0) return [];
      const [[, short, factor], [, long, same]] = windows as unknown as [string[], string[]];
      assert.equal(factor, same, alert);
      return `${factor} ${long} ${short}`;
    }),
  );
  const texts = {
    'the dashboard': JSON.stringify(dashboards.find(({ uid }) => uid === 'slo')),
    'the chapter': readFileSync(join(ROOT, 'docs/alerting.md'), 'utf8'),
  };

  it('are the share of the budget × the period / the window', () =>
    assert.deepEqual(
      burnRates,
      new Set([
        `${+((0.02 * 168) / 1).toFixed(2)} 1h 5m`,
        `${+((0.05 * 168) / 6).toFixed(2)} 6h 30m`,
      ]),
    ));

  it('are watched for both objectives', () => {
    const watched = alertsIn(MIMIR).filter(({ expr }) => expr.includes('slo:error_budget'));
    assert.deepEqual(
      watched.map(({ alert, expr }) => [alert, /slo="(\w+)"/.exec(expr)?.[1]]),
      [
        ['ErrorBudgetBurn', 'availability'],
        ['LatencyBudgetBurn', 'latency'],
        ['ErrorBudgetSlowBurn', undefined], // both
      ],
    );
  });

  for (const [where, text] of Object.entries(texts))
    it(`are those that ${where} names, and no others`, () =>
      assert.deepEqual(
        new Set(
          [...text.matchAll(/above ([\d.]+) over (\w+) and(?: over)? (\w+)/g)].map(
            ([, factor, long, short]) => `${factor} ${long} ${short}`,
          ),
        ),
        burnRates,
      ));
});

describe('the rules of Mimir', () => {
  it('pass their unit tests', () =>
    run('promtool', 'test', 'rules', 'test/config/mimir-rules.test.yaml'));

  it('have a unit test each', () => {
    const tests = readFileSync(join(ROOT, 'test/config/mimir-rules.test.yaml'), 'utf8');
    for (const { alert } of alertsIn('mimir/rules/*/*.yaml')) {
      assert.ok(tests.includes(`- name: ${alert} fires`), alert);
      assert.ok(tests.includes(`alertname="${alert}"`), alert);
    }
  });
});

describe('each alert', () => {
  const runbooks = readFileSync(join(ROOT, 'docs/runbooks.md'), 'utf8');
  for (const { alert, labels, annotations } of rules)
    it(`${alert} says how bad, what is wrong, what to do, and where to look`, () => {
      assert.ok(['critical', 'warning'].includes(labels.severity!));
      assert.match(annotations.summary!, /\{\{ \$value/);
      assert.ok(annotations.description!.length > 40);
      const [, uid, panel] = /^http:\/\/localhost:3000\/d\/([\w-]+)\?viewPanel=panel-(\d+)$/.exec(
        annotations.dashboard_url!,
      )!;
      const { panels } = dashboards.find((board) => board.uid === uid) as any;
      const shown = panels.find(({ id }: any) => id === Number(panel));
      assert.ok(shown?.targets, annotations.dashboard_url);
      assert.equal(annotations.runbook_url, `docs/runbooks.md#${alert.toLowerCase()}`);
      assert.match(runbooks, new RegExp(`^## ${alert}$`, 'm'));
    });

  it('has a row in the table of the chapter, with its severity', () => {
    const chapter = readFileSync(join(ROOT, 'docs/alerting.md'), 'utf8');
    const rows = [...chapter.matchAll(/^\| \[(\w+)\]\(runbooks\.md#(\w+)\) \| (\w+) \|/gm)];
    assert.deepEqual(
      new Set(rows.map(([, name, anchor, severity]) => `${name} ${anchor} ${severity}`)),
      new Set(
        rules.map(({ alert, labels }) => `${alert} ${alert.toLowerCase()} ${labels.severity}`),
      ),
    );
  });

  it('has a section in the runbooks, and no section is left over', () =>
    assert.deepEqual(
      new Set([...runbooks.matchAll(/^## (\w+)$/gm)].map(([, name]) => name)),
      new Set(rules.map(({ alert }) => alert)),
    ));
});

describe('Alertmanager', () => {
  it('accepts its config', () => run('amtool', 'check-config', ALERTMANAGER));

  it('accepts the other receivers of docs/alerting.md', async () => {
    const [receivers, routes] = readPage('docs/alerting.md')
      .blocks.filter(({ language }) => language === 'yaml')
      .map(({ text }) => parse(text) as object[]);
    const config = parse(readFileSync(join(ROOT, ALERTMANAGER), 'utf8')) as any;
    config.receivers.push(...receivers!);
    config.route.routes.splice(-1, 0, ...routes!);
    const file = join(temporaryFolder(), 'alertmanager.yml');
    writeFileSync(file, stringify(config));
    await run('amtool', 'check-config', file);
    for (const [severity, expected] of [
      ['critical', 'local,on-call,slack'],
      ['warning', 'local,slack'],
    ])
      await run(
        'amtool',
        'config',
        'routes',
        'test',
        `--config.file=${file}`,
        `--verify.receivers=${expected}`,
        `severity=${severity}`,
      );
  });

  for (const [labels, receivers] of [
    ['alertname=ServiceDown service_name=loki', 'local,slack'],
    // that a way does not work is told on the other
    ['alertname=NotificationsFailing integration=slack', 'local'],
    ['alertname=NotificationsFailing integration=webhook', 'slack'],
    ['alertname=DoctorCanary', 'local'],
  ] as const)
    it(`sends ${labels} to ${receivers}`, () =>
      run(
        'amtool',
        'config',
        'routes',
        'test',
        `--config.file=${ALERTMANAGER}`,
        `--verify.receivers=${receivers}`,
        ...labels.split(' '),
      ));

  it('holds back nothing but alerts that exist, for a cause that exists', () => {
    const { inhibit_rules } = parse(readFileSync(join(ROOT, ALERTMANAGER), 'utf8')) as {
      inhibit_rules: { source_matchers: string[]; target_matchers: string[] }[];
    };
    const names = inhibit_rules
      .flatMap((rule) => [...rule.source_matchers, ...rule.target_matchers])
      .flatMap((matcher) => matcher.split(/=~?/)[1]!.match(/\w+/g)!);
    assert.ok(names.length > 4);
    for (const name of names)
      assert.ok(
        rules.some(({ alert }) => alert === name),
        name,
      );
  });
});

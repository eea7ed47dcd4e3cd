import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { createContext } from '../../cli/context.ts';
import { obtainProgram } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';
import { dashboards } from '../../grafana/src/dashboards.ts';
import { dashboardQuestions } from '../support/grafana-questions.ts';
import { alertsIn, rulesIn } from '../support/rule-files.ts';
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

it('each recorded series is read by an alert, a panel or another rule', () => {
  const all = rulesIn('{mimir,loki}/rules/*/*.yaml');
  const read = new Set(
    [...all.map(({ expr }) => expr), ...dashboardQuestions.map(({ query }) => query)].flatMap(
      (query) => query.match(/[\w:]+/g) ?? [],
    ),
  );
  const recorded = all.flatMap(({ record }) => record ?? []);
  assert.ok(recorded.length > 0);
  assert.deepEqual(
    recorded.filter((name) => !read.has(name)),
    [],
  );
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

  it('has a section in the runbooks, and no section is left over', () =>
    assert.deepEqual(
      new Set([...runbooks.matchAll(/^## (\w+)$/gm)].map(([, name]) => name)),
      new Set(rules.map(({ alert }) => alert)),
    ));
});

describe('Alertmanager', () => {
  it('accepts its config', () => run('amtool', 'check-config', ALERTMANAGER));

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

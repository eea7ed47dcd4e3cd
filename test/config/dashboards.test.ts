import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { ROOT } from '../../cli/paths.ts';
import { dashboards } from '../../grafana/src/dashboards.ts';
import {
  checkGrammar,
  dashboardLinks,
  dashboardQuestions,
  datasource,
  exploreQuestions,
  type Question,
} from '../support/grafana-questions.ts';

// What can be checked of the dashboards without data. That every question has an answer is
// checked on the running stack: itAnswersGrafana.

const FOLDER = join(ROOT, 'grafana/dashboards');

/** The series that a legend names, and the colour that each has to have. */
const MEANINGS: Record<string, Record<string, string>> = {
  '{{detected_level}}': {
    fatal: 'red',
    critical: 'red',
    error: 'red',
    warn: 'orange',
    info: 'blue',
    debug: 'light-blue',
    trace: 'light-blue',
    unknown: 'text',
  },
  '{{http_response_status_code}}': {
    200: 'green',
    204: 'green',
    304: 'blue',
    400: 'orange',
    404: 'orange',
    500: 'red',
    503: 'red',
  },
  'wrong time': { 'wrong time': 'orange' },
  cut: { cut: 'orange' },
  'requests that wait': { 'requests that wait': 'orange' },
};

/** The colour of the last override that fits, as Grafana takes it. */
function colorOf({ fieldConfig }: any, name: string): string | undefined {
  const fits = ({ matcher: { id, options } }: any) =>
    id === 'byName' ? options === name : RegExp(options.slice(1, -1)).test(name);
  return fieldConfig.overrides
    .filter(fits)
    .flatMap(({ properties }: any) => properties)
    .filter(({ id }: any) => id === 'color')
    .at(-1)?.value.fixedColor;
}

describe('dashboards', () => {
  it('are the JSON that npm run dashboards makes of grafana/src', () => {
    const files = readdirSync(FOLDER).toSorted();
    const made = dashboards.map(({ uid }) => `${uid}.json`).toSorted();
    assert.deepEqual(files, made);
    for (const dashboard of dashboards)
      assert.deepEqual(
        JSON.parse(readFileSync(join(FOLDER, `${dashboard.uid}.json`), 'utf8')),
        JSON.parse(JSON.stringify(dashboard)),
        `${dashboard.uid}.json is out of date: npm run dashboards`,
      );
  });

  it('ask in the grammar of each query language', () => {
    assert.ok(dashboardQuestions.length > 50);
    for (const question of dashboardQuestions)
      assert.doesNotThrow(() => checkGrammar(question), question.where);
  });

  it('know a broken query', () => {
    const broken: Question = { where: '', kind: 'metric', legend: [], datasource: '', query: '' };
    for (const [uid, query] of [
      ['mimir', 'sum by (route (up)'],
      ['loki', '{service_name="a"} |~ '],
      ['tempo', '{ resource.service.name = }'],
    ])
      assert.throws(
        () => checkGrammar({ ...broken, datasource: uid!, query: query! }),
        /⟵ here/,
        uid,
      );
  });

  it('split nothing by level, status, severity or result without a colour for each value', () => {
    const splits = dashboards.flatMap(({ panels }: any) =>
      panels.flatMap(({ targets = [], type }: any) =>
        type === 'timeseries' ? targets.map(({ legendFormat }: any) => legendFormat) : [],
      ),
    );
    const judging = splits.filter((legend: string) => /level|status|severity|result/.test(legend));
    assert.deepEqual(
      new Set(judging),
      new Set(['{{detected_level}}', '{{http_response_status_code}}']),
    );
    for (const legend of judging) assert.ok(MEANINGS[legend], legend);
  });

  it('show the newest traces, not the first that Tempo finds', () => {
    const searches = dashboardQuestions.filter(
      ({ kind, where }) => kind === 'traces' && !where.includes('text'),
    );
    assert.ok(searches.length > 0);
    for (const { query, where } of searches)
      assert.match(query, / with \(most_recent=true\)$/, where);
  });

  it('link to queries in the grammar of their language, and to dashboards that exist', () => {
    assert.ok(dashboardLinks.length > 0);
    for (const link of dashboardLinks) {
      const board = /^\/d\/([\w-]+)/.exec(link.url)?.[1];
      if (board)
        assert.ok(
          dashboards.some(({ uid }) => uid === board),
          link.where,
        );
      else exploreQuestions(link).forEach(checkGrammar);
    }
  });

  for (const { title, panels } of dashboards as any[]) {
    const shown = panels.filter(({ targets }: any) => targets);

    it(`${title}: each panel has a data source, a unit where it shows numbers, and says what it shows`, () => {
      for (const panel of shown) {
        const [first] = panel.targets;
        assert.ok(datasource(first.datasource.uid), panel.title);
        assert.deepEqual(panel.datasource, first.datasource, panel.title);
        assert.ok(panel.description, panel.title);
        if (['timeseries', 'stat'].includes(panel.type))
          assert.ok(
            Object.values<unknown>(units).includes(panel.fieldConfig.defaults.unit),
            panel.title,
          );
      }
    });

    it(`${title}: what is good or bad has its colour, on each panel and in any order`, () => {
      for (const panel of panels.filter(({ type }: any) => type === 'timeseries')) {
        const allBad = /^(Lost|Counted too little)/.test(panel.title);
        assert.deepEqual(
          panel.fieldConfig.defaults.color,
          allBad ? { mode: 'shades', fixedColor: 'red' } : { mode: 'palette-classic-by-name' },
          panel.title,
        );
        for (const { legendFormat } of panel.targets)
          for (const [name, color] of Object.entries(MEANINGS[legendFormat] ?? {}))
            assert.equal(colorOf(panel, name), color, `${panel.title}: ${name}`);
      }
    });

    it(`${title}: no two panels have the same number or overlap`, () => {
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }: any) =>
        Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
      );
      assert.equal(new Set(cells).size, cells.length);
      const ids = panels.map(({ id }: any) => id);
      assert.equal(new Set(ids).size, ids.length);
    });
  }
});

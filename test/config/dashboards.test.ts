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

import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import type { Sample } from '../../cli/stores.ts';
import {
  dashboardLinks,
  dashboardQuestions,
  datasource,
  exploreQuestions,
  interpolate,
  labelValues,
  type Question,
} from './grafana-questions.ts';
import { eventually, logsOf, traceOf, type TestedStack } from './signals.ts';
import type { TestedStores } from './stores.ts';

// Every question that Grafana asks, put to the stores themselves: each must have an answer, with the
// labels that its legend shows. Grafana itself is not needed for it.

const named = (samples: Sample[], legend: string[]): string[] =>
  samples
    .filter(({ value }) => Number.isFinite(value))
    .map(({ labels, value }) => {
      for (const label of legend) assert.ok(labels[label], `a series has no label ${label}`);
      return `${legend.map((label) => labels[label]).join(' ')} ${+value.toPrecision(3)}`;
    });

/** What comes back, an entry for each series, line or trace. */
const answers: Record<
  Question['kind'],
  (stores: TestedStores, query: string, legend: string[]) => Promise<string[]>
> = {
  metric: async (stores, query, legend) => named(await stores.queryMetrics(query), legend),
  'log metric': async (stores, query, legend) => named(await stores.queryLogMetrics(query), legend),
  'log lines': async (stores, query) => (await stores.queryLogs(query)).map(({ line }) => line),
  traces: async (stores, query) => (await stores.search(query)).map(({ id }) => id),
  'label values': async (stores, query) => {
    const { selector, label } = labelValues(query);
    const url = new URL(`/prometheus/api/v1/label/${label}/values`, stores.mimir);
    url.searchParams.set('match[]', selector);
    return ((await (await fetch(url)).json()) as any).data;
  },
  // Each is worth its click only if the trace it names is there.
  exemplars: async (stores, query) => {
    const ids = (await stores.queryExemplars(query)).map(({ labels }) => labels[exemplarLabel]!);
    const newest = ids.at(-1);
    return newest && (await stores.queryTrace(newest)).length > 0 ? ids : [];
  },
  // what Grafana's Tempo data source makes its graph of
  'service map': async (stores) =>
    named(
      await stores.queryMetrics(
        'sum by (client, server) (rate(traces_service_graph_request_total[1m]))',
      ),
      ['client', 'server'],
    ),
};
const exemplarLabel: string = datasource('mimir').exemplarTraceIdDestinations[0].name;

const ask = (stores: TestedStores, question: Question): Promise<string[]> =>
  eventually(question.query || question.kind, async () => {
    const found = await answers[question.kind](
      stores,
      interpolate(question.query),
      question.legend,
    );
    return found.length > 0 && found;
  });

/**
 * A test for each panel, variable, annotation and link of the dashboards and each correlation.
 * @param run a trace of each kind of request
 */
export function itAnswersGrafana(
  stack: () => TestedStack,
  run: () => Record<string, string>,
): void {
  // What Alertmanager tells is shown, too, and when it ends; it takes a moment, so this comes first.
  before(async () => {
    const { stores } = stack();
    const alert = (alertname: string) => ({
      labels: { alertname, service_name: 'test', severity: 'info' },
      annotations: { summary: 'Sent by the tests' },
    });
    await stores.sendAlert(alert('Test'));
    await stores.sendAlert({ ...alert('Ended'), endsAt: new Date(Date.now() + 10_000) });
  });

  const answered = (question: Question) => {
    const { where, kind, query } = question;
    it(`${where}: ${kind}`, async (t) => {
      if (/\btempo_/.test(query) && !stack().hasTempo())
        return t.skip('the stand-in has no metrics of Tempo');
      const found = await ask(stack().stores, question);
      t.diagnostic(`${found.length}: ${found.slice(0, 3).join(' · ')}`);
    });
  };
  dashboardQuestions.forEach(answered);
  for (const link of dashboardLinks)
    if (link.url.startsWith('/explore')) exploreQuestions(link).forEach(answered);

  // ---- what is 0 or empty as long as nothing goes wrong

  it('a failed request shows in the errors', async () => {
    const { query } = dashboardQuestions.find(({ where }) => where === 'Books service › Errors')!;
    await eventually('an error ratio above 0', async () => {
      const ratios = await stack().stores.queryMetrics(interpolate(query));
      return ratios.some(({ value }) => value > 0);
    });
  });

  it('a failed request shows in the latest warnings and errors, with its trace', async () => {
    const { query } = dashboardQuestions.find(
      ({ where }) => where === 'Books service › Latest warnings and errors',
    )!;
    const failed = await eventually('an error', async () =>
      (await stack().stores.queryLogs(interpolate(query))).find(
        ({ labels }) => labels.detected_level === 'error',
      ),
    );
    await traceOf(stack().stores, failed.labels.trace_id!, 1);
  });

  // ---- correlations: the links between the data sources

  const traceId = () => run()['POST /books/create 201']!;
  /** As Grafana fills in $__tags from the attributes of the span. */
  const tags = (correlation: any) =>
    correlation.tags
      .map(({ key, value }: any) => {
        assert.equal(key, 'service.name');
        return `${value}="backend-example"`;
      })
      .join(', ');

  it('trace → logs: the lines of this trace and of no other', async () => {
    const { tracesToLogsV2: toLogs } = datasource('tempo');
    const query = interpolate(toLogs.query, { __tags: tags(toLogs), '__trace.traceId': traceId() });
    const lines = await eventually(query, async () => {
      const found = await stack().stores.queryLogs(query);
      return found.length >= 2 && found;
    });
    assert.deepEqual(
      lines.map(({ line }) => line),
      ['book created', 'POST /books/create 201'],
    );
  });

  it('log → trace: the trace of this line', async () => {
    const [field] = datasource('loki').derivedFields;
    assert.equal(field.matcherType, 'label');
    const [line] = await logsOf(stack().stores, traceId());
    const value = line!.labels[field.matcherRegex]!;
    const id = interpolate(field.url, { '__value.raw': value });
    const spans = await traceOf(stack().stores, id, 4);
    assert.ok(spans.some(({ name }) => name === 'POST /books/create'));
  });

  const { tracesToMetrics } = datasource('tempo');
  for (const { name, query } of tracesToMetrics.queries)
    it(`trace → metrics: ${name}`, async (t) => {
      const asked = interpolate(query, {
        __tags: tags(tracesToMetrics),
        '__span.name': 'POST /books/create',
      });
      const found = await eventually(asked, async () => {
        const series = named(await stack().stores.queryMetrics(asked), ['span_name']);
        return series.length > 0 && series;
      });
      assert.equal(found.length, 1);
      assert.match(found[0]!, /^POST \/books\/create /);
      t.diagnostic(`${found.length}: ${found.slice(0, 3).join(' · ')}`);
    });
}

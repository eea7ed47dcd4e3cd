import { after, before, it } from 'node:test';
import { dashboards } from '../../grafana/src/dashboards.ts';
import { findChromium, GrafanaPages } from './grafana-pages.ts';
import { logsOf, traceOf, type TestedStack } from './signals.ts';

// Grafana itself: every dashboard is opened, and every link between logs, traces and metrics is clicked
// once. Needs Grafana and a Chromium on PATH.

/** @param run a trace of each kind of request */
export function itShowsInGrafana(
  stack: () => TestedStack,
  run: () => Record<string, string>,
): void {
  let pages: GrafanaPages;
  let why = '';

  before(async () => {
    const chromium = findChromium();
    if (!stack().running().includes('grafana')) why = 'Grafana cannot be had here';
    else if (!chromium) why = 'there is no Chromium on PATH';
    else
      pages = await GrafanaPages.open(chromium, stack().stores.grafana, {
        width: 1600,
        height: 3000, // panels load when they are in sight
      });
  });
  after(() => pages?.close());

  const inGrafana = (name: string, check: () => Promise<unknown>) => {
    it(name, async (t) => {
      if (why) return t.skip(why);
      await check();
    });
  };

  for (const { uid, title, panels } of dashboards)
    inGrafana(`${title} shows data in each panel`, async () => {
      await pages.dashboard(uid!);
      for (const panel of panels!) if (panel.title) await pages.shown(panel.title as string, true);
      await pages.filled();
    });

  /** A page that finds nothing does not ask again: the request has to be in the stores before. */
  const storedTrace = async () => {
    const id = run()['POST /books/create 201']!;
    await traceOf(stack().stores, id, 4);
    await logsOf(stack().stores, id);
    return id;
  };

  /** From the links of the SQL span of a trace. */
  const fromSpan = async (link: string | RegExp) => {
    await pages.trace(await storedTrace());
    await pages.page.getByTestId('SpanLinksMenu').last().getByRole('button').click();
    await pages.page.getByRole('menuitem', { name: link }).click();
  };

  inGrafana('trace → logs is one click', async () => {
    await fromSpan(/logs/i); // its name differs between versions
    await pages.shown('book created');
  });

  for (const link of ['Request rate', 'p95 latency'])
    inGrafana(`trace → metrics, ${link}, is one click`, async () => {
      await fromSpan(link);
      await pages.shown('{span_name="pg.query:INSERT books"}');
    });

  inGrafana('log → trace is one click', async () => {
    await (await pages.logLine(await storedTrace())).click();
    await pages.shown('BooksService.create');
  });

  inGrafana('metric → trace is one click on an exemplar', async () => {
    await pages.explore({
      datasource: 'mimir',
      expr: 'histogram_quantile(0.95, sum by (le) (rate(traces_spanmetrics_latency_bucket{span_name="POST /books/create"}[1m])))',
      exemplar: true,
    });
    await (await pages.exemplar()).click();
    await pages.shown('Service & Operation');
  });

  inGrafana('service graph → metrics is one click', async () => {
    await pages.dashboard('follow-one-request');
    await pages.page.getByTestId('node-click-rect-books').click();
    await pages.page.getByRole('menuitem', { name: 'Request rate', exact: true }).click();
    await pages.shown(/server="books"/);
  });

  inGrafana('a notification is a mark across the graphs', async () => {
    await pages.dashboard('books-service?viewPanel=panel-4');
    await pages.page.getByTestId('data-testid annotation-marker').last().hover();
    await pages.shown('Test firing');
    await pages.shown('Sent by the tests');
  });
}

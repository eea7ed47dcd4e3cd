import { accessSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, it } from 'node:test';
import { chromium, type Browser, type Page } from 'playwright-core';
import { dashboards } from '../../grafana/src/dashboards.ts';
import { exploreUrl } from '../../grafana/src/explore-url.ts';
import { logsOf, traceOf, type TestedStack } from './signals.ts';

// Grafana itself, as a person sees it: every dashboard is opened, and every link between logs, traces
// and metrics is clicked once. Needs Grafana and a Chromium on PATH.

const PATIENCE_MS = 60_000;

/** The Chromium of this machine, undefined where there is none. */
function findChromium(): string | undefined {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const files = (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)));
  return files.find((file) => {
    try {
      accessSync(file);
      return true;
    } catch {
      return false;
    }
  });
}

/** @param run a trace of each kind of request */
export function itShowsInGrafana(
  stack: () => TestedStack,
  run: () => Record<string, string>,
): void {
  const grafana = () => stack().stores.grafana;
  let browser: Browser | undefined;
  let page: Page;
  let why = '';

  before(async () => {
    const executablePath = findChromium();
    if (!stack().running().includes('grafana')) why = 'Grafana cannot be had here';
    else if (!executablePath) why = 'there is no Chromium on PATH';
    if (why) return;
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    const context = await browser.newContext({
      viewport: { width: 1600, height: 3000 }, // panels load when they are in sight
    });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.request.post(`${grafana()}/login`, {
      data: { user: 'admin1', password: 'admin1' },
    });
    page = await context.newPage();
  });
  after(() => browser?.close());

  const inGrafana = (name: string, check: () => Promise<void>) => {
    it(name, async (t) => (why ? t.skip(why) : check()));
  };

  for (const { uid, title, panels } of dashboards)
    inGrafana(`${title} shows data in each panel`, async () => {
      await page.goto(`${grafana()}/d/${uid}`);
      for (const panel of panels!)
        if (panel.title)
          await page
            .getByText(panel.title as string, { exact: true })
            .first()
            .waitFor();
      // a text, because it runs in the browser
      await page.waitForFunction(
        `!/No data|Loading/.test(document.body.innerText) &&
          !document.querySelector('[data-testid*="Panel status error"]')`,
      );
    });

  const open = (query: Parameters<typeof exploreUrl>[0]) =>
    page.goto(grafana() + exploreUrl(query));
  /** A page that finds nothing does not ask again: the request has to be in the stores before. */
  const storedTrace = async () => {
    const id = run()['POST /books/create 201']!;
    await traceOf(stack().stores, id, 4);
    await logsOf(stack().stores, id);
    return id;
  };

  /** From the links of the SQL span of a trace. */
  const fromSpan = async (link: string | RegExp) => {
    await open({ datasource: 'tempo', query: await storedTrace() });
    await page.getByText('pg.query:INSERT books').first().waitFor();
    await page.getByTestId('SpanLinksMenu').last().getByRole('button').click();
    await page.getByRole('menuitem', { name: link }).click();
  };

  inGrafana('trace → logs is one click', async () => {
    await fromSpan(/logs/i); // its name differs between versions
    await page.getByText('book created').first().waitFor();
  });

  for (const link of ['Request rate', 'p95 latency'])
    inGrafana(`trace → metrics, ${link}, is one click`, async () => {
      await fromSpan(link);
      await page.getByText('{span_name="pg.query:INSERT books"}').first().waitFor();
    });

  inGrafana('log → trace is one click', async () => {
    await open({
      datasource: 'loki',
      expr: `{service_name="backend-example"} | trace_id="${await storedTrace()}"`,
    });
    await page.getByText('book created').first().click();
    await page.getByText('View trace').first().click();
    await page.getByText('BooksService.create').first().waitFor();
  });

  inGrafana('metric → trace is one click on an exemplar', async () => {
    await open({
      datasource: 'mimir',
      expr: 'histogram_quantile(0.95, sum by (le) (rate(traces_spanmetrics_latency_bucket{span_name="POST /books/create"}[1m])))',
      exemplar: true,
    });
    await page.getByTestId('data-testid Exemplar marker').last().hover();
    await page.getByText('View trace').first().click();
    await page.getByText('Service & Operation').first().waitFor();
  });

  inGrafana('service graph → metrics is one click', async () => {
    await page.goto(`${grafana()}/d/follow-one-request`);
    await page.getByTestId('node-click-rect-books').click();
    await page.getByRole('menuitem', { name: 'Request rate', exact: true }).click();
    await page
      .getByText(/server="books"/)
      .first()
      .waitFor();
  });

  inGrafana('a notification is a mark across the graphs', async () => {
    await page.goto(`${grafana()}/d/books-service?viewPanel=panel-4`);
    await page.getByTestId('data-testid annotation-marker').last().hover();
    await page.getByText('Test firing').first().waitFor();
    await page.getByText('Sent by the tests').first().waitFor();
  });
}

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser, type Locator, type Page } from 'playwright-core';
import { exploreUrl, type ExploreQuery } from '../../grafana/src/explore-url.ts';

// Grafana as a person sees it: where to click, for the tests and for the pictures in the pages.

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The Chromium or Chrome on PATH, undefined where there is none. */
export function findChromium(path = process.env.PATH ?? ''): string | undefined {
  const files = path.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return files.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export interface Login {
  user: string;
  password: string;
}

/** A browser that is logged in to Grafana, and the places of the tour in it. */
export class GrafanaPages {
  readonly page: Page;
  private readonly browser: Browser;
  private readonly grafana: string;

  private constructor(browser: Browser, page: Page, grafana: string) {
    this.browser = browser;
    this.page = page;
    this.grafana = grafana;
  }

  /**
   * @param executablePath see findChromium
   * @param grafana such as http://localhost:3000
   * @param view width and height in CSS pixels, and how many pixels of a picture each of them is
   * @throws Error when Grafana does not take the login
   */
  static async open(
    executablePath: string,
    grafana: string,
    view: { width: number; height: number; scale?: number },
    login: Login = { user: 'admin1', password: 'admin1' },
  ): Promise<GrafanaPages> {
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    try {
      const context = await browser.newContext({ viewport: view, deviceScaleFactor: view.scale });
      context.setDefaultTimeout(60_000);
      const answer = await context.request.post(`${grafana}/login`, { data: login });
      if (!answer.ok())
        throw new Error(`Grafana does not take the login of "${login.user}" (${answer.status()}).`);
      return new GrafanaPages(browser, await context.newPage(), grafana);
    } catch (error) {
      await browser.close();
      throw error;
    }
  }

  close = (): Promise<void> => this.browser.close();

  /** @param place what comes behind /d/, such as "books-service?viewPanel=panel-4" */
  dashboard = (place: string) => this.page.goto(`${this.grafana}/d/${place}`);

  explore = (query: ExploreQuery) => this.page.goto(this.grafana + exploreUrl(query));

  /** Opens the log line "book created" of a trace, whose button *View trace* is then in sight. */
  async logLine(traceId: string): Promise<Locator> {
    const expr = `{service_name="backend-example"} | trace_id="${traceId}"`;
    await this.explore({ datasource: 'loki', expr });
    await this.page.getByText('book created').first().click();
    return this.shown('View trace');
  }

  /** Opens a trace of `POST /books/create`, down to its SQL statement. */
  async trace(traceId: string): Promise<void> {
    await this.explore({ datasource: 'tempo', query: traceId });
    await this.shown('pg.query:INSERT books');
  }

  /** Points at the newest exemplar of a graph, which then shows its button *View trace*. */
  async exemplar(): Promise<Locator> {
    await this.page.getByTestId('data-testid Exemplar marker').last().hover();
    return this.shown('View trace');
  }

  /** Waits until every panel has data and none shows an error. */
  async filled(): Promise<void> {
    // a text, because it runs in the browser
    await this.page.waitForFunction(
      `!/No data|Loading/.test(document.body.innerText) &&
        !document.querySelector('[data-testid*="Panel status error"]')`,
    );
  }

  /** The first place with this text, once it is in sight. */
  async shown(text: string | RegExp, exact = false): Promise<Locator> {
    const found = this.page.getByText(text, { exact }).first();
    await found.waitFor();
    return found;
  }
}

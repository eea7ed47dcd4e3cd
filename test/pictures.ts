import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Argument, Command, InvalidArgumentError } from 'commander';
import type { Locator } from 'playwright-core';
import { createContext, type Context } from '../cli/context.ts';
import { requireService } from '../cli/diagnosis/diagnosis.ts';
import { ROOT } from '../cli/paths.ts';
import { settingsInUse } from '../cli/run.ts';
import { Stores } from '../cli/stores.ts';
import { explain } from '../cli/verbs.ts';
import { dashboards } from '../grafana/src/dashboards.ts';
import { findChromium, GrafanaPages } from './support/grafana-pages.ts';
import { digestOf, FOLDER, readRecords, writeRecords } from './support/pictures.ts';
import { run } from './support/run.ts';
import { eventually, logsOf, traceOf, traffic } from './support/signals.ts';
import { TestedStores } from './support/stores.ts';
import { terminalPicture } from './support/terminal-picture.ts';

// npm run pictures: takes the pictures of the pages from the stack that runs.

/** Pixels of a picture per CSS pixel: sharp on a screen of high resolution. */
const SCALE = 1.5;
const WIDTH = 1067;
const TRAFFIC_MS = 60_000;

const DATA_SOURCES = 'grafana/provisioning/datasources/grafana-config.yaml';
const json = (dashboard: string) => `grafana/dashboards/${dashboard}.json`;

interface Picture {
  shows: string;
  /** Of the window, in CSS pixels: panels load when they are in sight. */
  height: number;
  /** Of the picture, where that is less. */
  cut?: number;
  /** Opens what is to be seen; the picture then begins at the top of what it answers, if anything. */
  open: (pages: GrafanaPages, traceId: string) => Promise<Locator | void>;
}

const PICTURES: Record<string, Picture> = {
  home: {
    shows: json('follow-one-request'),
    height: 972,
    async open(pages) {
      await pages.dashboard('follow-one-request');
      await pages.filled();
    },
  },
  'log-line': {
    shows: DATA_SOURCES,
    height: 750,
    async open(pages, traceId) {
      await pages.logLine(traceId);
      return pages.shown('Common labels');
    },
  },
  trace: {
    shows: DATA_SOURCES,
    height: 800,
    async open(pages, traceId) {
      await pages.trace(traceId);
      return pages.shown('backend-example: POST /books/create');
    },
  },
  exemplar: {
    shows: json('books-service'),
    height: 584,
    async open(pages) {
      await pages.dashboard(
        `books-service?viewPanel=panel-${panelId('books-service', 'Duration, 95th percentile')}`,
      );
      await pages.exemplar();
    },
  },
  alert: {
    shows: json('books-service'),
    height: 3000,
    cut: 290,
    async open(pages) {
      await pages.dashboard('books-service');
      await pages.page.getByTestId('data-testid annotation-marker').first().waitFor();
      await pages.filled();
      return pages.shown('Books and database', true);
    },
  },
};

const TOUR = 'tour'; // of the terminal: needs neither Grafana nor a browser
const NAMES = [...Object.keys(PICTURES), TOUR];

const program = new Command('npm run pictures')
  .usage('-- [options] [picture...]')
  .addArgument(new Argument('[picture...]', 'without it, all of them').choices(NAMES))
  .option('--keep <picture>', 'a picture that stays although its dashboard has changed', recorded)
  .option('--because <reason>', 'why it may stay')
  .showHelpAfterError()
  .parse();

try {
  const { keep: kept, because = '' } = program.opts<{ keep?: string; because?: string }>();
  if (kept && !because.trim())
    program.error('--keep needs --because "…": whoever takes it again wants to know.');
  if (kept) keep(kept, because);
  else await takePictures(program.args);
} catch (error) {
  console.error(`\n${explain(error as Error)}`);
  process.exitCode = 1;
}

/** The name of a picture that was taken. */
function recorded(name: string): string {
  if (readRecords()[name]) return name;
  throw new InvalidArgumentError(`There are ${Object.keys(readRecords()).join(', ')}.`);
}

async function takePictures(wanted: string[]): Promise<void> {
  const names = wanted.length > 0 ? wanted : NAMES;
  const context = createContext();
  context.settings = await settingsInUse(context.settings);
  mkdirSync(join(ROOT, FOLDER), { recursive: true });
  const ofGrafana = names.filter((name) => name !== TOUR);
  const chromium = ofGrafana.length > 0 ? await requireGrafana(context) : '';
  await requireService(context);
  if (names.includes(TOUR)) await takeTour(context);
  if (ofGrafana.length > 0) await takeOfGrafana(context, chromium, ofGrafana);
}

/** Records that a picture stays although what it shows has changed. */
function keep(name: string, because: string): void {
  const records = readRecords();
  const record = records[name]!;
  record.kept = { digest: digestOf(record.shows), because };
  writeRecords(records);
}

/** The path of the browser. */
async function requireGrafana(context: Context): Promise<string> {
  const chromium = findChromium();
  if (!chromium)
    throw new Error(
      `No Chromium or Chrome was found on PATH, and the pictures of Grafana are taken with it: install one, or take the terminal's alone with "npm run pictures -- ${TOUR}".`,
    );
  const stores = new Stores(context);
  const down = await stores.whyDown('grafana');
  if (down)
    throw new Error(
      `Grafana does not run (${down}): start the stack with "npm start", and see that Grafana is in its list.`,
    );
  return chromium;
}

async function takeTour(context: Context): Promise<void> {
  const { code, output } = await run(process.execPath, [join(ROOT, 'cli/main.js'), 'tour'], {
    ...context.env,
    FORCE_COLOR: '1',
  });
  if (code !== 0) throw new Error(output);
  save(context, `${TOUR}.svg`, Buffer.from(terminalPicture('npm run tour', output)));
}

async function takeOfGrafana(context: Context, chromium: string, names: string[]): Promise<void> {
  const stores = new TestedStores(context);
  const traceId = await makeTraffic(context, stores);
  const health = (await (await context.fetch(`${stores.grafana}/api/health`)).json()) as {
    version: string;
  };
  const { GF_SECURITY_ADMIN_USER: user, GF_SECURITY_ADMIN_PASSWORD: password } = context.env;
  for (const name of names) {
    const { shows, height, cut = height, open } = PICTURES[name]!;
    const view = { width: WIDTH, height, scale: SCALE };
    const login = { user: user || 'admin1', password: password || 'admin1' };
    const pages = await GrafanaPages.open(chromium, stores.grafana, view, login);
    try {
      const top = await open(pages, traceId);
      await sleep(1_000); // what fades in
      const y = (await top?.boundingBox())?.y ?? 0;
      save(context, `${name}.webp`, await webp(pages, { y, height: Math.min(height - y, cut) }));
    } finally {
      await pages.close();
    }
    writeRecords({
      ...readRecords(),
      [name]: {
        shows,
        digest: digestOf(shows),
        grafana: health.version,
        taken: new Date(context.now()).toISOString().slice(0, 10),
      },
    });
  }
}

/** WebP, which Playwright itself does not write: a fifth of a PNG. */
async function webp(
  { page }: GrafanaPages,
  { y, height }: { y: number; height: number },
): Promise<Buffer> {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', {
    format: 'webp',
    quality: 80,
    clip: { x: 0, y, width: WIDTH, height, scale: 1 },
  });
  return Buffer.from(data, 'base64');
}

/** Something to see on every graph; answers the trace of a book that was created, once all of it is stored. */
async function makeTraffic(context: Context, stores: TestedStores): Promise<string> {
  let created = '';
  for (const end = context.now() + TRAFFIC_MS; context.now() < end; await sleep(250)) {
    context.progress.update('traffic', `${Math.ceil((end - context.now()) / 1000)} s left`);
    created = (await traffic(stores))['POST /books/create 201']!;
  }
  context.progress.clear();
  const began = context.now();
  await stores.sendAlert({
    labels: { alertname: 'Example', service_name: 'backend-example', severity: 'info' },
    annotations: { summary: 'Sent for a picture' },
  });
  await traceOf(stores, created, 4);
  await logsOf(stores, created);
  await eventually('the notification in Loki', async () => {
    const told = await stores.notifications('Example', began);
    return told.length > 0;
  });
  return created;
}

function panelId(uid: string, title: string): number {
  const { panels = [] } = dashboards.find((dashboard) => dashboard.uid === uid)!;
  return (panels.find((panel) => panel.title === title) as { id: number }).id;
}

function save(context: Context, file: string, content: Buffer): void {
  writeFileSync(join(ROOT, FOLDER, file), content);
  context.print(`${FOLDER}/${file}  ${Math.ceil(content.length / 1024)} kB`);
}

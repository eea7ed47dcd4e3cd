import { setTimeout as sleep } from 'node:timers/promises';
import {
  GRAFANA,
  poll,
  queryAlerts,
  whyDown,
  type LogLine,
} from './backends.ts';
import { component } from './components.ts';
import {
  Traffic,
  freeze,
  notifications,
  setFaults,
  thaw,
  type Faults,
} from './faults.ts';
import { fail, heading } from './terminal.ts';

interface Lesson {
  what: string;
  /** The alert that has to come. */
  alert: string;
  breaks: () => Promise<void>;
  repairs: () => Promise<void>;
  /** What to look at while it is broken. */
  look: string[];
  /** What the clients ask for meanwhile. */
  requests?: { pace: number; path: () => string };
  /** Where notifications cannot be stored while it lasts, the alert is seen in Alertmanager. */
  withoutReceiver?: true;
}

const BOOKS_BOARD = `${GRAFANA}/d/books-service`;

const withFaults = (faults: Faults) => ({
  breaks: () => setFaults(faults),
  repairs: () => setFaults({}),
});

const LESSONS: Record<string, Lesson> = {
  'slow-query': {
    what: 'Every SELECT of the books service takes 800 ms longer.',
    alert: 'LatencyHigh',
    ...withFaults({ slowSqlMs: 800 }),
    look: [
      `${BOOKS_BOARD}?viewPanel=panel-4: the 95th percentile climbs`,
      'one slow trace: its longest span is the SQL statement, with fault.slow_sql_ms on the request',
      'in TraceQL: { duration > 500ms }',
    ],
  },
  'error-burst': {
    what: 'Three of ten requests fail.',
    alert: 'ErrorBudgetBurn',
    ...withFaults({ errorRatio: 0.3 }),
    look: [
      `${GRAFANA}/d/slo: the error budget of the availability goes`,
      `${BOOKS_BOARD}?viewPanel=panel-3: which route fails`,
      'one failed trace and its log line: {service_name="backend-example"} | detected_level="error"',
    ],
  },
  'collector-down': {
    what: 'The collector stands still: no logs, traces and metrics any more.',
    alert: 'NoTelemetry',
    breaks: () => freeze('otel-collector'),
    repairs: () => thaw('otel-collector'),
    look: [
      `every panel in ${GRAFANA}/d/stack: the lines end`,
      `${component('alertmanager').address}: the alert is there, but its way into Loki leads through the collector`,
    ],
    withoutReceiver: true,
  },
  'noisy-logs': {
    what: 'A client asks in a loop for a book that does not exist; each time a line is logged.',
    alert: 'LogFlood',
    breaks: () => Promise.resolve(),
    repairs: () => Promise.resolve(),
    look: [
      `${BOOKS_BOARD}?viewPanel=panel-12: log lines by level`,
      'which line it is: topk(5, sum by (url_path) (count_over_time({service_name="backend-example"} | url_path!="" [1m])))',
    ],
    requests: { pace: 120, path: () => '/books/find/2147483647' },
  },
};

/** A broken thing is told within this time, and its end within that. */
const FIRING_MS = 240_000;
const RESOLVED_MS = 420_000;

try {
  const name = process.argv[2];
  const lesson = LESSONS[name ?? ''];
  if (lesson) await teach(lesson);
  else list(name);
} catch (error) {
  fail(error);
}

function list(name: string | undefined): void {
  const lines = Object.entries(LESSONS).map(
    ([key, { what, alert }]) => `  ${key.padEnd(15)} ${what} → ${alert}`,
  );
  const text = `npm run lesson -- <name>\n\n${lines.join('\n')}`;
  if (name === undefined) console.log(text);
  else throw new Error(`There is no lesson ${name}.\n\n${text}`);
}

async function teach(lesson: Lesson): Promise<void> {
  const { alert, requests } = lesson;
  await requireStack(alert);
  const traffic = new Traffic(requests?.pace ?? 20, requests?.path);
  let repaired: Promise<void> | undefined;
  const repair = () =>
    (repaired ??= (async () => {
      await lesson.repairs();
      if (requests) await traffic.stop();
      traffic.pace = 40; // what goes well makes up for what did not
    })());
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      void repair()
        .catch(fail)
        .finally(() => process.exit(130));
    });
  try {
    const began = Date.now();
    heading('1. Break it');
    console.log(lesson.what);
    await lesson.breaks();
    console.log(
      `\nLook at\n${lesson.look.map((l) => `  - ${l}`).join('\n')}\n`,
    );

    heading(`2. Wait for the alert ${alert}`);
    const firing = await poll(async () => {
      if (lesson.withoutReceiver)
        return (await queryAlerts(alert)).map(
          ({ annotations }) => annotations.summary!,
        )[0];
      const [line] = await notifications(alert, began, 'firing');
      return line && describe(line);
    }, FIRING_MS);
    if (!firing) throw new Error(missing(alert, 'has not come', FIRING_MS));
    console.log(`${firing}\n\nThat took ${secondsSince(began)} s.`);
    await sleep(3_000); // time to read

    heading('3. Repair it');
    await repair();
    const mended = Date.now();
    console.log('Done.');

    heading('4. Wait until the alert is resolved');
    const resolved = await poll(async () => {
      const [line] = await notifications(alert, mended - 1000, 'resolved');
      return line && describe(line);
    }, RESOLVED_MS);
    if (!resolved)
      throw new Error(missing(alert, 'has not been resolved', RESOLVED_MS));
    console.log(`${resolved}\n\nThat took ${secondsSince(mended)} s.`);
    console.log(
      `\nEvery notification is a log line: {service_name="alertmanager"}\nWhat to do about this alert: ${alert} in docs/runbooks.md`,
    );
  } finally {
    await repair();
    await traffic.stop();
  }
}

/** Fails when the stack does not run, or when the alert is already there. */
async function requireStack(alert: string): Promise<void> {
  for (const name of ['backend-example', 'loki', 'alertmanager']) {
    const problem = await whyDown(name);
    if (problem) throw new Error(`${problem}. Start the stack with: npm start`);
  }
  if ((await queryAlerts(alert)).length > 0)
    throw new Error(
      `${alert} is firing already. Wait until it is resolved, or look why: ${component('alertmanager').address}`,
    );
}

function describe({ line, labels }: LogLine): string {
  const { severity, description, dashboard_url, runbook_url } = labels;
  return `  ${line}\n  ${severity} · ${description}\n  ${dashboard_url} · ${runbook_url}`;
}

function missing(alert: string, what: string, ms: number): string {
  const { address } = component('alertmanager');
  return `${alert} ${what} within ${ms / 1000} s. Is it in ${address}? If so, its way to Loki is broken: the log of Alertmanager says where. If not, the rule does not see it: ${GRAFANA}/alerting/list`;
}

function secondsSince(time: number): number {
  return Math.round((Date.now() - time) / 1000);
}

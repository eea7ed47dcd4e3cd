import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import { poll } from './checks.ts';
import { address, component } from './components/index.ts';
import { Interrupted, type Context } from './context.ts';
import { requireService } from './diagnosis/diagnosis.ts';
import { faultsEnabled, freeze, setFaults, startAnew, thaw, type Faults } from './faults.ts';
import { UsageError, parseOptions } from './options.ts';
import { runningNow } from './run.ts';
import { Stores, type LogLine } from './stores.ts';
import { Traffic } from './traffic.ts';

interface Lesson {
  what: string;
  /** The alert that has to come. */
  alert: string;
  /** What is set in a service with fault injection. */
  faults?: Faults;
  /** A component that is stopped from doing anything. */
  freezes?: string;
  /** What to look at while it is broken; `at` answers the address of a component. */
  look: (at: (name: string) => string) => string[];
  /** What the clients ask for meanwhile. */
  requests?: { pace: number; path: string };
  /** Where notifications cannot be stored while it lasts, the alert is seen in Alertmanager. */
  withoutReceiver?: true;
}

const LESSONS: Record<string, Lesson> = {
  'slow-query': {
    what: 'Every SELECT of the books service takes 800 ms longer.',
    alert: 'LatencyHigh',
    faults: { slowSqlMs: 800 },
    look: (at) => [
      `${at('grafana')}/d/books-service?viewPanel=panel-4: the 95th percentile climbs`,
      'one slow trace: its longest span is the SQL statement, with fault.slow_sql_ms on the request',
      'in TraceQL: { duration > 500ms }',
    ],
  },
  'error-burst': {
    what: 'Three of ten requests fail.',
    alert: 'ErrorBudgetBurn',
    faults: { errorRatio: 0.3 },
    look: (at) => [
      `${at('grafana')}/d/slo: the availability error budget shrinks`,
      `${at('grafana')}/d/books-service?viewPanel=panel-3: which route fails`,
      'one failed trace and its log line: {service_name="backend-example"} | detected_level="error"',
    ],
  },
  'collector-down': {
    what: 'The collector stands still: no logs, traces and metrics any more.',
    alert: 'NoTelemetry',
    freezes: 'otel-collector',
    look: (at) => [
      `every panel in ${at('grafana')}/d/stack: the lines end`,
      `${at('alertmanager')}: the alert is there, but its way into Loki leads through the collector`,
    ],
    withoutReceiver: true,
  },
  'noisy-logs': {
    what: 'A client asks in a loop for a book that does not exist; each time a line is logged.',
    alert: 'LogFlood',
    look: (at) => [
      `${at('grafana')}/d/books-service?viewPanel=panel-12: log lines by level`,
      'which line it is: topk(5, sum by (url_path) (count_over_time({service_name="backend-example"} | url_path!="" [1m])))',
    ],
    requests: { pace: 120, path: '/books/find/2147483647' },
  },
};

/** How long an alert may take to come, and then to end. */
const WAITS = {
  firing: { ms: 240_000, late: 'has not come' },
  resolved: { ms: 420_000, late: 'has not been resolved' },
};

/** `npm run lesson`: breaks something, waits for its alert, repairs it, waits for its end. */
export async function lesson(context: Context, args: string[]): Promise<number> {
  const { positionals } = parseOptions('npm run lesson', args, {}, true);
  const [name] = positionals;
  const list = Object.entries(LESSONS).map(
    ([key, { what, alert }]) => `  ${key.padEnd(15)} ${what} → ${alert}`,
  );
  const usage = `npm run lesson -- <name>\n\n${list.join('\n')}`;
  const chosen = Object.hasOwn(LESSONS, name ?? '') && LESSONS[name!];
  if (chosen && positionals.length === 1) return teach(context, chosen);
  if (name !== undefined)
    throw new UsageError(`There is no lesson ${positionals.join(' ')}.\n\n${usage}`);
  context.print(usage);
  return 0;
}

async function teach(context: Context, lesson: Lesson): Promise<number> {
  const { alert, faults, freezes, requests } = lesson;
  const { print, now } = context;
  const stores = new Stores(context);
  await requireStack(context, alert);
  const native = await runningNow(context.settings);
  const stop = context.interrupted();
  const traffic = new Traffic(stores.books, requests?.pace ?? 20, requests?.path);
  /** What is still to be done when the lesson ends, in whatever way. */
  let undo: (() => Promise<void>) | undefined;

  const heading = (text: string) => print(`\n${styleText('bold', text)}`);
  const at = (name: string) => address(component(name), context.settings)!;
  const startService = (FAULTS_ENABLED: 'true' | 'false') =>
    startAnew(context, { name: 'backend-example', env: { FAULTS_ENABLED } });

  /** Waits for the alert or its end, or for Ctrl-C, and prints what is told of it. */
  const wait = async (status: 'firing' | 'resolved', since: number) => {
    const { ms, late } = WAITS[status];
    const told = await poll(async () => {
      if (stop.aborted) return 'nothing any more';
      if (status === 'firing' && lesson.withoutReceiver)
        return (await stores.queryAlerts(alert))[0]?.annotations.summary;
      const [line] = await stores.notifications(alert, since, status);
      return line && describe(line);
    }, ms);
    stop.throwIfAborted();
    if (!told)
      throw new Error(
        `${alert} ${late} within ${ms / 1000} s. Is it in ${at('alertmanager')}? If so, its way to Loki is broken: the log of Alertmanager says where. If not, the rule does not see it: ${at('grafana')}/alerting/list`,
      );
    print(`${told}\n\nThat took ${Math.round((now() - since) / 1000)} s.`);
  };

  const repair = async () => {
    if (faults) await setFaults(context, {});
    if (freezes) await thaw(context, freezes);
    traffic.pace = requests ? 0 : 40; // what goes well makes up for what did not
    if (undo === repair) undo = undefined;
  };

  const steps = async () => {
    const began = now();
    heading('1. Break it');
    print(lesson.what);
    if (faults && !(await faultsEnabled(context))) {
      print('First the service is started anew, with fault injection.');
      undo = () => startService('false'); // its next process knows no faults
      await startService('true');
      stop.throwIfAborted();
    }
    undo ??= repair;
    if (faults) await setFaults(context, faults);
    if (freezes) await freeze(context, freezes);
    const look = lesson.look(at).map((line) => `  - ${line}`);
    print(`\nLook at\n${look.join('\n')}\n`);

    heading(`2. Wait for the alert ${alert}`);
    await wait('firing', began);
    await sleep(3_000); // time to read

    heading('3. Repair it');
    const mended = now();
    await repair();
    print('Done.');

    heading('4. Wait until the alert is resolved');
    await wait('resolved', mended);
    print(
      `\nEvery notification is a log line: {service_name="alertmanager"}\nWhat to do about this alert: ${alert} in docs/runbooks.md`,
    );
  };

  const cleanUp = async () => {
    // With the whole stack what was broken in it has ended, too.
    if (!native || (await runningNow(context.settings))) await undo?.();
  };

  const failures: Error[] = [];
  for (const work of [steps, cleanUp]) await work().catch((error: Error) => failures.push(error));
  await traffic.stop();
  const messages = failures
    .filter((e) => !(e instanceof Interrupted))
    .map(({ message }) => message);
  if (messages.length > 0) throw new Error([...new Set(messages)].join('\n'));
  if (failures.length > 0) throw failures[0]!;
  return 0;
}

/** Fails when the stack does not run, or when the alert is already there. */
async function requireStack(context: Context, alert: string): Promise<void> {
  const stores = new Stores(context);
  await requireService(context);
  for (const name of ['loki', 'alertmanager']) {
    const problem = await stores.whyDown(name);
    if (problem) throw new Error(`${problem}. npm run doctor says more.`);
  }
  const page = address(component('alertmanager'), context.settings);
  if ((await stores.queryAlerts(alert)).length > 0)
    throw new Error(`${alert} is firing already. Wait until it is resolved, or look why: ${page}`);
}

function describe({ line, labels }: LogLine): string {
  const { severity, description, dashboard_url, runbook_url } = labels;
  return `  ${line}\n  ${severity} · ${description}\n  ${dashboard_url} · ${runbook_url}`;
}

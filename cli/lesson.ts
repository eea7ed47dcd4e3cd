import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import { parse } from 'yaml';
import { poll } from './checks.ts';
import { address, component } from './components/index.ts';
import type { Context } from './context.ts';
import { requireService } from './diagnosis/diagnosis.ts';
import {
  faultsEnabled,
  freeze,
  sendRequests,
  setFaults,
  startAnew,
  thaw,
  type Faults,
} from './faults.ts';
import { ROOT } from './paths.ts';
import { runningNow } from './run.ts';
import { Stores, type LogLine } from './stores.ts';

/** One of docs/lessons.yaml, which says what each of these is. */
export interface Lesson {
  what: string;
  alert: string;
  faults?: Faults;
  freezes?: string;
  requests?: { path: string; perSecond: number };
  look: string[];
  withoutReceiver?: true;
}

export const readLessons = (): Record<string, Lesson> =>
  parse(readFileSync(join(ROOT, 'docs/lessons.yaml'), 'utf8')) as Record<string, Lesson>;

/** How long an alert may take to come, and then to end. What went well within the last hour delays the first. */
const WAITS = {
  firing: { ms: 360_000, late: 'has not come' },
  resolved: { ms: 420_000, late: 'has not been resolved' },
};

/** `npm run lesson`: breaks something, waits for its alert, repairs it, waits for its end. */
export async function lesson(context: Context, name?: string): Promise<number> {
  const lessons = readLessons();
  if (name && Object.hasOwn(lessons, name)) return teach(context, lessons[name]!);
  if (name) context.print(`There is no lesson ${name}.\n`);
  context.print('npm run lesson -- <name>\n');
  for (const [key, { what, alert }] of Object.entries(lessons))
    context.print(`  ${key.padEnd(15)} ${what} → ${alert}`);
  return name ? 2 : 0;
}

async function teach(context: Context, lesson: Lesson): Promise<number> {
  const { alert, faults, freezes, requests } = lesson;
  const { print, now } = context;
  const stores = new Stores(context);
  await requireStack(context, alert);
  const native = await runningNow(context.settings);
  const stop = context.interrupted();

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

  const { path = '/books/find?limit=5', perSecond = 20 } = requests ?? {};
  let endRequests = sendRequests(stores.books + path, perSecond);
  /** What is still to be done when the lesson ends, in whatever way. */
  let undo: (() => Promise<void>) | undefined;
  const repair = async () => {
    if (faults) await setFaults(context, {});
    if (freezes) await thaw(context, freezes);
    if (undo === repair) undo = undefined;
  };

  try {
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
    const look = lesson.look.map((line) =>
      line.replace(/\{(grafana|alertmanager)\}/, (_, name: string) => at(name)),
    );
    print(`\nLook at\n  - ${look.join('\n  - ')}\n`);

    heading(`2. Wait for the alert ${alert}`);
    await wait('firing', began);
    await sleep(3_000); // time to read

    heading('3. Repair it');
    const mended = now();
    await repair();
    endRequests();
    // what goes well makes up for what did not
    if (!requests) endRequests = sendRequests(stores.books + path, 2 * perSecond);
    print('Done.');

    heading('4. Wait until the alert is resolved');
    await wait('resolved', mended);
    print(
      `\nEvery notification is a log line: {service_name="alertmanager"}\nWhat to do about this alert: ${alert} in docs/runbooks.md`,
    );
    return 0;
  } finally {
    endRequests();
    // With the whole stack what was broken in it has ended, too.
    if (!native || (await runningNow(context.settings))) await undo?.();
  }
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

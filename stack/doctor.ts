import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { styleText } from 'node:util';
import * as ask from './backends.ts';
import {
  ROOT,
  component,
  components,
  dockerOnlySettings,
  nativePorts,
  published,
} from './components.ts';
import {
  composeCommand,
  composeRuns,
  dockerAnswers,
  dockerFolder,
  refuseBusyContainerPorts,
} from './docker.ts';
import {
  httpReady,
  isListening,
  portHolder,
  reasonOf,
  refuseBusyPorts,
} from './processes.ts';
import { logFile, readRecord, runningNow } from './run-folder.ts';

// `npm run doctor`: one line for each hop that data takes, checked with canaries of its own.
// What comes after a broken hop is not checked, so that what is red is the cause.

/** How long a canary may take to the end of its hop. */
const DEADLINE_MS = 20_000;
const MOST_SKEW_S = 5;
const LEAST_FREE_GB = 1;

interface Hop {
  /** The hops that have to be well before this one can be checked. */
  after: string[];
  /** What to say when all is well. @throws Error with what is wrong, the likely cause and what to do */
  check: () => Promise<string>;
}
type State = 'ok' | 'wrong' | 'not checked';

/** There is nothing to check here. */
class NotHere extends Error {}

const native = await runningNow();
const docker = !native && (await dockerAnswers().catch(() => false));
const runs = (name: string) =>
  !native || native.components.some((part) => part.name === name);
const restart = (name: string) =>
  native ? 'npm stop && npm start' : `docker compose up --build --wait ${name}`;
const log = (name: string) =>
  native ? `tail ${logFile(name)}` : `docker compose logs --tail=20 ${name}`;

/** Each run has a number of its own, milliseconds since 1970, and a trace id. */
const canary = {
  number: Date.now(),
  /** Another one than in the runs of the last minute; it is a label, so there are few. */
  slot: String(Math.floor(Date.now() / 5_000) % 16),
  traceId: randomBytes(16).toString('hex'),
};

const hops: Record<string, Hop> = {
  Stack: { after: [], check: stack },
  Configuration: { after: [], check: configuration },
  Ports: { after: ['Configuration'], check: ports },
  Disk: { after: [], check: disk },
  Clock: { after: ['Stack'], check: clock },
  Versions: { after: ['Stack'], check: versions },
  'Books service': {
    after: ['Stack'],
    check: () =>
      answers(
        'backend-example',
        httpReady(`${ask.BOOKS}/health/live`)(AbortSignal.timeout(3_000)),
      ),
  },
  'Books service → PostgreSQL': {
    after: ['Books service'],
    check: () => answers('postgres', ask.whyDown('backend-example')),
  },
  'OTLP → Collector': { after: ['Stack'], check: sendCanaries },
  'Collector → Loki': arrives('loki', async () => {
    const lines = await ask.queryLogs(
      `{service_name="doctor"} | canary="${canary.number}"`,
    );
    return lines.length > 0;
  }),
  'Collector → Tempo': arrives(
    'tempo',
    async () => (await ask.queryTrace(canary.traceId)).length > 0,
  ),
  'Collector → Mimir': arrives(
    'mimir',
    async () =>
      (await ask.queryNumber(`doctor_canary{slot="${canary.slot}"}`)) ===
      canary.number,
  ),
  'Books service → Collector': {
    after: [
      'Books service → PostgreSQL',
      'Collector → Loki',
      'Collector → Tempo',
    ],
    check: ownTelemetry,
  },
  'Collector ← /metrics': { after: ['Collector → Mimir'], check: scrapes },
  Alertmanager: {
    after: ['Stack'],
    check: () => answers('alertmanager', ask.whyDown('alertmanager')),
  },
  'Mimir → Alertmanager': rulerReaches('mimir'),
  'Loki → Alertmanager': rulerReaches('loki'),
  'Alertmanager → Collector': {
    after: ['Alertmanager', 'Collector → Loki'],
    check: notification,
  },
  Grafana: { after: ['Stack'], check: grafana },
  'Grafana → Loki': throughGrafana(
    'loki',
    'loki/api/v1/query_range?query={service_name="doctor"}',
    canary.number,
  ),
  'Grafana → Tempo': throughGrafana(
    'tempo',
    `api/v2/traces/${canary.traceId}`,
    'canary',
  ),
  'Grafana → Mimir': throughGrafana(
    'mimir',
    'api/v1/query?query=doctor_canary',
    canary.number,
  ),
};

const results = new Map<string, Promise<{ state: State; text: string }>>();
for (const [title, hop] of Object.entries(hops))
  results.set(title, examine(hop));
const counts = { ok: 0, wrong: 0, 'not checked': 0 };
for (const title of Object.keys(hops)) {
  const { state, text } = await results.get(title)!;
  counts[state]++;
  const [color, sign] = (
    {
      ok: ['green', '✔'],
      wrong: ['red', '✘'],
      'not checked': ['gray', '–'],
    } as const
  )[state];
  console.log(styleText(color, `${sign} ${title.padEnd(26)} ${text}`));
}
console.log(
  `\n${counts.ok} ok, ${counts.wrong} wrong, ${counts['not checked']} not checked`,
);
process.exitCode = counts.wrong > 0 ? 1 : 0;

async function examine({
  after,
  check,
}: Hop): Promise<{ state: State; text: string }> {
  for (const title of after)
    if (await isBroken(title))
      return { state: 'not checked', text: `needs ${title}` };
  try {
    return { state: 'ok', text: await check() };
  } catch (error) {
    const text = reasonOf(error).replaceAll('\n', ' ');
    return { state: error instanceof NotHere ? 'not checked' : 'wrong', text };
  }
}

async function isBroken(title: string): Promise<boolean> {
  return (await results.get(title)!).state !== 'ok';
}

async function get(url: string): Promise<Response | undefined> {
  return fetch(url, { signal: AbortSignal.timeout(3_000) }).catch(
    () => undefined,
  );
}

/** @throws Error when the component has a problem */
async function answers(
  name: string,
  problem: Promise<string | undefined>,
): Promise<string> {
  const why = await problem;
  if (why)
    throw new Error(
      `${why}. ${component(name).title} has ended or hangs: ${log(name)}; start it anew: ${restart(name)}`,
    );
  return 'answers';
}

/** Waits for a canary and says how long. @throws Error with `otherwise` when it does not come */
async function arrival(
  otherwise: string,
  there: () => Promise<boolean>,
): Promise<string> {
  const began = performance.now();
  if (!(await ask.poll(there, DEADLINE_MS).catch(() => false)))
    throw new Error(otherwise);
  return `${((performance.now() - began) / 1000).toFixed(1)} s`;
}

// ---- the machine

async function stack(): Promise<string> {
  if (native) return `runs as ${native.components.length} local processes`;
  if (docker && (await composeRuns())) return 'runs in containers';
  const ended = (await readRecord())?.ended?.split('\n')[0];
  throw new Error(
    `does not run${ended ? `; it ended ${ended} (npm run status shows more)` : ''}. Start it: npm start`,
  );
}

/** What .env or the shell sets, and the files that it names. */
async function configuration(): Promise<string> {
  for (const [, name] of readFileSync(
    join(ROOT, '.env.example'),
    'utf8',
  ).matchAll(/^#(\w+_FILE)=/gm)) {
    const file = process.env[name!];
    if (file && !existsSync(resolve(ROOT, file)))
      throw new Error(
        `${name} names the file ${file}, which does not exist. Create it, or: unset ${name} (.env)`,
      );
  }
  const unused = native ? dockerOnlySettings().join(' ') : '';
  if (unused)
    throw new Error(
      `without Docker, ports and versions are fixed, but there is a setting of them: unset ${unused} (.env)`,
    );
  if (docker) await composeCommand('config', '--quiet');
  return 'is valid';
}

/** As long as the stack does not run, its ports have to be free; then they have to lead to it. */
async function ports(): Promise<string> {
  if (await isBroken('Stack')) {
    if (docker) await refuseBusyContainerPorts();
    else await refuseBusyPorts(nativePorts(components), portHolder);
    return 'are free';
  }
  for (const { title, address } of components.filter((part) => part.address)) {
    const { port } = new URL(address!);
    if (await isListening(Number(port), '::1'))
      throw new Error(
        `localhost:${port} leads past ${title}: it may also mean [::1]:${port}, which is held by ${await portHolder(Number(port), '::1')}. End that, or use 127.0.0.1`,
      );
  }
  const grpc = published('OTLP_GRPC_PORT', 4317);
  if (!(await isListening(grpc)))
    throw new Error(
      `nothing takes OTLP over gRPC on port ${grpc}. The collector says why: ${log('otel-collector')}`,
    );
  return 'lead to the stack';
}

async function disk(): Promise<string> {
  const folder = docker ? await dockerFolder() : ROOT;
  const { bavail, bsize } = statfsSync(existsSync(folder) ? folder : ROOT);
  const free = (bavail * bsize) / 1e9;
  if (free < LEAST_FREE_GB)
    throw new Error(
      `has only ${free.toFixed(1)} GB left, and then nothing is stored any more. Make room: ${docker ? 'docker system df && docker system prune' : 'df -h && du -sh .stack/data/*'}`,
    );
  return `has ${free.toFixed(1)} GB left`;
}

/** Signals are found by their time, so that the clocks of all have to agree. */
async function clock(): Promise<string> {
  for (const { name, title, readyUrl } of components) {
    const date =
      readyUrl && runs(name) && (await get(readyUrl))?.headers.get('date');
    const skew = date ? Math.abs(Date.now() - Date.parse(date)) / 1000 : 0; // no answer: that is another hop
    if (skew > MOST_SKEW_S)
      throw new Error(
        `of ${title} differs by ${skew.toFixed(0)} s from this machine's: new data seems old, or of the future. Set it: sudo timedatectl set-ntp true${docker ? ', and start Docker anew' : ''}`,
      );
  }
  return `of nobody differs by more than ${MOST_SKEW_S} s`;
}

async function versions(): Promise<string> {
  const pages = {
    loki: `${ask.LOKI}/loki/api/v1/status/buildinfo`,
    tempo: `${ask.TEMPO}/api/status/buildinfo`,
    mimir: `${ask.MIMIR}/api/v1/status/buildinfo`,
    alertmanager: `${ask.ALERTMANAGER}/api/v2/status`,
    grafana: `${ask.GRAFANA}/api/health`,
  };
  const found: string[] = [];
  for (const [name, page] of Object.entries(pages)) {
    const { title, version } = component(name);
    // the stand-in has none, and a program built from a module without releases does not know it
    const running = /"version":\s*"v?(\d+\.\d+[^"]*)"/.exec(
      (await (await get(page))?.text()) ?? '',
    )?.[1];
    if (running && running !== version)
      throw new Error(
        `${title} ${running} runs, but ${version} is in ${name}/Dockerfile or .env. Start it anew: ${restart(name)}`,
      );
    if (running) found.push(`${title} ${running}`);
  }
  return found.join(', ');
}

// ---- logs, traces, metrics

async function sendCanaries(): Promise<string> {
  const time = `${canary.number}000000`;
  const slot = { key: 'slot', value: { stringValue: canary.slot } };
  const number = { key: 'canary', value: { intValue: canary.number } };
  const point = {
    asDouble: canary.number,
    timeUnixNano: time,
    attributes: [slot],
  };
  const span = {
    traceId: canary.traceId,
    spanId: randomBytes(8).toString('hex'),
    name: 'canary',
    kind: 1,
  };
  const all = Promise.all([
    ask.sendOtlp('logs', 'doctor', [
      {
        timeUnixNano: time,
        body: { stringValue: 'canary' },
        attributes: [slot, number],
      },
    ]),
    ask.sendOtlp('traces', 'doctor', [
      { ...span, startTimeUnixNano: time, endTimeUnixNano: time },
    ]),
    ask.sendOtlp('metrics', 'doctor', [
      { name: 'doctor_canary', gauge: { dataPoints: [point] } },
    ]),
  ]);
  await answers(
    'otel-collector',
    all.then(() => undefined, reasonOf),
  );
  return 'takes logs, traces and metrics';
}

function arrives(name: string, there: () => Promise<boolean>): Hop {
  const { title } = component(name);
  const otherwise = `${title} answers, but has no canary after ${DEADLINE_MS / 1000} s. The collector cannot send, or ${title} refuses; the collector says why: ${log('otel-collector')}`;
  return {
    after: ['OTLP → Collector'],
    check: async () => {
      await answers(name, ask.whyDown(name));
      return `the canary was there after ${await arrival(otherwise, there)}`;
    },
  };
}

/** The way that the service itself uses: a request's log lines and trace, by the trace id in its answer. */
async function ownTelemetry(): Promise<string> {
  const traceId = (await get(`${ask.BOOKS}/books/find?limit=1`))?.headers.get(
    'x-trace-id',
  );
  if (!traceId)
    throw new Error(
      `the answer has no X-Trace-Id: the service runs without telemetry. unset OTEL_SDK_DISABLED, and ${restart('backend-example')}`,
    );
  const otherwise = `log lines or trace of request ${traceId} are missing after ${DEADLINE_MS / 1000} s. Does OTEL_EXPORTER_OTLP_ENDPOINT name another collector? The service says why: ${log('backend-example')}`;
  const logql = `{service_name="backend-example"} | trace_id="${traceId}"`;
  const after = await arrival(
    otherwise,
    async () =>
      (await ask.queryLogs(logql)).length > 0 &&
      (await ask.queryTrace(traceId)).length > 0,
  );
  return `log lines and trace of a request were there after ${after}`;
}

/** Whether the collector can fetch everybody's metrics; who does not answer at all has a line of its own. */
async function scrapes(): Promise<string> {
  const lines = {
    'backend-example': 'Books service',
    loki: 'Collector → Loki',
    tempo: 'Collector → Tempo',
    alertmanager: 'Alertmanager',
    grafana: 'Grafana',
  };
  const others: string[] = [];
  for (const [name, title] of Object.entries(lines))
    if (await isBroken(title)) others.push(name);
  let down: string[] = [];
  const allUp = async () => {
    const targets = (await ask.queryMetrics('up')).filter(
      ({ labels }) => !others.includes(labels.job!),
    );
    down = targets
      .filter(({ value }) => value === 0)
      .map(({ labels }) => labels.job!);
    return targets.length > 0 && down.length === 0;
  };
  await arrival('', allUp).catch(() => {
    throw new Error(
      `the metrics of ${down.join(', ') || 'all'} cannot be fetched. Is the port in otel-collector-config.yaml another one? The collector says why: ${log('otel-collector')}`,
    );
  });
  return 'the metrics of all are fetched';
}

// ---- alerts

/** A rule in doctor.yaml makes an alert of the canary, whose number is in the alert. */
function rulerReaches(name: 'mimir' | 'loki'): Hop {
  const { title } = component(name);
  const otherwise = `the alert of the canary is not there after ${DEADLINE_MS / 1000} s. ${title} has no rules, or alertmanager_url in ${name}-config.yaml is wrong; it says why: ${log(name)}`;
  const there = async () =>
    (await ask.queryAlerts('DoctorCanary')).some(
      ({ labels, annotations }) =>
        labels.ruler === name && Number(annotations.canary) === canary.number,
    );
  return {
    after: ['Alertmanager', `Collector → ${title}`],
    check: async () =>
      `the alert of the canary was there after ${await arrival(otherwise, there)}`,
  };
}

async function notification(): Promise<string> {
  const service_name = `doctor-${canary.number}`;
  await ask.sendAlert({
    labels: { alertname: 'DoctorCanary', service_name },
    endsAt: new Date(Date.now() + 60_000),
  });
  const otherwise = `its notification of an alert is not in Loki after ${DEADLINE_MS / 1000} s. Is the address of "local" in alertmanager.yml that of webhook_event in otel-collector-config.yaml? Alertmanager says why: ${log('alertmanager')}`;
  const logql = `{service_name="alertmanager"} | affected_service="${service_name}"`;
  const after = await arrival(
    otherwise,
    async () => (await ask.queryLogs(logql)).length > 0,
  );
  return `a notification was in Loki after ${after}`;
}

// ---- Grafana

async function askGrafana(path: string): Promise<Response> {
  const { env } = process;
  const ini = readFileSync(join(ROOT, 'grafana/grafana.ini'), 'utf8');
  const user =
    env.GF_SECURITY_ADMIN_USER || /^admin_user = (\S+)/m.exec(ini)![1];
  const file = resolve(
    ROOT,
    env.GRAFANA_ADMIN_PASSWORD_FILE || 'grafana/admin-password',
  );
  const password =
    env.GF_SECURITY_ADMIN_PASSWORD || readFileSync(file, 'utf8').trim();
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return fetch(ask.GRAFANA + path, {
    headers: { authorization },
    signal: AbortSignal.timeout(10_000),
  });
}

async function grafana(): Promise<string> {
  if (!runs('grafana')) throw new NotHere('does not run here');
  await answers('grafana', ask.whyDown('grafana'));
  const { ok, status } = await askGrafana('/api/datasources');
  if (!ok)
    throw new Error(
      `refuses the login (${status}). Was it changed? GF_SECURITY_ADMIN_USER=… GF_SECURITY_ADMIN_PASSWORD=… npm run doctor`,
    );
  return 'answers, and takes the login';
}

function throughGrafana(
  name: string,
  path: string,
  expected: string | number,
): Hop {
  const { title } = component(name);
  return {
    after: ['Grafana', `Collector → ${title}`],
    check: async () => {
      const response = await askGrafana(
        `/api/datasources/proxy/uid/${name}/${path}`,
      );
      const text = await response.text();
      if (!text.includes(String(expected)))
        throw new Error(
          `the canary is in ${title}, but not seen through the data source "${name}": ${response.status} ${text.slice(0, 100)}. Its url in grafana/provisioning/datasources is wrong; after a change: ${restart('grafana')}`,
        );
      return 'the canary is seen through its data source';
    },
  };
}

import { randomBytes } from 'node:crypto';
import { notReady, reasonOf } from '../checks.ts';
import { component } from '../components/index.ts';
import type { OtlpSignal } from '../stores.ts';
import type { Examination, Hop } from './examination.ts';

/** The hops of logs, traces and metrics, from the service to the stores. */
export const signalHops: Hop[] = [
  { title: 'Books service', after: ['Stack'], check: service },
  { title: 'Books service → PostgreSQL', after: ['Books service'], check: database },
  { title: 'OTLP → Collector', after: ['Stack'], check: sendCanaries },
  arrivesIn('loki', async ({ stores, canary }) => {
    const lines = await stores.queryLogs(`{service_name="doctor"} | canary="${canary.number}"`);
    return lines.length > 0;
  }),
  arrivesIn('tempo', async ({ stores, canary }) => {
    const spans = await stores.queryTrace(canary.traceId);
    return spans.length > 0;
  }),
  arrivesIn('mimir', async ({ stores, canary }) => {
    const value = await stores.queryNumber(`doctor_canary{slot="${canary.slot}"}`);
    return value === canary.number;
  }),
  {
    title: 'Books service → Collector',
    after: ['Books service → PostgreSQL', 'Collector → Loki', 'Collector → Tempo'],
    check: ownTelemetry,
  },
  { title: 'Collector ← /metrics', after: ['Collector → Mimir'], check: scrapes },
];

/** The hops of alerts, from the rulers to Alertmanager and back into Loki. */
export const alertHops: Hop[] = [
  { title: 'Alertmanager', after: ['Stack'], check: ({ answers }) => answers('alertmanager') },
  rulerReaches('mimir'),
  rulerReaches('loki'),
  {
    title: 'Alertmanager → Collector',
    after: ['Alertmanager', 'Collector → Loki'],
    check: notification,
  },
];

function service({ context, stores, answers }: Examination): Promise<string> {
  const url = `${stores.books}/health/live`;
  return answers('backend-example', notReady({ url }, undefined, context.fetch));
}

function database({ stores, answers }: Examination): Promise<string> {
  return answers('postgres', stores.whyDown('backend-example'));
}

async function sendCanaries({ stores, canary, answers }: Examination): Promise<string> {
  const time = `${canary.number}000000`;
  const slot = { key: 'slot', value: { stringValue: canary.slot } };
  const number = { key: 'canary', value: { intValue: canary.number } };
  const point = { asDouble: canary.number, timeUnixNano: time, attributes: [slot] };
  const spanId = randomBytes(8).toString('hex');
  const span = { traceId: canary.traceId, spanId, name: 'canary', kind: 1 };
  const records: [OtlpSignal, object][] = [
    ['logs', { timeUnixNano: time, body: { stringValue: 'canary' }, attributes: [slot, number] }],
    ['traces', { ...span, startTimeUnixNano: time, endTimeUnixNano: time }],
    ['metrics', { name: 'doctor_canary', gauge: { dataPoints: [point] } }],
  ];
  const sent = records.map(([signal, record]) => stores.sendOtlp(signal, 'doctor', [record]));
  const problem = Promise.all(sent).then(() => undefined, reasonOf);
  await answers('otel-collector', problem);
  return 'takes logs, traces and metrics';
}

function arrivesIn(name: string, isThere: (exam: Examination) => Promise<boolean>): Hop {
  const { title } = component(name);
  return {
    title: `Collector → ${title}`,
    after: ['OTLP → Collector'],
    async check(exam) {
      await exam.answers(name);
      return exam.arrival(() => isThere(exam), {
        found: 'the canary was there',
        missing: `${title} answers, but has no canary`,
        cause: `The collector cannot send, or ${title} refuses; the collector says why: ${exam.log('otel-collector')}`,
      });
    },
  };
}

/** The way that the service itself uses: a request's log lines and trace, by the trace id in its answer. */
async function ownTelemetry({ stores, get, ...exam }: Examination): Promise<string> {
  const answer = await get(`${stores.books}/books/find?limit=1`);
  const traceId = answer?.headers.get('x-trace-id');
  if (!traceId)
    throw new Error(
      `the answer has no X-Trace-Id: the service runs without telemetry. unset OTEL_SDK_DISABLED, and ${exam.restart('backend-example')}`,
    );
  const logql = `{service_name="backend-example"} | trace_id="${traceId}"`;
  const areThere = async () =>
    (await stores.queryLogs(logql)).length > 0 && (await stores.queryTrace(traceId)).length > 0;
  return exam.arrival(areThere, {
    found: 'log lines and trace of a request were there',
    missing: `log lines or trace of request ${traceId} are missing`,
    cause: `Does OTEL_EXPORTER_OTLP_ENDPOINT name another collector? The service says why: ${exam.log('backend-example')}`,
  });
}

/** Whose metrics the collector fetches, and the hop that says whether they answer at all. */
const SCRAPED = {
  'backend-example': 'Books service',
  loki: 'Collector → Loki',
  tempo: 'Collector → Tempo',
  alertmanager: 'Alertmanager',
  grafana: 'Grafana',
};

async function scrapes({ stores, isWell, comes, log }: Examination): Promise<string> {
  const silent: string[] = [];
  for (const [job, hop] of Object.entries(SCRAPED)) if (!(await isWell(hop))) silent.push(job);
  let down: string[] = [];
  const areUp = async () => {
    const all = await stores.queryMetrics('up');
    const targets = all.filter(({ labels }) => !silent.includes(labels.job!));
    down = targets.filter(({ value }) => value === 0).map(({ labels }) => labels.job!);
    return targets.length > 0 && down.length === 0;
  };
  if (await comes(areUp)) return 'the metrics of all are fetched';
  throw new Error(
    `the metrics of ${down.join(', ') || 'all'} cannot be fetched. Is the port in otel-collector-config.yaml another one? The collector says why: ${log('otel-collector')}`,
  );
}

/** A rule in doctor.yaml makes an alert of the canary, whose number is in the alert. */
function rulerReaches(name: 'mimir' | 'loki'): Hop {
  const { title } = component(name);
  return {
    title: `${title} → Alertmanager`,
    after: ['Alertmanager', `Collector → ${title}`],
    check({ stores, canary, arrival, log }) {
      const isThere = async () =>
        (await stores.queryAlerts('DoctorCanary')).some(
          ({ labels, annotations }) =>
            labels.ruler === name && Number(annotations.canary) === canary.number,
        );
      return arrival(isThere, {
        found: 'the alert of the canary was there',
        missing: 'the alert of the canary is not there',
        cause: `${title} has no rules, or alertmanager_url in ${name}-config.yaml is wrong; it says why: ${log(name)}`,
      });
    },
  };
}

async function notification({ context, stores, canary, ...exam }: Examination): Promise<string> {
  const service_name = `doctor-${canary.number}`;
  const labels = { alertname: 'DoctorCanary', service_name };
  await stores.sendAlert({ labels, endsAt: new Date(context.now() + 60_000) });
  const logql = `{service_name="alertmanager"} | affected_service="${service_name}"`;
  return exam.arrival(async () => (await stores.queryLogs(logql)).length > 0, {
    found: 'a notification was in Loki',
    missing: 'its notification of an alert is not in Loki',
    cause: `Is the address of "local" in alertmanager.yml that of webhook_event in otel-collector-config.yaml? Alertmanager says why: ${exam.log('alertmanager')}`,
  });
}

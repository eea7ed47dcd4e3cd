/** What a collector counts about itself, since it started. */
export interface Counted {
  spans: number;
  lines: number;
  points: number;
}

type Signals = keyof Counted;
const NAMES: Record<Signals, string> = {
  spans: 'spans',
  lines: 'log_records',
  points: 'metric_points',
};

/**
 * Asks a collector for its own metrics: how much it accepted over OTLP, sent to the stores, or gave up.
 * @param metrics the port of its own metrics on 127.0.0.1
 * @param what `receiver_accepted`, `exporter_sent`, `exporter_send_failed`, …: the middle of the metric's name
 * @param label only the series with this text among their labels
 */
export async function counted(metrics: number, what: string, label = ''): Promise<Counted> {
  const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^otelcol_${what}_${name}(?:_total)?\\{(.*)\\} (\\S+)$`, 'gm'))]
      .filter(([, labels]) => labels!.includes(label))
      .reduce((total, [, , value]) => total + Number(value), 0);
  return { spans: sum(NAMES.spans), lines: sum(NAMES.lines), points: sum(NAMES.points) };
}

import { Stores, lastHour, type LogLine, type Sample } from '../../cli/stores.ts';

/** What only tests ask the stores. */
export class TestedStores extends Stores {
  /** Asks Tempo which traces of the last hour a TraceQL query finds. */
  async search(traceql: string) {
    const { traces = [] } = await this.ask<{
      traces?: { traceID: string; rootServiceName: string; rootTraceName: string }[];
    }>(`${this.tempo}/api/search`, { q: traceql, ...lastHour(), limit: '100' });
    // 32 hexadecimal digits, as everywhere else
    return traces.map((trace) => ({ ...trace, id: trace.traceID.padStart(32, '0') }));
  }

  /**
   * Asks Tempo for the value of each series of TraceQL metrics, over the last hour.
   * @see https://grafana.com/docs/tempo/latest/api_docs/#instant-traceql-metrics
   */
  async queryTraceMetrics(traceql: string): Promise<Sample[]> {
    type Label = { key: string; value: Record<string, string | number> };
    const { series = [] } = await this.ask<{ series?: { labels?: Label[]; value?: number }[] }>(
      `${this.tempo}/api/metrics/query`,
      { q: traceql, ...lastHour() },
    );
    return series.map(({ labels = [], value = 0 }) => ({
      labels: Object.fromEntries(
        labels.map((label) => [label.key, String(Object.values(label.value)[0])]),
      ),
      value,
    }));
  }

  /**
   * Asks Loki for the value of each series of a LogQL expression that counts or computes, at `timeNs`
   * (nanoseconds since 1970; without it, now).
   */
  queryLogMetrics(logql: string, timeNs?: bigint): Promise<Sample[]> {
    return this.querySamples(`${this.loki}/loki/api/v1/query`, {
      query: logql,
      ...(timeNs && { time: String(timeNs) }),
    });
  }

  /** All lines of the last hour, however many: Loki answers at most 5000 at a time. */
  async allLines(logql: string): Promise<LogLine[]> {
    const all: LogLine[] = [];
    let end = BigInt(Date.now() + 60_000) * 1_000_000n;
    for (;;) {
      const range = { since: '1h', end: `${end}`, limit: '5000', direction: 'backward' };
      const lines = await this.queryLogs(logql, range);
      all.unshift(...lines);
      if (lines.length < 5000) return all;
      end = lines[0]!.timeNs;
    }
  }

  /** Every sample in a range of time: of `metric[1h]`, not only the newest of each series. */
  async querySamplesOf(range: string): Promise<Sample[]> {
    type Series = { metric: Record<string, string>; values: [number, string][] };
    const { data } = await this.ask<{ data: { result: Series[] } }>(
      `${this.mimir}/prometheus/api/v1/query`,
      { query: range },
    );
    return data.result.flatMap(({ metric, values }) =>
      values.map(([, value]) => ({ labels: metric, value: Number(value) })),
    );
  }
}

import { Stores, lastHour, type Sample } from '../../cli/stores.ts';

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
   * Asks Loki for the value of each series of a LogQL expression that counts or computes, at `timeNs`
   * (nanoseconds since 1970; without it, now).
   */
  queryLogMetrics(logql: string, timeNs?: bigint): Promise<Sample[]> {
    return this.querySamples(`${this.loki}/loki/api/v1/query`, {
      query: logql,
      ...(timeNs && { time: String(timeNs) }),
    });
  }
}

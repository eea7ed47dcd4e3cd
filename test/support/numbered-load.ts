import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { poll } from '../../cli/checks.ts';
import { otlpRequest, type OtlpSignal } from '../../cli/stores.ts';
import type { TestedStores } from './stores.ts';

// Load whose every record has a number, so that what is missing, and what is there twice, can be said.

export const SIGNALS = ['logs', 'traces', 'metrics'] as const satisfies OtlpSignal[];

/** What became of the records of one signal. */
interface Sent {
  count: number;
  /** When the sender got a 2xx for a number, in milliseconds since 1970. */
  acknowledged: Map<number, number>;
  /** How often it got something else: a status, or what became of the connection. */
  refused: Record<string, number>;
}

/** Pushes a log record, a span and a metric point to a collector at a steady pace. Nothing is sent again. */
export class NumberedLoad {
  readonly sent: Record<OtlpSignal, Sent>;
  private readonly service: string;
  private readonly collector: string;
  private readonly agent = new Agent({ keepAlive: true });
  /** The traces are `<prefix><number>`. */
  private readonly prefix = randomBytes(4).toString('hex').replace(/^0/, '1');
  private readonly open = new Set<Promise<void>>();
  private running?: Promise<void>;
  private stopped = false;
  private next = 0;

  /** @param collector its address for OTLP over HTTP */
  constructor(service: string, collector: string) {
    this.service = service;
    this.collector = collector;
    const none = (): Sent => ({ count: 0, acknowledged: new Map(), refused: {} });
    this.sent = { logs: none(), traces: none(), metrics: none() };
  }

  /** Begins to push, one record of each signal at a time. */
  start(perSecond = 20): this {
    this.running = (async () => {
      for (let due = Date.now(); !this.stopped; due += 1000 / perSecond) {
        for (const signal of SIGNALS) void this.push(signal);
        await sleep(Math.max(1, due - Date.now()));
      }
    })();
    return this;
  }

  /** Ends it, and waits for the answers. */
  async stop(): Promise<this> {
    this.stopped = true;
    await this.running;
    await Promise.all(this.open);
    this.agent.destroy();
    return this;
  }

  /** Pushes so many records of a signal in one request; `padding` makes each so many bytes longer. Answers the status. */
  async push(signal: OtlpSignal, count = 1, padding = 0): Promise<string> {
    const numbers = Array.from({ length: count }, () => this.next++);
    const { body } = otlpRequest(signal, this.service, this.records(signal, numbers, padding));
    this.sent[signal].count += count;
    const answer = this.post(`${this.collector}/v1/${signal}`, body as string).then((status) => {
      const { acknowledged, refused } = this.sent[signal];
      if (status === '200') for (const n of numbers) acknowledged.set(n, Date.now());
      else refused[status] = (refused[status] ?? 0) + count;
      return status;
    });
    const settled: Promise<void> = answer.then(() => void this.open.delete(settled));
    this.open.add(settled);
    return answer;
  }

  private records(signal: OtlpSignal, numbers: number[], padding: number): object[] {
    const now = BigInt(Date.now()) * 1_000_000n;
    const text = 'x'.repeat(padding);
    return numbers.map((n) => {
      const time = String(now + BigInt(n % 1_000_000)); // a log line each, also within a millisecond
      if (signal === 'logs') return { timeUnixNano: time, body: { stringValue: `n=${n} ${text}` } };
      if (signal === 'metrics') {
        const attributes = [{ key: 'n', value: { stringValue: `${n}` } }];
        const dataPoints = [{ timeUnixNano: time, asInt: String(n), attributes }];
        return { name: 'numbered_load', gauge: { dataPoints } };
      }
      const ids = { traceId: this.traceId(n), spanId: this.traceId(n).slice(16) };
      const times = { startTimeUnixNano: time, endTimeUnixNano: time };
      return { ...ids, ...times, name: `n=${n}`, kind: 1 };
    });
  }

  private traceId = (n: number): string => this.prefix + (n + 1).toString(16).padStart(24, '0');

  private post(url: string, body: string): Promise<string> {
    return new Promise((done) => {
      const headers = { 'content-type': 'application/json' };
      const options = { method: 'POST', agent: this.agent, headers, timeout: 10_000 };
      const sending = request(url, options, (response) => {
        response.resume().on('end', () => done(String(response.statusCode)));
      })
        .on('timeout', () => sending.destroy(new Error('no answer')))
        .on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message))
        .end(body);
    });
  }

  /** How often each number is in its store. */
  private async stored(stores: TestedStores, signal: OtlpSignal): Promise<Map<number, number>> {
    const found = new Map<number, number>();
    const count = (n: number) => void found.set(n, (found.get(n) ?? 0) + 1);
    if (signal === 'logs')
      for (const line of await stores.allLines(`{service_name="${this.service}"}`))
        count(Number(/^n=(\d+)/.exec(line.line)![1]));
    if (signal === 'metrics') {
      const range = `numbered_load{job="${this.service}"}[1h]`;
      for (const { labels, value } of await stores.querySamplesOf(range)) {
        assert.equal(Number(labels.n), value);
        count(value);
      }
    }
    if (signal === 'traces')
      for (const some of chunks([...this.sent.traces.acknowledged.keys()], 50))
        for (const spans of await Promise.all(some.map((n) => stores.queryTrace(this.traceId(n)))))
          for (const { name } of spans) count(Number(/^n=(\d+)/.exec(name)![1]));
    return found;
  }

  /**
   * Waits until the stores have what was acknowledged, at most `deadlineMs`, and says what they have.
   * @param since of traces only those that were acknowledged after it count (milliseconds since 1970): the
   *   stand-in for Tempo has them in memory only
   */
  async outcome(
    stores: TestedStores,
    signal: OtlpSignal,
    { deadlineMs = 20_000, since = 0 } = {},
  ): Promise<Outcome> {
    const { count, acknowledged, refused } = this.sent[signal];
    const wanted = [...acknowledged].filter(([, at]) => at >= since).map(([n]) => n);
    let found = new Map<number, number>();
    await poll(async () => {
      found = await this.stored(stores, signal);
      return wanted.every((n) => found.has(n));
    }, deadlineMs);
    const missing = wanted.filter((n) => !found.has(n));
    const times = [...acknowledged.values()].toSorted((a, b) => a - b);
    return {
      signal,
      sent: count,
      acknowledged: wanted.length,
      refused,
      stored: wanted.length - missing.length,
      missing,
      duplicated: wanted.reduce((sum, n) => sum + Math.max(0, (found.get(n) ?? 0) - 1), 0),
      longestGapMs: Math.max(0, ...times.slice(1).map((time, i) => time - times[i]!)),
    };
  }
}

/** A list in parts of at most this size. */
export const chunks = <T>(all: T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
    all.slice(i * size, (i + 1) * size),
  );

/** What a sender and the store say about the records of one signal. */
export interface Outcome {
  signal: OtlpSignal;
  sent: number;
  acknowledged: number;
  refused: Record<string, number>;
  /** Of the acknowledged ones. */
  stored: number;
  /** The numbers of those that were acknowledged and are not in the store. */
  missing: number[];
  /** How many more there are in the store than numbers. */
  duplicated: number;
  /** The longest time between two acknowledgements. */
  longestGapMs: number;
}

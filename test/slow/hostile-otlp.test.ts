import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { parse, stringify } from 'yaml';
import type { OtlpSignal } from '../../cli/stores.ts';
import {
  BOMBS,
  EXPORT,
  JSON_TYPE,
  NO_GRPC,
  NO_HTTP,
  PROTOBUF,
  QUIET,
  STRANGE,
  calls,
  frame,
  pushes,
  valid,
} from '../support/hostile-otlp.ts';
import { NativeStack } from '../support/native-stack.ts';
import {
  SIGNALS,
  at,
  gauge,
  histogram,
  log,
  message,
  nested,
  pair,
  point,
  request,
  service,
  span,
  type Field,
} from '../support/otlp.ts';
import { eventually } from '../support/signals.ts';

// What anybody may send to the collector: malformed, malicious, far too much. It is refused or harmless, and
// what is sent beside it is stored. Loki, Mimir and the collector are the real ones.

const stack = await NativeStack.create();
const { stores } = stack;
const port = (inside: number) => stack.ports()[`otel-collector:${inside}`]!;
const url = (path: string, inside = 4318) => `http://127.0.0.1:${port(inside)}${path}`;

const post = (
  where: string,
  headers: Record<string, string>,
  body: string | Uint8Array<ArrayBuffer>,
) => fetch(where, { method: 'POST', headers, body, signal: AbortSignal.timeout(30_000) });

/** A call over gRPC; answers its status, or that of HTTP where there is none. */
async function grpc(path: string, body: Uint8Array, headers = {}): Promise<string> {
  const session = connectHttp2(`http://127.0.0.1:${port(4317)}`);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(() => reject(new Error('no answer within 30 s')), 30_000);
  const grpcHeaders = { 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request({ ':method': 'POST', ':path': path, ...grpcHeaders, ...headers });
  const read = (fields: Record<string, number | string | string[] | undefined>) => {
    if (fields['grpc-status']) resolve(String(fields['grpc-status']));
    else if (fields[':status'] !== 200) resolve(`HTTP ${String(fields[':status'])}`);
  };
  stream.on('response', read).on('trailers', read).resume();
  for (const source of [session, stream]) source.on('error', reject);
  stream.end(body);
  return promise.finally(() => {
    clearTimeout(timer);
    session.destroy();
  });
}

/** Writes bytes to a port; answers the first line that comes back, "" when the connection is ended without one. */
async function raw(inside: number, bytes: string | Uint8Array, end = false): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(() => reject(new Error('still connected after 60 s')), 60_000);
  const socket = connect(port(inside), '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => {
    answer += data.toString('latin1');
    if (answer.includes('\n')) socket.destroy();
  });
  socket.on('error', () => {}); // it closes, too
  socket.on('close', () => resolve(answer.split('\r\n')[0]!));
  socket.write(bytes);
  if (end) socket.end();
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

// ---- what must not suffer

/**
 * Waits until all of these are in the store of their signal: as lines or metrics of this service, or as the
 * names of the spans of one trace.
 */
async function allStored(
  name: string,
  traceId: string,
  expected: (signal: OtlpSignal) => string[],
): Promise<void> {
  const stored: Record<OtlpSignal, () => Promise<(string | undefined)[]>> = {
    logs: async () => (await stores.queryLogs(`{service_name="${name}"}`)).map(({ line }) => line),
    traces: async () => (await stores.queryTrace(traceId)).map((span) => span.name),
    metrics: async () => (await stores.queryMetrics(name)).map(({ labels }) => labels.name),
  };
  for (const signal of SIGNALS)
    await eventually(`all ${signal} of ${name}`, async () => {
      const found = new Set(await stored[signal]());
      assert.deepEqual(
        expected(signal).filter((one) => !found.has(one)),
        [],
      );
      return true;
    });
}

/** A service beside: it sends a numbered record of each signal, and again until it is acknowledged. */
class Beside {
  private readonly traceId = randomBytes(16).toString('hex');
  private readonly acknowledged: string[] = [];
  private running = true;
  private readonly ended = this.run();

  async stop(): Promise<string[]> {
    this.running = false;
    await this.ended;
    return this.acknowledged;
  }

  allStored = () => allStored('beside', this.traceId, () => this.acknowledged);

  private async run(): Promise<void> {
    for (let n = 0; this.running; n++) {
      const [name, timeUnixNano] = [`number ${n}`, `${Date.now()}000000`];
      const point = {
        timeUnixNano,
        asInt: n,
        attributes: [{ key: 'name', value: { stringValue: name } }],
      };
      const records: Record<OtlpSignal, object> = {
        logs: { timeUnixNano, body: { stringValue: name } },
        traces: {
          traceId: this.traceId,
          spanId: randomBytes(8).toString('hex'),
          name,
          kind: 2,
          startTimeUnixNano: timeUnixNano,
          endTimeUnixNano: timeUnixNano,
        },
        metrics: { name: 'beside', gauge: { dataPoints: [point] } },
      };
      for (const signal of SIGNALS)
        while (
          !(await stores.sendOtlp(signal, 'beside', [records[signal]]).then(
            () => true,
            () => false,
          ))
        )
          await sleep(100);
      this.acknowledged.push(name);
      await sleep(200);
    }
  }
}

const collector = () => stack.record().components.find(({ name }) => name === 'otel-collector')!;

describe('hostile OTLP', { concurrency: 1 }, () => {
  let beside: Beside;
  let slow: Promise<string[]>;
  let pid: number;

  before(async () => {
    await stack.start();
    pid = collector().pid;
    beside = new Beside();
    slow = Promise.all([
      ...QUIET.map(([, inside, bytes]) => raw(inside, bytes)),
      ...NO_GRPC.map(([, bytes]) => raw(4317, bytes)),
    ]);
    slow.catch(() => {}); // the last test but one awaits it
  });
  after(async () => {
    await beside.stop();
    await stack.stop();
  });

  it('answers what is wrong over HTTP with 4xx, and takes what is odd', async () => {
    const wrong: string[] = [];
    for (const [what, status, path, headers, body] of pushes()) {
      const answer = await post(url(path), headers, body);
      const text = await answer.text();
      if (answer.status !== status) wrong.push(`${what}: ${answer.status} ${text.slice(0, 100)}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('answers what is wrong over gRPC with the status for it', async () => {
    const wrong: string[] = [];
    for (const [what, status, path, body, headers] of calls()) {
      const answer = await grpc(path, body, headers).catch(String);
      if (answer !== status) wrong.push(`${what}: ${answer}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('answers what is not HTTP', async () => {
    const lines = await Promise.all(NO_HTTP.map(([, , bytes, end]) => raw(4318, bytes, end)));
    for (const [i, [what, answer]] of NO_HTTP.entries())
      assert.ok(lines[i]!.startsWith(answer), `${what}: ${lines[i]}`);
  });

  it('takes 8 MB in one push', async () => {
    const body = request(service('large'), ...Array(2_000).fill(log('x'.repeat(4_000))));
    const record = { body: { stringValue: 'x'.repeat(4_000) } };
    const json = { resourceLogs: [{ scopeLogs: [{ logRecords: Array(2_000).fill(record) }] }] };
    const zipped = { ...PROTOBUF, 'content-encoding': 'gzip' };
    for (const answer of [
      await post(url('/v1/logs'), PROTOBUF, body),
      await post(url('/v1/logs'), zipped, gzipSync(body)),
      await post(url('/v1/logs'), JSON_TYPE, JSON.stringify(json)),
    ])
      assert.equal(answer.status, 200, await answer.text());
    assert.equal(await grpc(EXPORT.logs, frame(body)), '0');
  });

  it('answers while 2,000 connections do nothing', async () => {
    const sockets = await Promise.all(
      Array.from(Array(2_000).keys(), async (i) => {
        const socket = connect(port(i % 2 ? 4317 : 4318), '127.0.0.1').on('error', () => {});
        await once(socket, 'connect');
        return socket;
      }),
    );
    assert.equal((await post(url('/v1/logs'), PROTOBUF, valid('logs'))).status, 200);
    assert.equal(await grpc(EXPORT.logs, frame(valid('logs'))), '0');
    for (const socket of sockets) socket.destroy();
  });

  it('stores what stands beside a strange record in the same push', async () => {
    const own = service('neighbour');
    const traceId = Buffer.from(randomBytes(16));
    const neighbour: Record<OtlpSignal, (name: string) => Buffer<ArrayBuffer>> = {
      logs: (name) => log(name),
      traces: (name) => span(name, [1, traceId]),
      metrics: (name) => gauge('neighbour', point([7, pair('name', name)])),
    };
    for (const signal of SIGNALS)
      for (const [what, records, whose = own] of STRANGE[signal]) {
        const body = Buffer.concat([
          request(own, neighbour[signal](`before ${what}`)),
          request(whose, ...[records].flat(), neighbour[signal](`beside ${what}`)),
          request(own, neighbour[signal](`after ${what}`)),
        ]);
        const answer = await post(url(`/v1/${signal}`), PROTOBUF, body);
        assert.equal(answer.status, 200, `${signal}, ${what}: ${await answer.text()}`);
      }
    await allStored('neighbour', traceId.toString('hex'), (signal) =>
      STRANGE[signal].flatMap(([what, , whose]) =>
        // what stands beside it has its resource, under which it would have to be looked for
        ['before', 'after', ...(whose ? [] : ['beside'])].map((where) => `${where} ${what}`),
      ),
    );
  });

  it('gives a span with an id that Tempo refuses a new one, and a mark', async () => {
    for (const whose of ['trace', 'span']) {
      const query = `{ span.new_id = "of the ${whose}" }`;
      const found = async () => (await stores.search(query)).length;
      await eventually(query, async () => (await found()) >= 2); // none, and one of zeros
    }
  });

  it('makes UTF-8 of a label that Mimir refuses', async () => {
    for (const series of [
      'hostile_label{l="a??b"}',
      'traces_spanmetrics_calls_total{span_name="a??b"}',
    ])
      await eventually(series, async () => (await stores.queryMetrics(series)).length === 1);
    const metrics = await (await fetch(`${stores.mimir}/metrics`)).text();
    assert.doesNotMatch(metrics, /cortex_discarded_samples_total\{.*label_value_invalid/);
  });

  it('lets pages push that this machine serves, and no others', async () => {
    const allowed = async (origin: string) => {
      const asks = {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      };
      const { headers } = await fetch(url('/v1/traces'), { method: 'OPTIONS', headers: asks });
      return ['origin', 'headers'].map((what) => headers.get(`access-control-allow-${what}`));
    };
    for (const origin of ['http://localhost', 'http://localhost:4200', 'http://127.0.0.1:8080'])
      assert.deepEqual(await allowed(origin), [origin, 'authorization,content-type']);
    for (const origin of ['https://example.org', 'http://localhost.example.org', 'null'])
      assert.deepEqual(await allowed(origin), [null, null]);
    // a browser sends these for any page, and does not ask
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
      assert.equal((await post(url('/v1/logs'), { 'content-type': type }, '{}')).status, 415);
  });

  it('takes a notification of 200 alerts, and refuses what is none', async () => {
    const notify = async (body: string | Buffer<ArrayBuffer>, headers = {}) =>
      (await post(url('/alertmanager', 8088), headers, body)).status;
    const alerts = Array(200).fill({ annotations: { summary: 'x'.repeat(500) } });
    const notification = {
      status: 'firing',
      groupLabels: { alertname: 'Hostile' },
      commonLabels: {},
      alerts,
    };
    assert.equal(await notify(JSON.stringify(notification)), 200);
    await eventually(
      'its line',
      async () => (await stores.notifications('Hostile', 0)).length === 1,
    );
    assert.equal(await notify('x'.repeat(2_000_000)), 400);
    assert.equal(await notify(BOMBS.gzip, { 'content-encoding': 'gzip' }), 400);
    assert.equal(await notify(''), 400);
    // stored as it is: better an odd notification than none
    assert.equal(await notify('not JSON'), 200);
    await eventually('the odd line', async () => {
      const lines = await stores.queryLogs('{service_name="alertmanager"} |= "not JSON"');
      return lines.length === 1;
    });
  });

  it('ends a connection that goes quiet, or does not speak HTTP/2', async () => void (await slow));

  it('has stored what was sent beside all this, and is the same process', async () => {
    assert.ok((await beside.stop()).length > 50);
    await beside.allStored();
    assert.deepEqual([collector().pid, collector().crashes], [pid, undefined]);
    if (process.platform !== 'linux') return;
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
    assert.ok(Number(peak) < 1_000_000, `${peak} kB of memory`);
  });

  // Reading it takes more stack than Go allows, or more memory than a container has.
  it('may end with a push of nothing but nesting, but comes back', async () => {
    const lists: Field = [7, pair('d', nested(850_000, 'lists'))];
    const deep = histogram('hostile_deep', [8, message([2, at()], [3, 1], lists)]);
    await post(url('/v1/metrics'), PROTOBUF, request(service('deep'), deep)).catch(() => {});
    await eventually('what comes after it', async () => {
      await stores.sendOtlp('metrics', 'after', [
        {
          name: 'after',
          gauge: { dataPoints: [{ timeUnixNano: `${Date.now()}000000`, asInt: 1 }] },
        },
      ]);
      return stores.queryNumber('after');
    });
  });

  it('does without a target that has too much, hangs or talks nonsense', async () => {
    const series = (count: number) =>
      Array.from(Array(count).keys(), (i) => `hostile_series{i="${i}"} 1\n`).join('');
    const bodies: Record<string, string | undefined> = {
      fine: series(10_000),
      many: series(100_000),
      large: `hostile_series{l="${'x'.repeat(11_000_000)}"} 1\n`,
      nonsense: 'hostile_series{l="',
      hanging: undefined,
    };
    const server = createServer(({ url: path }, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).flushHeaders();
      const body = bodies[path!.slice(1)];
      if (body) response.end(body);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const targets = [`127.0.0.1:${(server.address() as AddressInfo).port}`];
    const file = join(stack.folder, 'config/otel-collector/otel-collector-config.yaml');
    const config = parse(readFileSync(file, 'utf8'), { merge: true });
    for (const name of Object.keys(bodies))
      config.receivers.prometheus.config.scrape_configs.push({
        job_name: name,
        scrape_interval: '1s',
        metrics_path: name,
        static_configs: [{ targets }],
      });
    writeFileSync(file, stringify(config));
    process.kill(collector().pid, 'SIGHUP'); // it reads its config anew
    try {
      const up = async () =>
        Object.fromEntries(
          (await stores.queryMetrics(`up{job=~"${Object.keys(bodies).join('|')}"}`)).map(
            ({ labels, value }) => [labels.job, value],
          ),
        );
      const expected = { fine: 1, hanging: 0, large: 0, many: 0, nonsense: 0 };
      await eventually('all five', async () => Object.keys(await up()).length === 5);
      assert.deepEqual(await up(), expected);
      await eventually('answers of the fine one, beside the one that hangs', () =>
        stores.queryNumber('count_over_time(up{job="fine"}[1m]) >= 5'),
      );
      assert.deepEqual(await up(), expected);
      assert.equal(await stores.queryNumber('count(hostile_series)'), 10_000);
      const told = readFileSync(join(stack.folder, 'logs/otel-collector.log'), 'utf8');
      for (const reason of ['sample limit', 'body size limit', 'deadline exceeded'])
        assert.ok(told.includes(reason), reason);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('has not met that push again in its queue', () => {
    assert.ok((collector().crashes ?? []).length <= 1);
  });
});

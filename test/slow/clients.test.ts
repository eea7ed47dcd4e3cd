import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { k6, loadCommand } from '../../cli/components/load-generator.ts';
import { obtainProgram } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';
import type { Item } from '../../cli/postman.ts';
import { NativeStack } from '../support/native-stack.ts';
import { eventually } from '../support/signals.ts';
import { notAvailable } from '../support/tools.ts';

// What sends requests to a running stack: k6 and the Postman collection.

const stack = await NativeStack.create();
before(() => stack.start());
after(() => stack.stop());

/** The values of a counter, by these of its labels in one text. */
async function counts(metric: string, labels: string[]): Promise<Record<string, number>> {
  const samples = await stack.stores.queryMetrics(metric);
  return Object.fromEntries(
    samples.map((sample) => [labels.map((label) => sample.labels[label]).join(' '), sample.value]),
  );
}

const program = await obtainProgram(stack.context, k6(stack.settings)).catch(notAvailable);
const skip = program instanceof Error && program.message;

describe('npm run load', { concurrency: 1 }, () => {
  it(
    'its summary, its metrics and those of the service count the same requests',
    { skip },
    async () => {
      const { code, output } = await stack.command('load', '--rate=20', '--duration=10s');
      assert.equal(code, 0, output);
      const count = Number(/^ +http_reqs\.+: (\d+) /m.exec(output)?.[1]);
      assert.ok(count > 0, output);
      assert.match(output, new RegExp(`^ +http_req_failed\\.+: 0\\.00% +0 out of ${count}$`, 'm'));

      const [byK6, byService] = await eventually('all requests', async () => {
        const both = [
          await counts('k6_http_reqs_total', ['method', 'name', 'status']),
          await counts('http_server_request_duration_count', [
            'http_request_method',
            'http_route',
            'http_response_status_code',
          ]),
        ] as const;
        const seen = both.map((c) => Object.values(c).reduce((x, y) => x + y, 0));
        return Math.min(...seen) >= count && both;
      });
      const sum = Object.values(byK6).reduce((x, y) => x + y, 0);
      assert.equal(sum, count);
      assert.deepEqual(byK6, byService);
      for (const kind of [
        'GET /books/find/:id 200',
        'GET /books/find/:id 404',
        'GET /books/find 200',
        'POST /books/create 201',
        'PATCH /books/update/:id 200',
      ])
        assert.ok(byK6[kind]! > 0, kind);
    },
  );

  it('its requests are those of a user in the service graph', { skip }, async () => {
    await eventually('an edge as thick as the load', async () => {
      const edges = await stack.stores.queryMetrics('traces_service_graph_request_total');
      const requests = await stack.stores.queryMetrics('sum(k6_http_reqs_total)');
      assert.deepEqual(edges.map(({ labels: l }) => `${l.client} → ${l.server}`).toSorted(), [
        'backend-example → books',
        'user → backend-example',
      ]);
      return edges.some(
        ({ labels, value }) => labels.client === 'user' && value === requests[0]!.value,
      );
    });
  });

  it('its metrics have these labels only', { skip }, async () => {
    const names = new Set<string>();
    for (const { labels } of await stack.stores.queryMetrics('{job="k6", __name__!="target_info"}'))
      for (const name of Object.keys(labels)) names.add(name);
    assert.deepEqual(
      [...names].sort(),
      '__name__ condition error_code job le method name status'.split(' '),
    );
  });

  it('ends with code 99 when the service does not answer as expected', { skip }, () => {
    const { file } = program as { file: string };
    const { args } = loadCommand(stack.context);
    const { status, stderr } = spawnSync(
      file,
      args.filter((arg) => !arg.startsWith('--out')),
      { env: { BOOKS_URL: 'http://127.0.0.1:1', LOAD_DURATION: '1s' }, encoding: 'utf8' },
    );
    assert.equal(status, 99, stderr);
  });

  it('refuses a rate or a duration that is none', async () => {
    const rate = await stack.command('load', '--rate=fast');
    assert.equal(rate.code, 2);
    assert.match(rate.output, /'fast' is invalid\. It has to be a whole number /m);
    const duration = await stack.command('load', '--duration=1');
    assert.equal(duration.code, 2);
    assert.match(duration.output, /'1' is invalid\. It has to be numbers with ms, s, m or h/m);
  });
});

describe('npm run postman', { concurrency: 1 }, () => {
  const file = join(ROOT, 'postman/books.postman_collection.json');
  const requestsOf = (item: Item): Item[] =>
    item.request ? [item] : (item.item ?? []).flatMap(requestsOf);
  const requests = requestsOf(JSON.parse(readFileSync(file, 'utf8')) as Item);

  it('sends every request of the collection: the answers are like the examples and pass the tests', async () => {
    const { code, output } = await stack.command('postman');
    assert.equal(code, 0, output);
    assert.deepEqual(
      [...output.matchAll(/^✔ (.+?) +(\d+)$/gm)].map(([, name, status]) => [name, Number(status)]),
      requests.map(({ name, response }) => [name, response![0]!.code]),
    );
    const [, checks] = new RegExp(
      `^${requests.length} requests, (\\d+) checks, 0 failed$`,
      'm',
    ).exec(output)!;
    // its status, what it says, the name of its trace, its example
    assert.ok(Number(checks) >= 4 * requests.length, output);
  });

  it('calls every operation of the API', async () => {
    const answer = await fetch(`${stack.stores.books}/api-json`);
    const { paths } = (await answer.json()) as { paths: Record<string, object> };
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const called = requests.map(
      ({ request }) =>
        `${request!.method} /${request!.url.path.join('/').replace(/:(\w+)/g, '{$1}')}`,
    );
    assert.ok(operations.length >= 7);
    assert.deepEqual(
      operations.filter((operation) => !called.includes(operation)),
      [],
    );
  });
});

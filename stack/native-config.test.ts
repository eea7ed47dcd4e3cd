import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { component } from './components.ts';
import { nativeConfig, writeNativeConfig } from './native-config.ts';
import { temporaryFolder } from '../test/temporary-folder.ts';

const own = { ports: { 3200: 3200, 4317: 14317 } };
const all = [
  { name: 'tempo', ports: own.ports },
  { name: 'mimir', ports: { 9009: 9009 } },
];
const rewrite = (text: string, folders = {}) =>
  nativeConfig(text, own, folders, all);

describe('nativeConfig', () => {
  const cases: [string, string, string][] = [
    [
      'an address it listens on',
      'endpoint: 0.0.0.0:4317',
      'endpoint: 127.0.0.1:14317',
    ],
    [
      'an address whose port stays',
      'endpoint: 0.0.0.0:55681',
      'endpoint: 127.0.0.1:55681',
    ],
    [
      'a listen address',
      'http_listen_address: 0.0.0.0',
      'http_listen_address: 127.0.0.1',
    ],
    ['another component', 'endpoint: tempo:4317', 'endpoint: 127.0.0.1:14317'],
    [
      'another component in a URL',
      'url: http://mimir:9009/api/v1/push',
      'url: http://127.0.0.1:9009/api/v1/push',
    ],
    [
      'a name that only ends like a component',
      'my-tempo:4317 x.mimir:9009',
      'my-tempo:4317 x.mimir:9009',
    ],
    ['a component without a port', 'job_name: tempo', 'job_name: tempo'],
    ['a loopback address', '127.0.0.1:8888', '127.0.0.1:8888'],
  ];
  for (const [what, from, to] of cases)
    it(`rewrites ${what}`, () => assert.equal(rewrite(from), to));

  it('rewrites folders of the container, whole or as the start of a path', () => {
    const folders = { '/data': '/here/mimir', '/etc/mimir': '/there' };
    assert.equal(
      rewrite('dir: /data/bucket\nx: /data\ny: "/etc/mimir/rules"', folders),
      'dir: /here/mimir/bucket\nx: /here/mimir\ny: "/there/rules"',
    );
  });

  it('leaves alone what only looks like such a folder', () => {
    const text = 'a: /database\nb: /var/data\nc: http://host/data\nd: ./data';
    assert.equal(rewrite(text, { '/data': '/here' }), text);
  });

  it('is not confused by $ in a folder name', () => {
    assert.equal(rewrite('/data', { '/data': '/a$&b' }), '/a$&b');
  });
});

describe('writeNativeConfig', () => {
  it("writes Grafana's files with loopback addresses and local folders, without the Dockerfile", async () => {
    const target = temporaryFolder();
    await writeNativeConfig(component('grafana'), target, '/data/grafana');
    const ini = await readFile(join(target, 'grafana.ini'), 'utf8');
    assert.ok(
      ini.includes(
        `default_home_dashboard_path = ${target}/dashboards/follow-one-request.json`,
      ),
    );
    const sources = await readFile(
      join(target, 'provisioning/datasources/grafana-config.yaml'),
      'utf8',
    );
    assert.deepEqual(
      [...sources.matchAll(/^ {4}url: (.*)$/gm)].map((m) => m[1]),
      [
        'http://127.0.0.1:9009/prometheus',
        'http://127.0.0.1:3100',
        'http://127.0.0.1:3200',
        'http://127.0.0.1:9093',
      ],
    );
    await assert.rejects(readFile(join(target, 'Dockerfile')), {
      code: 'ENOENT',
    });
  });

  it('takes the Slack webhook of the user, where there is one', async () => {
    const target = temporaryFolder();
    const write = async () => {
      await writeNativeConfig(component('alertmanager'), target, '/data');
      return readFile(join(target, 'slack-webhook-url'), 'utf8');
    };
    assert.equal(await write(), 'http://127.0.0.1:13133/\n');
    assert.match(
      await readFile(join(target, 'alertmanager.yml'), 'utf8'),
      new RegExp(`api_url_file: ${target}/slack-webhook-url$`, 'm'),
    );
    process.env.SLACK_WEBHOOK_URL_FILE = join(target, 'own');
    try {
      await writeFile(process.env.SLACK_WEBHOOK_URL_FILE, 'https://own');
      await writeNativeConfig(
        component('alertmanager'),
        join(target, 'config'),
        '/data',
      );
      assert.equal(
        await readFile(join(target, 'config/slack-webhook-url'), 'utf8'),
        'https://own',
      );
    } finally {
      delete process.env.SLACK_WEBHOOK_URL_FILE;
    }
  });
});

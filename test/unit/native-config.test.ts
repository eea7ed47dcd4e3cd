import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { component } from '../../cli/components/index.ts';
import { nativeConfig, writeNativeConfig, type PortLookup } from '../../cli/native/config.ts';
import { readSettings } from '../../cli/settings.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** The ports of a run in which some have moved: by "name:inside". */
const PORTS: Record<string, number> = {
  'tempo:3200': 3200,
  'tempo:4317': 14317,
  'mimir:9009': 19009,
  'mimir:7946': 7946,
  'grafana:3000': 13000,
  'otel-collector:4317': 24317,
};
const port: PortLookup = (name, inside) => PORTS[`${name}:${inside}`];

/** What becomes of a text in a config of Tempo. */
const rewrite = (text: string, folders = {}, own = 'tempo') =>
  nativeConfig(text, own, folders, port);

describe('nativeConfig', () => {
  for (const [what, from, to] of [
    ['an address it listens on', 'endpoint: 0.0.0.0:4317', 'endpoint: 127.0.0.1:14317'],
    ['an address whose port stays', 'endpoint: 0.0.0.0:3200', 'endpoint: 127.0.0.1:3200'],
    ['an address of a port that nobody has', '0.0.0.0:55681', '127.0.0.1:55681'],
    ['a listen address', 'http_listen_address: 0.0.0.0', 'http_listen_address: 127.0.0.1'],
    ['a listen port', 'grpc_listen_port: 4317 # own', 'grpc_listen_port: 14317 # own'],
    ["another component's listen port", 'http_listen_port: 9009', undefined],
    ['another component', 'endpoint: tempo:4317', 'endpoint: 127.0.0.1:14317'],
    [
      'another component in a URL',
      'url: http://mimir:9009/api/v1/push',
      'url: http://127.0.0.1:19009/api/v1/push',
    ],
    ['several in a line', '[tempo:4317, "mimir:7946"]', '[127.0.0.1:14317, "127.0.0.1:7946"]'],
    ["another component's port at localhost", 'localhost:9009', 'localhost:19009'],
    ['a port at localhost that nobody has', 'localhost:1', undefined],
    ['a name that only ends like a component', 'my-tempo:4317 x.mimir:9009', undefined],
    ['a component without a port', 'job_name: tempo', undefined],
    ['a loopback address', '127.0.0.1:4317', undefined],
    ['a version that begins like the address of all', '10.0.0.0:4317', undefined],
    ['a number that is no port', 'max_size: 4317', undefined],
  ] as const)
    it(`${to ? 'rewrites' : 'leaves alone'} ${what}`, () =>
      assert.equal(rewrite(from), to ?? from));

  it("rewrites Grafana's port and address", () =>
    assert.equal(
      rewrite('http_port = 3000\nroot_url = http://localhost:3000/', {}, 'grafana'),
      'http_port = 13000\nroot_url = http://localhost:13000/',
    ));

  it('takes a port at localhost for its own before it takes it for that of another', () => {
    assert.equal(rewrite('localhost:4317'), 'localhost:14317');
    assert.equal(rewrite('localhost:4317', {}, 'otel-collector'), 'localhost:24317');
  });

  it('rewrites folders of the container, whole or as the start of a path', () => {
    const folders = { '/data': '/here/mimir', '/etc/mimir': '/there' };
    assert.equal(
      rewrite('dir: /data/bucket\nx: /data\ny: "/etc/mimir/rules"', folders),
      'dir: /here/mimir/bucket\nx: /here/mimir\ny: "/there/rules"',
    );
  });

  it('rewrites the longest of several folders', () =>
    assert.equal(
      rewrite('/data/wal/1 /data/2', { '/data': '/a', '/data/wal': '/b' }),
      '/b/1 /a/2',
    ));

  it('leaves alone what only looks like such a folder', () => {
    const text = 'a: /database\nb: /var/data\nc: http://host/data\nd: ./data';
    assert.equal(rewrite(text, { '/data': '/here' }), text);
  });

  it('is not confused by $ in a folder name', () => {
    assert.equal(rewrite('/data', { '/data': '/a$&b' }), '/a$&b');
  });

  it('does not read again what it has put in: a checkout below a folder of the container', () => {
    const folders = { '/data': '/data/lgtm/.stack/data', '/etc/mimir': '/data/tempo:4317' };
    assert.equal(
      rewrite('/data/bucket /etc/mimir/rules', folders),
      '/data/lgtm/.stack/data/bucket /data/tempo:4317/rules',
    );
  });

  it('does not read again a port that is the usual one of another', () => {
    const ports = new Map([
      ['tempo:3200', 9009],
      ['mimir:9009', 3200],
    ]);
    const swapped: PortLookup = (name, inside) => ports.get(`${name}:${inside}`);
    assert.equal(
      nativeConfig('0.0.0.0:3200 mimir:9009 localhost:3200', 'tempo', {}, swapped),
      '127.0.0.1:9009 127.0.0.1:3200 localhost:9009',
    );
  });
});

describe('writeNativeConfig', () => {
  const settings = readSettings({});
  const write = (name: string, target: string, ports = port, own = settings) =>
    writeNativeConfig(component(name), own, ports, target, '/data');

  it("writes Grafana's files with loopback addresses and local folders, without the Dockerfile", async () => {
    const target = temporaryFolder();
    await writeFile(join(target, 'left-over.yaml'), '');
    await write('grafana', target);
    const ini = await readFile(join(target, 'grafana.ini'), 'utf8');
    assert.ok(
      ini.includes(`default_home_dashboard_path = ${target}/dashboards/follow-one-request.json`),
    );
    assert.match(ini, /^http_port = 13000$/m);
    const sources = await readFile(
      join(target, 'provisioning/datasources/grafana-config.yaml'),
      'utf8',
    );
    assert.deepEqual(
      [...sources.matchAll(/^ {4}url: (.*)$/gm)].map((m) => m[1]),
      [
        'http://127.0.0.1:19009/prometheus',
        'http://127.0.0.1:3100',
        'http://127.0.0.1:3200',
        'http://127.0.0.1:9093',
      ],
    );
    assert.equal(existsSync(join(target, 'Dockerfile')), false);
    assert.equal(existsSync(join(target, 'left-over.yaml')), false);
  });

  it('moves a port wherever it appears', async () => {
    const target = temporaryFolder();
    const moved: PortLookup = (name, inside) =>
      name === 'loki' && inside === 3100 ? 23100 : undefined;
    await write('loki', target, moved);
    const config = await readFile(join(target, 'loki-config.yaml'), 'utf8');
    assert.match(config, /^ +http_listen_port: 23100$/m);
    assert.doesNotMatch(config, /\b3100\b/);
    await write('otel-collector', target, moved);
    const collector = await readFile(join(target, 'otel-collector-config.yaml'), 'utf8');
    assert.equal(collector.match(/127\.0\.0\.1:23100/g)?.length, 2, 'exporter and scrape target');
    assert.doesNotMatch(collector, /\b3100\b/);
  });

  it('takes the Slack webhook of the user, where there is one', async () => {
    const target = temporaryFolder();
    await write('alertmanager', target);
    const webhook = () => readFile(join(target, 'slack-webhook-url'), 'utf8');
    assert.equal(await webhook(), 'http://127.0.0.1:13133/\n');
    assert.match(
      await readFile(join(target, 'alertmanager.yml'), 'utf8'),
      new RegExp(`api_url_file: ${target}/slack-webhook-url$`, 'm'),
    );
    const own = join(temporaryFolder(), 'own');
    await writeFile(own, 'https://own');
    await write('alertmanager', target, port, readSettings({ SLACK_WEBHOOK_URL_FILE: own }));
    assert.equal(await webhook(), 'https://own');
  });
});

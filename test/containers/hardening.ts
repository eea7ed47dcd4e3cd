import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { components } from '../../cli/components/index.ts';
import { ROOT } from '../../cli/paths.ts';
import type { Settings } from '../../cli/settings.ts';
import { docker } from '../support/engine.ts';
import { run } from '../support/run.ts';
import { PROJECT, container, inspectAll, ofEach, onHost, same } from './containers.ts';

// What docker-compose.yaml takes from every container, read back from what runs.

/** What the kernel says about the privileges of a process on the engine's machine. */
async function privilegesOf(pid: number): Promise<object> {
  const status = await onHost('cat', `/proc/${pid}/status`);
  const field = (key: string) => new RegExp(`^${key}:\\s+(\\S+)`, 'm').exec(status)![1]!;
  const sets = ['CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'];
  return {
    root: field('Uid') === '0',
    capabilities: sets.filter((set) => !/^0+$/.test(field(set))),
    mayGetMore: field('NoNewPrivs') !== '1',
  };
}

/** What a container is held to. */
const limitsOf = ({ HostConfig }: any): object => ({
  memory: HostConfig.Memory > 0,
  cpus: HostConfig.NanoCpus / 1e9,
  processes: HostConfig.PidsLimit,
  log: HostConfig.LogConfig,
});

/** `privilegesOf` and `limitsOf` as docker-compose.yaml has them for every service. */
const NO_PRIVILEGES = { root: false, capabilities: [], mayGetMore: false };
const LIMITS = {
  memory: true,
  cpus: 1,
  processes: 512,
  log: { Type: 'json-file', Config: { 'max-file': '3', 'max-size': '10m' } },
};

/** Fails when a container that `docker inspect` has told about has privileges, or no limits. */
export async function assertLockedUp(inspection: any): Promise<void> {
  assert.deepEqual(await privilegesOf(inspection.State.Pid), NO_PRIVILEGES);
  assert.deepEqual(limitsOf(inspection), LIMITS);
  assert.equal(inspection.HostConfig.ReadonlyRootfs, true);
}

/** Where Docker publishes a port. */
interface Publication {
  HostIp: string;
  HostPort: string;
}

/**
 * Checks of every container of a stack that runs.
 * @param stack its settings, and an image with the tools of busybox
 */
export function itIsLockedUp(stack: () => { settings: Settings; busybox: string }): void {
  it('no container has privileges, or can get any', async () => {
    assert.deepEqual(await ofEach(({ State }) => privilegesOf(State.Pid)), same(NO_PRIVILEGES));
  });

  it('no container can change its own files', async () => {
    const file = join(ROOT, 'package.json');
    const refusals = await ofEach(async (_, name) => {
      // a folder that every image has, whoever it belongs to
      const { output } = await run('docker', ['cp', file, `${container(name)}:/etc/changed`]);
      return /rootfs is marked read-only/.exec(output)?.[0] ?? output;
    });
    assert.deepEqual(refusals, same('rootfs is marked read-only'));
  });

  it('every container has limits, and none was killed or started again under load', async () => {
    assert.deepEqual(await ofEach(limitsOf), same(LIMITS));
    const ends = await ofEach(({ State, RestartCount }) => [State.OOMKilled, RestartCount]);
    assert.deepEqual(ends, same([false, 0]));
  });

  it('only the ports with a setting are published, as it says, on the loopback address', async () => {
    const expected = components.map(({ name, ports }) => [
      name,
      ports
        .filter(({ setting }) => setting)
        .map(({ inside, setting }) => `${inside}/tcp 127.0.0.1:${stack().settings[setting!]}`)
        .toSorted(),
    ]);
    const found = await ofEach(({ NetworkSettings }) =>
      Object.entries<Publication[] | null>(NetworkSettings.Ports)
        .flatMap(([inside, list]) =>
          (list ?? []).map(({ HostIp, HostPort }) => `${inside} ${HostIp}:${HostPort}`),
        )
        .toSorted(),
    );
    assert.deepEqual(found, Object.fromEntries(expected));
  });

  it('the database is on a network of its own, without a way out', async () => {
    const network = `${PROJECT}_database`;
    const [{ Internal }] = JSON.parse(await docker('network', 'inspect', network));
    assert.equal(Internal, true);
    const { Networks } = (await inspectAll()).postgres.NetworkSettings;
    assert.deepEqual(Object.keys(Networks), [network]);
    const address = Networks[network].IPAddress;
    const nc = (host: string, port: number) => ['nc', '-w', '2', host, String(port)];
    const reaches = async (...args: string[]) => (await run('docker', args)).code === 0;
    // Mimir's container is on the other network, and has an nc.
    const fromMimir = (host: string, port: number) =>
      reaches('exec', container('mimir'), '/bin/busybox', ...nc(host, port));
    assert.deepEqual(
      await Promise.all([
        reaches('run', '--rm', `--network=${network}`, stack().busybox, ...nc(address, 5432)),
        fromMimir('loki', 3100),
        fromMimir(address, 5432),
        fromMimir('postgres', 5432),
      ]),
      [true, true, false, false],
    );
  });

  it("Grafana's password is in a secret, not in its environment", async () => {
    const { Config } = (await inspectAll()).grafana;
    assert.match(Config.Env.join('\n'), /^PATH=/m);
    assert.doesNotMatch(Config.Env.join('\n'), /PASSWORD=/); // without a value it is not set
    assert.equal(
      await docker('exec', container('grafana'), 'cat', '/run/secrets/admin-password'),
      readFileSync(stack().settings.GRAFANA_ADMIN_PASSWORD_FILE, 'utf8').trim(),
    );
  });
}

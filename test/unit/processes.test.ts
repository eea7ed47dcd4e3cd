import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isListening, notReady, poll } from '../../cli/checks.ts';
import type { Component } from '../../cli/components/component.ts';
import { component } from '../../cli/components/index.ts';
import { choosePorts, commandLine, portHolder, residentMegabytes } from '../../cli/native/ports.ts';
import { ManagedProcess, baseEnvironment } from '../../cli/native/process.ts';
import { ROOT } from '../../cli/paths.ts';
import { readSettings } from '../../cli/settings.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder();
const never = new AbortController().signal;
const env = baseEnvironment(process.env);
const shell = (name: string, script: string) =>
  new ManagedProcess(
    name,
    { file: 'sh', args: ['-c', script], env: { ...env, OWN: 'its own' } },
    join(folder, `${name}.log`),
  );
const gone = (pid: number) => poll(async () => !(await commandLine(pid)), 10_000);

describe('ManagedProcess', () => {
  it('names the component, its exit code and its last lines when it ends before it is ready', async () => {
    const child = shell('broken', 'echo one; echo two >&2; exit 3');
    await assert.rejects(child.waitUntilReady({ port: 1 }, 10_000, never), {
      message: `broken exited with code 3. The end of ${child.logFile}:\n    one\n    two`,
    });
  });

  it('gives the last answer when it is not ready in time', async () => {
    const child = shell('slow', 'sleep 60');
    await assert.rejects(child.waitUntilReady({ port: 1 }, 100, never), {
      message: /^slow was not ready after 0\.1 s; last answer: nothing listens on port 1\./,
    });
    await child.stop();
    assert.equal(child.ended, 'was ended by SIGTERM');
  });

  it('ends a process that ignores the request to stop', async () => {
    const child = shell('deaf', 'trap "" TERM; echo on; while :; do sleep 1; done');
    await poll(async () => child.tail() === 'on', 10_000);
    await child.stop(100);
    assert.equal(child.ended, 'was ended by SIGKILL');
  });

  it('says so when the program does not exist', async () => {
    const child = new ManagedProcess(
      'absent',
      { file: '/nowhere/absent', args: [], env },
      join(folder, 'absent.log'),
    );
    await child.whenEnded;
    assert.equal(child.ended, 'could not be run: spawn /nowhere/absent ENOENT');
  });

  it('has the variables that it is given, and none of ours', async () => {
    process.env.LGTM_OURS = 'ours';
    const child = shell('environment', 'echo "$OWN $LGTM_OURS"; command -v sleep');
    delete process.env.LGTM_OURS;
    await child.whenEnded;
    assert.match(child.tail(), /^its own \n\/\S+\/sleep$/);
  });

  it('does not outlive its parent, even when that is killed', async () => {
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { ManagedProcess } from ${JSON.stringify(join(ROOT, 'cli/native/process.ts'))};
         const child = new ManagedProcess('orphan', { file: 'sleep', args: ['600'], env: process.env }, ${JSON.stringify(join(folder, 'orphan.log'))});
         console.log(child.pid); setInterval(() => {}, 1000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [output] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(output.toString());
    assert.equal(await commandLine(pid), 'sleep 600');
    parent.kill('SIGKILL');
    assert.equal(await gone(pid), true);
  });
});

describe('ports', () => {
  it('are reported with the process that listens on them', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    assert.equal(await isListening(port), true);
    assert.equal(
      await portHolder(port),
      `process ${process.pid} (${await commandLine(process.pid)})`,
    );
    server.close();
    await once(server, 'close');
    assert.equal(await isListening(port), false);
  });

  it('are held by who listens at ::1 alone, too: a browser may go there', async (t) => {
    const server = createServer().listen(0, '::1');
    try {
      await once(server, 'listening');
    } catch {
      return t.skip('there is no IPv6 here');
    }
    const { port } = server.address() as AddressInfo;
    assert.equal(await isListening(port), true);
    assert.match(await portHolder(port), new RegExp(`^process ${process.pid} \\(`));
    server.close();
  });

  it('that nobody has are held by nobody that can be seen', async () =>
    assert.equal(await portHolder(1), 'a process of another user, or one outside this container'));
});

describe('choosePorts', () => {
  const settings = readSettings({});
  /** A component with one port that is published as LOKI_PORT, and one that is reached from inside only. */
  const part = (native: number): Component => ({
    ...component('loki'),
    ports: [
      { inside: 3100, setting: 'LOKI_PORT' },
      { inside: 9095, native },
    ],
  });
  /** A port on which nothing listens, and a way to take it. */
  const free = async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { server, port: (server.address() as AddressInfo).port };
  };

  it('takes a published port as it is set, an inner one as usual', async () => {
    const { server, port } = await free();
    await once(server.close(), 'close');
    const chosen = await choosePorts([part(port)], settings);
    assert.deepEqual(Object.fromEntries(chosen), { 'loki:3100': 3100, 'loki:9095': port });
  });

  it('takes any inner port where a published one is moved: another stack may have the usual ones', async () => {
    const { server, port } = await free();
    await once(server.close(), 'close');
    const chosen = await choosePorts([part(port)], readSettings({ LOKI_PORT: '23100' }));
    assert.equal(chosen.get('loki:3100'), 23100);
    assert.ok(chosen.get('loki:9095')! >= 20_000 && chosen.get('loki:9095')! < 32_000);
    assert.notEqual(chosen.get('loki:9095'), port);
  });

  it('replaces an inner port that another process has by a free one', async () => {
    const { server, port } = await free();
    const chosen = (await choosePorts([part(port)], settings)).get('loki:9095')!;
    assert.notEqual(chosen, port);
    assert.equal(await isListening(chosen), false);
    server.close();
  });

  it('gives no port twice, though it is the usual one of several', async () => {
    const { server, port } = await free();
    await once(server.close(), 'close');
    const two = { ...part(port), name: 'mimir', ports: [{ inside: 9095, native: port }] };
    const published = { ...two, name: 'tempo', ports: [{ inside: 1, native: 3100 }] };
    const chosen = await choosePorts([part(port), two, published], settings);
    const all = [...chosen.values()];
    assert.equal(new Set(all).size, 4);
    assert.equal(chosen.get('loki:9095'), port);
  });
});

describe('memory', () => {
  it('of a process is told in MB', async () => {
    const { rss } = process.memoryUsage();
    const megabytes = (await residentMegabytes(process.pid))!;
    assert.ok(Math.abs(megabytes - rss / 1e6) < 50, String(megabytes));
  });
});

describe('notReady', () => {
  it('takes only 2xx for ready, and gives the answer otherwise', async () => {
    let status = 503;
    const server = createHttpServer((_, response) =>
      response.writeHead(status).end('Ingester not ready'),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ready`;
    assert.equal(await notReady({ url }), `${url} answered 503 Ingester not ready`);
    status = 200;
    assert.equal(await notReady({ url }), undefined);
    server.close();
    server.closeAllConnections();
  });
});

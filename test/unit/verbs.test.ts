import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../../cli/paths.ts';
import { explain } from '../../cli/verbs.ts';
import { freePorts } from '../support/native-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { command } from './command.ts';

const failure = (code: string, path = ''): NodeJS.ErrnoException =>
  Object.assign(new Error(`${code}: it failed`), { code, path });

describe('an npm command', () => {
  it('says how to undo what "sudo npm start" has left', () =>
    assert.equal(
      explain(failure('EACCES', '/here/.stack/run.json')),
      `/here/.stack/run.json belongs to another user: was the stack started with sudo once? Make it yours: sudo chown -R "$(id -un)" '/here/.stack'`,
    ));

  it('says that the disk is full', () =>
    assert.match(
      explain(failure('ENOSPC')),
      /^The disk is full: .* Make room and run the command again\.$/,
    ));

  it('says everything else as it is', () =>
    assert.equal(explain(failure('EIO')), 'EIO: it failed'));

  it('before npm ci says to run it', () => {
    const folder = temporaryFolder();
    for (const name of ['cli', 'grafana', 'offline', 'package.json', 'backend-example/Dockerfile'])
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    for (const name of [
      'otel-collector',
      'loki',
      'tempo',
      'mimir',
      'alertmanager',
      'load-generator',
    ])
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(folder, 'cli/main.js'), 'start', '--native'],
      { encoding: 'utf8' },
    );
    assert.equal(status, 1);
    assert.match(stderr, /^Something is not installed here: run "npm ci" first\. \(.*\)$/m);
    assert.doesNotMatch(stderr, /^ +at /m);
  });

  it('downloads through the proxy that is named, and reaches nothing on this machine through it', async () => {
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(request.url!);
      response.writeHead(502).end();
    });
    proxy.on('connect', (request, socket) => {
      asked.push(request.url!);
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    });
    await once(proxy.listen(0, '127.0.0.1'), 'listening');
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const env = {
      ...((await freePorts()) as Record<string, string>),
      STACK_FOLDER: join(temporaryFolder(), 'stack'),
      XDG_CACHE_HOME: temporaryFolder(), // nothing is there
      PATH: '/nowhere', // no Go either
      https_proxy: address,
      HTTP_PROXY: address,
      NODE_USE_ENV_PROXY: '1',
    };
    try {
      const start = await command(env, 'start', '--native');
      assert.equal(start.code, 1, start.output);
      assert.match(start.output, /cannot be had: its release could not be downloaded /);
      assert.match(start.output, /Install Go 1\.21 or newer/);
      assert.ok(asked.includes('github.com:443'), asked.join());
      asked.length = 0;
      await command(env, 'doctor');
      assert.deepEqual(asked, []);
    } finally {
      proxy.close();
      proxy.closeAllConnections();
    }
  });
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, symlinkSync, writeFileSync } from 'node:fs';
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

  /** What the commands read of the repository, in a folder of its own. */
  function copyOfRepository(): string {
    const folder = temporaryFolder();
    const components = 'otel-collector loki tempo mimir alertmanager load-generator';
    const others = 'cli grafana offline package.json backend-example/Dockerfile';
    for (const name of `${components} ${others}`.split(' '))
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    return folder;
  }
  const runIn = (folder: string, env: NodeJS.ProcessEnv, ...args: string[]) => {
    const main = join(folder, 'cli/main.js');
    return spawnSync(process.execPath, [main, ...args], { env, encoding: 'utf8' });
  };

  it('before npm ci says to run it', () => {
    const { status, stderr } = runIn(copyOfRepository(), process.env, 'start', '--native');
    assert.equal(status, 1);
    assert.match(stderr, /^Something is not installed here: run "npm ci" first\. \(.*\)$/m);
    assert.doesNotMatch(stderr, /^ +at /m);
  });

  it('names a mistake in a rule file of your own before anything is started, and in the doctor', async () => {
    const folder = copyOfRepository();
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    cpSync(
      join(ROOT, 'backend-example/package.json'),
      join(folder, 'backend-example/package.json'),
    );
    const rules = 'groups: [{ name: own, rules: [{ alert: Mine, expr: "sum(" }] }]';
    writeFileSync(join(folder, 'mimir/rules/anonymous/own.yaml'), rules);
    const env = {
      ...process.env,
      ...(await freePorts()),
      DOCKER_HOST: `unix://${folder}/none.sock`,
    };
    const start = runIn(folder, env, 'start', '--native');
    assert.equal(start.status, 1);
    assert.match(
      start.stderr,
      /^mimir\/rules\/anonymous\/own\.yaml: Mine: sum\( ⟵ not after this$/m,
    );
    assert.equal(existsSync(join(folder, '.stack')), false);
    const doctor = runIn(folder, env, 'doctor');
    assert.match(
      doctor.stdout,
      /✘ Configuration +A rule file has a mistake, .*own\.yaml: Mine: sum\(/,
    );
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
